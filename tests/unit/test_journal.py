"""The journal's file, where somebody else removes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.freeze.journal import Entry, Journal, read

if TYPE_CHECKING:
    from pathlib import Path


def test_a_journal_that_was_removed_is_written_anew_with_all_that_stands_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "holds"
    entries = [Entry("boot", 100 + at, 1, "sigstop") for at in range(4)]
    book = Journal(folder)
    for count, entry in enumerate(entries, 1):
        book.add(entry)
        (path,) = folder.iterdir()
        assert read(path, of_the_living=True).entries == tuple(entries[:count])
        # The next one gets a file of the same name.
        path.unlink()
    book.drop(entries[0])
    (path,) = folder.iterdir()
    assert read(path, of_the_living=True).entries == tuple(entries[1:])
    for entry in entries[1:]:
        book.drop(entry)
    book.close()
    assert not folder.exists()
