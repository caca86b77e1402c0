"""How memtui ends by a signal, whatever its main thread does; and from its first line on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from memtui.ui.app import _THREADS
from memtui.ui.session import Session

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0
GRACE_S = 2.0

_BEGIN = """
import ctypes, os, signal, sys, threading, time
from memtui.shutdown import CommandSignals, ScreenSignals
lock = threading.Lock()
libc = ctypes.CDLL(None)
def say(word):
    os.write(1, word.encode() + b"\\n")
def hang_in_c():
    # Takes a mutex twice: a system call that no handler of Python's interrupts.
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)
def release():
    with lock:
        say("release")
"""


def run_script(body: str) -> tuple[int, list[str], float]:
    """Run a script; return its exit code, what it said, and how long it took after ``begin``."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN + textwrap.dedent(body)],
        bufsize=0,
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begin\n"
        began = time.monotonic()
        out, _ = process.communicate(timeout=WAIT_S)
        return process.returncode, out.decode().split(), time.monotonic() - began
    finally:
        process.kill()
        process.wait()


def test_a_signal_under_a_lock_that_releasing_needs_is_no_deadlock() -> None:
    code, said, _ = run_script(
        """
        with ScreenSignals(release, os._exit):
            with lock:
                say("begin")
                signal.raise_signal(signal.SIGTERM)
                say("interrupted")
            time.sleep(60)
        """
    )
    assert (code, said) == (128 + signal.SIGTERM, ["interrupted", "release"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_screen_ends_in_time_though_a_lock_is_never_given_back(number: signal.Signals) -> None:
    code, said, took_s = run_script(
        f"""
        with ScreenSignals(lambda: say("release"), lambda code: say(str(code))):
            lock.acquire()
            say("begin")
            os.kill(os.getpid(), {number:d})
            hang_in_c()
        """
    )
    assert (code, said) == (128 + number, ["release", str(128 + number)])
    assert took_s == pytest.approx(GRACE_S, abs=1.5)


def test_the_kernel_ends_it_where_releasing_itself_hangs() -> None:
    code, said, _ = run_script(
        """
        lock.acquire()
        with ScreenSignals(release, os._exit):
            say("begin")
            os.kill(os.getpid(), signal.SIGTERM)
            hang_in_c()
        """
    )
    assert (code, said) == (-signal.SIGALRM, [])


def test_what_the_screen_lets_go_of_afterwards_is_bounded_too() -> None:
    code, said, took_s = run_script(
        """
        import memtui.shutdown
        memtui.shutdown.CLOSING_S = 0.5
        over = threading.Event()
        with ScreenSignals(lambda: None, lambda code: over.set()):
            say("begin")
            os.kill(os.getpid(), signal.SIGTERM)
            over.wait()
        say("closing")
        hang_in_c()
        """
    )
    assert (code, said) == (-signal.SIGALRM, ["closing"])
    assert took_s < GRACE_S


def test_a_command_releases_while_its_main_thread_is_in_a_system_call() -> None:
    code, said, _ = run_script(
        """
        with CommandSignals(lambda: say(f"release, cancelled: {signals.cancelled.is_set()}")) as signals:
            say("begin")
            os.kill(os.getpid(), signal.SIGTERM)
            hang_in_c()
        """
    )
    assert (code, " ".join(said)) == (128 + signal.SIGTERM, "release, cancelled: True")


def test_a_commands_handler_waits_for_no_lock() -> None:
    code, said, _ = run_script(
        """
        with CommandSignals(release) as signals:
            with lock:
                say("begin")
                os.kill(os.getpid(), signal.SIGINT)
                assert signals.came
                say("came")
            signals.cancelled.wait()
            say("cancelled")
        """
    )
    assert (code, said) == (0, ["came", "cancelled"]), "SIGINT releases nothing"


def test_a_command_that_is_to_survive_a_hangup_does() -> None:
    code, said, _ = run_script(
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with CommandSignals(release) as signals:
            say("begin")
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.came
        """
    )
    assert (code, said) == (0, [])


def test_handlers_and_wakeup_are_as_before() -> None:
    code, said, _ = run_script(
        """
        say("begin")
        before = [signal.getsignal(number) for number in (1, 2, 15)]
        with ScreenSignals(lambda: None, os._exit):
            with CommandSignals(release):
                pass
        assert [signal.getsignal(number) for number in (1, 2, 15)] == before
        assert signal.set_wakeup_fd(-1) == -1
        """
    )
    assert (code, said) == (0, [])


_WHEN_IMPORTED = """
import importlib, os, pathlib, re, runpy, sys
number, when, how, *arguments = sys.argv[1:]
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == when:
            os.kill(os.getpid(), int(number))
        return None
sys.meta_path.insert(0, Finder())
sys.argv[1:] = arguments
if how == "module":
    runpy.run_module("memtui", run_name="__main__", alter_sys=True)
else:
    # As the script that pip makes of it.
    place = re.search(r'^memtui = "(.*):(.*)"$', pathlib.Path("pyproject.toml").read_text(), re.MULTILINE)
    sys.exit(getattr(importlib.import_module(place[1]), place[2])())
print("not ended", file=sys.stderr)
"""


@pytest.mark.parametrize("how", ["module", "script"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    "when",
    ["memtui.shutdown", "memtui.model.reasons", "memtui.cli", "argparse", "memtui.cli.advise", "psutil"],
)
def test_a_signal_during_the_imports_ends_with_5(when: str, number: signal.Signals, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WHEN_IMPORTED, str(int(number)), when, how, "advise", "cold", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, "", "")


def test_a_hangup_that_is_ignored_does_not_end_the_start() -> None:
    done = subprocess.run(
        ["nohup", sys.executable, "-c", _WHEN_IMPORTED, "1", "memtui.cli", "module", "--version"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("memtui ")


@pytest.mark.parametrize("arguments", ["--help", "--version", "history"])
@pytest.mark.parametrize("unbuffered", [True, False])
def test_an_output_that_takes_nothing_is_told_once(arguments: str, unbuffered: bool, tmp_path: Path) -> None:
    environment = {**os.environ, **({"PYTHONUNBUFFERED": "1"} if unbuffered else {})}
    if not unbuffered:
        environment.pop("PYTHONUNBUFFERED", None)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "memtui", "--state-dir", str(tmp_path), arguments],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "memtui: No space left on device\n"


def test_an_error_that_nobody_can_be_told_keeps_its_code(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "memtui", "--state-dir", str(tmp_path), "maps", "999999999"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=WAIT_S,
            check=False,
        )
    assert (done.returncode, done.stdout) == (4, b"")


def test_the_threads_of_a_screen_are_counted() -> None:
    """Beside those of the session: two of Textual's, and one for refaults. The signals' runs by then."""
    threads = Session._threads.fget  # type: ignore[attr-defined]
    assert threads is not None
    assert threads.__code__.co_names == ("sampler", "executor", "queries", "searches", "map_worker")
    assert len(threads.__code__.co_names) + 4 == _THREADS
