"""``python -m tests.bench [NAME]...``: run the benchmarks of this folder, or those named.

A benchmark is a module ``bench_NAME.py`` with a function ``main()`` that prints what it measured.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(wanted: list[str]) -> int:
    """Run the benchmarks in the order of their names; return the exit code."""
    there = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = [name for name in wanted if name not in there]
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are: {', '.join(there) or 'none'}", file=sys.stderr)
        return 2
    if not there:
        print("bench: there are no benchmarks yet")
    for name in wanted or there:
        print(f"== {name}")
        importlib.import_module(f"tests.bench.bench_{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
