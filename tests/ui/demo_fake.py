"""The TUI on a made-up host, to look at by hand: ``python -m tests.ui.demo_fake [--read-only] [PID]``."""

from __future__ import annotations

import sys
import threading
import time

from memtui.ui.app import run
from memtui.ui.options import UiOptions
from tests.fakes import FakeHost


def main() -> int:
    """Run it; calls of a plan take a quarter of a second, so that there is something to cancel."""
    pids = [int(word) for word in sys.argv[1:] if word.isdigit()]
    host = FakeHost(gate=threading.Event())

    def slowly() -> None:
        assert host.gate is not None
        while True:
            time.sleep(0.25)
            host.gate.set()
            host.gate.clear()

    threading.Thread(target=slowly, daemon=True).start()
    options = UiOptions(
        pid=pids[0] if pids else None,
        read_only="--read-only" in sys.argv,
        theme=next((word[8:] for word in sys.argv if word.startswith("--theme=")), None),
        note="A made-up machine.",
    )
    return run(host, options)


if __name__ == "__main__":
    sys.exit(main())
