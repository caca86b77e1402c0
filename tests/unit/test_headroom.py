"""What is forecast to be brought in, held against the room that there is."""

from __future__ import annotations

import pytest

from memtui.advise import headroom
from memtui.advise.headroom import fit_in_room
from memtui.model.advice import Advice
from memtui.model.plan import PlannedRange
from memtui.model.ranges import Range
from memtui.model.reasons import Reason
from memtui.model.verdict import Expectation, ReasonBytes, Verdict
from memtui.model.vma import VmaKind

MIB = 1 << 20


def planned(kind: VmaKind, forecast: int | None, at: int = 0) -> PlannedRange:
    verdict = Verdict(Expectation.YES if forecast else Expectation.NO, forecast)
    return PlannedRange(Range(at, at + 16 * MIB), "", None, kind, verdict)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    found = {"machine": 1 << 40, "group": 1 << 40}

    class Limits:
        def __init__(self, _pid: int) -> None:
            pass

        def room_bytes(self, _share: float) -> int:
            return found["group"]

    monkeypatch.setattr(headroom, "MemoryLimits", Limits)
    monkeypatch.setattr(headroom, "machine_room_bytes", lambda: found["machine"])
    return found


def forecasts(ranges: list[PlannedRange]) -> list[tuple[int | None, Reason | None]]:
    return [(item.verdict.forecast_bytes, item.verdict.main_reason) for item in ranges]


def test_with_room_for_all_nothing_changes(room: dict[str, int]) -> None:
    ranges = [planned(VmaKind.ANON, 8 * MIB), planned(VmaKind.ANON, None), planned(VmaKind.FILE, 0)]
    assert fit_in_room(ranges, Advice.WILLNEED, 1, 2 * MIB) == ranges


def test_the_room_of_the_group_is_used_up_in_order_and_files_need_none(room: dict[str, int]) -> None:
    room["group"] = 10 * MIB
    ranges = [planned(kind, 8 * MIB) for kind in (VmaKind.ANON, VmaKind.FILE, VmaKind.SHMEM, VmaKind.HEAP)]
    found = fit_in_room(ranges, Advice.WILLNEED, 1, 2 * MIB)
    limit = Reason.MEMORY_LIMIT
    assert forecasts(found) == [(8 * MIB, None), (8 * MIB, None), (2 * MIB, limit), (0, limit)]
    assert [item.verdict.will for item in found] == [
        Expectation.YES,
        Expectation.YES,
        Expectation.PARTLY,
        Expectation.NO,
    ]
    assert found[2].verdict.reasons == (ReasonBytes(limit, 6 * MIB),)
    assert all(item.goes == was.goes for item, was in zip(found, ranges, strict=True))


def test_the_machine_is_for_files_too(room: dict[str, int]) -> None:
    room["machine"] = 10 * MIB
    found = fit_in_room([planned(VmaKind.FILE, 8 * MIB)] * 2, Advice.WILLNEED, 1, 2 * MIB)
    assert forecasts(found) == [(8 * MIB, None), (2 * MIB, Reason.MEMORY_LOW)]


def test_collapse_needs_room_for_a_huge_page(room: dict[str, int]) -> None:
    ranges = [planned(VmaKind.ANON, 8 * MIB)] * 2
    room["group"] = 2 * MIB
    assert fit_in_room(ranges, Advice.COLLAPSE, 1, 2 * MIB) == ranges
    room["group"] -= 1
    assert forecasts(fit_in_room(ranges, Advice.COLLAPSE, 1, 2 * MIB)) == [(0, Reason.MEMORY_LIMIT)] * 2
