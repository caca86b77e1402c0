"""An independent witness: what strace saw of the calls, against the target's own log of its map.

MEMTUI_WITNESS_RUNS says how many transactions there are a method; `make witness` runs 10,000.
"""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.freeze.method_info import choices
from memtui.linux import sysinfo
from memtui.linux.procfs import read_stat
from memtui.model.freeze import Freeze
from memtui.model.process import ProcessId
from memtui.render.freeze import describe_choice
from tests.conftest import need
from tests.kernel.toolkit import Child
from tests.witness.__main__ import METHODS, witness
from tests.witness.check import FOREVER, Event, Logs, Verdict, Witness, read_logs

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = int(os.environ.get("MEMTUI_WITNESS_RUNS", "300"))
LOGS = Path(__file__).parents[1] / "witness_logs"


def need_method(method: str) -> None:
    """Skip where a process of ours cannot be held so."""
    with Child() as child:
        process = ProcessId(child.pid, read_stat(child.pid).start_time, sysinfo.boot_id())
        (choice,) = [choice for choice in choices(process) if choice.method is Freeze(method)]
    need(choice.available, f"{method} is not to be had here: {describe_choice(choice)}")


@pytest.mark.parametrize("method", METHODS)
def test_what_the_kernel_was_asked_is_what_was_marked(method: str) -> None:
    need(shutil.which("strace") is not None, "no strace on this machine")
    need_method(method)
    found = witness(method, RUNS, f"test {os.getpid()}")
    assert not found.wrong, (len(found.wrong), found.wrong[:10])
    count = found.count
    assert count["transactions"] == RUNS
    # That it was looked at, and that there was something to see: the busier the machine, the longer the
    # target has for changing what was planned before it is held, and the less is left to be advised.
    assert count["calls"] > RUNS / 10
    assert count["standing pages"] > RUNS / 3
    assert count["planned pages"] > 1.2 * count["standing pages"], "the target changes what was planned"
    assert count["not held to the end"] <= RUNS / 100
    if method == "off":
        assert count["ranges sure to have raced"] > 0
    else:
        assert count["holds with 50 reads or more"] > RUNS / 50


@pytest.fixture(scope="module", params=METHODS)
def logs(request: pytest.FixtureRequest) -> Logs:
    """The logs of a short run that are kept beside the tests."""
    return read_logs(LOGS / request.param)


def test_a_call_ends_no_sooner_than_the_thread_makes_its_next_one(tmp_path: Path) -> None:
    # strace waited for a CPU after the first time: by its duration, 11 us, the call would end too soon.
    query = "ioctl(6</proc/7/maps>, _IOC(_IOC_READ|_IOC_WRITE, 0x66, 0x11, 0x68), 0x1) = 0 <0.000011000>"
    (tmp_path / "target.log").touch()
    (tmp_path / "driver.log").touch()
    (tmp_path / "strace.9").write_text(
        f"5.000000000 {query}\n5.004000000 clock_nanosleep(CLOCK_MONOTONIC, 0, {{}}, NULL) = 0\n6.0 {query}\n"
    )
    found = [(event.begin, event.end) for event in read_logs(tmp_path).calls]
    assert found == [(5_000_000_000, 5_004_000_000), (6_000_000_000, FOREVER)]


def judged(logs: Logs) -> Verdict:
    return Witness(logs).judge()


def test_nothing_is_wrong_in_the_logs_that_are_kept(logs: Logs) -> None:
    found = judged(logs)
    assert found.wrong == []
    assert found.count["calls"] > 3
    assert found.count["standing pages"] > 0


def _calls(logs: Logs) -> list[int]:
    """Where the calls are that the kernel took whole."""
    return [
        at
        for at, event in enumerate(logs.calls)
        if event.what == "advise" and event.result == sum(end - start for start, end in event.elements)
    ]


def _with(logs: Logs, at: int, event: Event | None) -> None:
    logs.calls[at : at + 1] = [] if event is None else [event]


def advise_one_page_more(logs: Logs) -> str:
    at = _calls(logs)[1]
    marked = {(mark[0], mark[1]) for row in logs.transactions for mark in row["marks"]}
    end = max(end for _, end in marked)
    event = logs.calls[at]
    elements = (*event.elements, (end, end + logs.arenas[0].page))
    _with(logs, at, event._replace(elements=elements, result=event.result + logs.arenas[0].page))
    return "was advised and not marked"


