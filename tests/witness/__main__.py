"""``python -m tests.witness``: random transactions under strace, and a verdict on all of them.

The target (target.py) logs its map, strace the calls of the engine (drive.py), and check.py holds the
one against the other.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.witness.check import Verdict, judge
from tests.witness.target import __file__ as _target

METHODS = ("ptrace", "sigstop", "cgroup", "off")
BATCH = 1000
_REPOSITORY = Path(__file__).resolve().parents[2]
_STRACE = [
    "strace",
    *("-f", "-ff", "--seccomp-bpf", "-v", "-e", "signal=none"),
    # The sleeps tell when the call before them was over.
    *("-e", "trace=process_madvise,ioctl,?clock_nanosleep,?select"),
    *("-e", "quiet=all", "--decode-fds=path,pidfd", "--absolute-timestamps=unix,ns"),
]


def run(folder: Path, method: str, count: int, seed: str, pause_ms: float) -> None:
    """Run transactions of one method; the logs are in ``folder`` then.

    Raises:
        RuntimeError: the driver or the target failed.
    """
    arguments = [str(folder / "mapped"), str(folder / "target.log"), seed, str(pause_ms)]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", _target, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    ) as target:
        try:
            assert target.stdin is not None
            assert target.stdout is not None
            if target.stdout.readline() != b"ready\n":
                raise RuntimeError("the target does not start")
            driver = [sys.executable, "-m", "tests.witness.drive", str(target.pid), method, str(count), seed]
            done = subprocess.run(
                [*_STRACE, "-o", str(folder / "strace"), *driver, str(folder)],
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60 + count,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"the driver failed:\n{done.stderr}")
            target.stdin.close()
            if target.wait(60):
                raise RuntimeError("the target failed")
        finally:
            target.kill()


def witness(method: str, count: int, seed: str, pause_ms: float = 1, keep: Path | None = None) -> Verdict:
    """Run transactions in batches and judge them; ``keep`` is where the logs go, else they are removed."""
    place = next((place for place in (Path("/dev/shm"), Path("/tmp")) if place.is_dir()), None)
    whole = Verdict()
    for first in range(0, count, BATCH):
        folder = Path(tempfile.mkdtemp(prefix="memtui-witness-", dir=place))
        try:
            run(folder, method, min(BATCH, count - first), f"{seed}/{method}/{first}", pause_ms)
            found = judge(folder)
            whole.wrong += found.wrong
            whole.count += found.count
            if keep is not None:
                _keep(folder, keep / method)
        finally:
            shutil.rmtree(folder)
    return whole


def _keep(folder: Path, place: Path) -> None:
    """Keep the logs, without what tells nothing: other calls, and what the target did long before."""
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "driver.log", place / "driver.log")
    wanted = ("process_madvise", ", 0x66, 0x10, ", ", 0x66, 0x11, ", "clock_nanosleep(", "select(")
    for path in folder.glob("strace.*"):
        lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
        kept = [line for line in lines if any(part in line for part in wanted)]
        if any("process_madvise" in line for line in kept):
            (place / path.name).write_text("".join(kept), "utf-8")
    rows = [json.loads(line) for line in (folder / "driver.log").read_text("ascii").splitlines()]
    later = _later(folder / "target.log", rows[0]["begin"], rows[-1]["end"])
    (place / "target.log").write_text("".join(later), "ascii")


def _later(log: Path, begin: int, end: int) -> list[str]:
    """Return the lines that tell what stood where from one moment to another."""
    lines = log.read_text("ascii").splitlines(keepends=True)
    kept: list[str] = []
    settled: set[tuple[int, int]] = set()
    for line in reversed(lines):
        if line[0].isalpha():
            kept.append(line)
            continue
        thread, begun, took, first, count, _state = map(int, line.split())
        ended = begun + took
        pages = {(thread, page) for page in range(first, first + count)}
        if begun < end and (ended >= begin or not pages <= settled):
            kept.append(line)
        if ended < begin:
            settled |= pages
    return kept[::-1]


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.witness", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="transactions a method")
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--pause-ms", type=float, default=1, help="of the target, between changes")
    parser.add_argument("--keep", type=Path, help="where the logs go (of the last batch)")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}")
    failed = False
    for method in options.method or METHODS:
        began = time.monotonic()
        found = witness(method, options.runs, options.seed, options.pause_ms, options.keep)
        print(f"== {method}: {len(found.wrong)} wrong, {time.monotonic() - began:.0f} s")
        for what, number in sorted(found.count.items()):
            print(f"   {number:>9} {what}")
        for words in found.wrong[:20]:
            print(f"   WRONG {words}")
        failed = failed or bool(found.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
