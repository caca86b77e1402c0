"""Who else maps the pages of a file: found also where another container has them under another device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memtui.linux import folios
from memtui.linux.procfs import parse_maps
from memtui.linux.sharers import mappers_of
from memtui.model.restore import Sharers
from memtui.model.vma import Vma
from memtui.render.vma import explain_mappers
from tests.kernel.mappings import SIZE, Stage
from tests.kernel.toolkit import PAGE, Child, at

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINER = """
mkdir {place}/{name} {place}/{name}/upper {place}/{name}/work {place}/{name}/merged
mount -t overlay -o lowerdir={place}/lower,upperdir={place}/{name}/upper,workdir={place}/{name}/work \
  none {place}/{name}/merged
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as made:
        yield made


def vma_at(child: Child, start: int) -> Vma:
    text = Path(f"/proc/{child.pid}/maps").read_bytes()
    return next(vma for vma in parse_maps(text, frozenset()) if vma.start == start)


def look(child: Child, start: int) -> Sharers:
    return mappers_of(vma_at(child, start), but=child.pid)


def words(mappers: Sharers) -> str:
    return "\n".join(explain_mappers(mappers, ""))


class Containers:
    """Two processes in mount namespaces of their own, each with an overlay over the same lower layer."""

    def __init__(self, stage: Stage) -> None:
        self.place = stage.folder()
        lower = Path(self.place) / "lower"
        lower.mkdir()
        (lower / "pages").write_bytes(bytes(range(256)) * (SIZE // 256))
        self.one, self.other = (self._start(stage, name) for name in ("one", "other"))

    def _start(self, stage: Stage, name: str) -> Child:
        child = stage.in_mounts_of_its_own()
        child.do("run", script=_CONTAINER.format(place=self.place, name=name))
        return child

    def map(self, child: Child, name: str, count: int = SIZE, offset: int = 0) -> int:
        path = f"{self.place}/{name}/merged/pages"
        start = child.map(count, path=path, offset=offset, protection=1, read_only=True)
        child.do("touch", address=start, size=count)
        return start


def test_pages_of_another_container_are_found_under_another_device(stage: Stage) -> None:
    both = Containers(stage)
    ours, theirs = both.map(both.one, "one"), both.map(both.other, "other")
    assert vma_at(both.one, ours).device != vma_at(both.other, theirs).device
    entry = at(both.one.pid, ours)
    assert entry.fields["Shared_Clean"] + entry.fields["Shared_Dirty"] == SIZE, "they are the very same pages"
    found = look(both.one, ours)
    assert [item.pid for item in found.found] == [both.other.pid]
    assert "none" not in words(found)


def test_another_part_of_the_file_shares_no_page(stage: Stage) -> None:
    both = Containers(stage)
    ours = both.map(both.one, "one", SIZE // 2)
    both.map(both.other, "other", SIZE // 2, offset=SIZE // 2)
    assert look(both.one, ours).found == ()


def test_a_copy_of_the_same_name_is_another_file(stage: Stage) -> None:
    """Written in one container it is copied up: no page is the other's."""
    both = Containers(stage)
    both.other.do("run", script=f"echo >> {both.place}/other/merged/pages")
    ours = both.map(both.one, "one")
    both.map(both.other, "other")
    found = look(both.one, ours)
    assert (found.found, found.possible) == ((), ())


def test_where_page_frames_are_hidden_it_is_not_said_that_none_was_seen_for_sure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Containers(stage)
    ours = both.map(both.one, "one")
    both.map(both.other, "other")
    monkeypatch.setattr(folios, "has_capability", lambda _number: False)
    found = look(both.one, ours)
    assert found.found == ()
    assert [item.pid for item in found.possible] == [both.other.pid]
    assert "the same file on another device: its pages cannot be compared" in words(found)


def test_a_process_that_maps_it_twice_is_told(stage: Stage) -> None:
    child = stage.child
    path = child.do("memfd", size=SIZE)
    start = child.map(SIZE, path=path, shared=True, fill=1)
    assert "this process itself" not in words(look(child, start))
    child.map(PAGE, path=path, shared=True)
    found = look(child, start)
    assert (found.found, found.mapped_again) == ((), 1)
    assert "this process itself maps it 1 time more" in words(found)