def advise_another_process(logs: Logs) -> str:
    at = _calls(logs)[0]
    _with(logs, at, logs.calls[at]._replace(pid=1))
    return "a call on another process"


def leave_a_call_out(logs: Logs) -> str:
    _with(logs, _calls(logs)[0], None)
    return "bytes reported as advised"


def take_back_an_element(logs: Logs) -> str:
    at = _calls(logs)[0]
    event = logs.calls[at]
    _with(logs, at, event._replace(result=event.result - logs.arenas[0].page))
    return "bytes reported as advised"


def advise_without_a_re_check(logs: Logs) -> str:
    for row in logs.transactions:
        row["rehearsed"] = False
    logs.calls[:] = [event for event in logs.calls if event.what != "query"]
    return "advised without a re-check"


def call_between_transactions(logs: Logs) -> str:
    event = logs.calls[_calls(logs)[-1]]
    late = 10**9
    logs.calls.append(event._replace(begin=event.begin + late, end=event.end + late))
    return "a call outside all transactions"


def unmap_before_the_re_check(logs: Logs) -> str:
    event = logs.calls[_calls(logs)[0]]
    row = logs.transactions[0]
    for later in logs.transactions:
        if later["begin"] <= event.begin - row["real"] + row["monotonic"]:
            row = later
    page, (thread, arena) = event.elements[0][0], (0, logs.arenas[0])
    for number, other in enumerate(logs.arenas):
        if other.start <= page < other.end:
            thread, arena = number, other
    gone = (thread, row["begin"], row["begin"] + 1, (page - arena.start) // arena.page, 1, 0)
    before = [done for done in logs.operations if done[1] < row["begin"]]
    logs.operations[:] = [*before, gone, *(done for done in logs.operations if done[1] >= row["end"])]
    return "had changed before the re-check"


FORGERIES = [
    advise_one_page_more,
    advise_another_process,
    leave_a_call_out,
    take_back_an_element,
    advise_without_a_re_check,
    call_between_transactions,
    unmap_before_the_re_check,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: str(forge.__name__))
def test_the_witness_sees_what_is_wrong(logs: Logs, forge: Callable[[Logs], str]) -> None:
    forged = copy.deepcopy(logs)
    words = forge(forged)
    found = judged(forged)
    assert any(words in wrong for wrong in found.wrong), found.wrong


def test_the_witness_sees_a_map_that_changes_while_held() -> None:
    logs = read_logs(LOGS / "ptrace")
    event = logs.calls[_calls(logs)[0]]
    row = logs.transactions[0]
    at = event.begin - row["real"] + row["monotonic"]
    logs.operations.append((0, at, at + 1, 0, 1, 1))
    logs.operations.sort(key=lambda done: (done[0], done[1]))
    assert any("changed its map while held" in wrong for wrong in judged(logs).wrong)
    logs = read_logs(LOGS / "ptrace")
    logs.transactions[0]["maps_seen"] = 2
    row = next(row for row in logs.transactions if row["calls"])
    row["maps_seen"] = 2
    assert any("2 different maps" in wrong for wrong in judged(logs).wrong)


def test_the_witness_sees_a_race_that_is_not_told_and_one_that_was_none() -> None:
    logs = read_logs(LOGS / "off")
    raced = [item for row in logs.transactions for item in row["ranges"] if item[4] == "raced"]
    assert raced, "the kept logs have a race"
    for item in raced:
        item[4] = "unverified"
    assert any("is told as unverified" in wrong for wrong in judged(logs).wrong)
    for row in logs.transactions:
        for item in row["ranges"]:
            item[4] = "raced"
    assert any("is told as raced and did not" in wrong for wrong in judged(logs).wrong)


def test_the_witness_sees_what_stood_and_was_not_advised() -> None:
    logs = read_logs(LOGS / "sigstop")
    for row in logs.transactions:
        for item in row["ranges"]:
            item[3] = 0
    logs.calls[:] = [event for event in logs.calls if event.what != "advise"]
    assert any("stood and was not advised" in wrong for wrong in judged(logs).wrong)
