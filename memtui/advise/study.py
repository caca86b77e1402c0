"""What is looked up for a plan only: who else maps the pages, what is huge, what the page cache holds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from memtui.advise.forecast import Part
from memtui.linux.filecache import cache_facts
from memtui.linux.handle import ProcessHandle
from memtui.linux.pagefacts import PageSurvey
from memtui.linux.pagemap import Source
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.pages import PageFacts, huge_facts
from memtui.model.ranges import inner_aligned
from memtui.model.reasons import Reason
from memtui.model.vma import CACHED_KINDS, Kind, MappedVma, Vma, VmaDetails


class Study:
    """Looks up what the forecast of one advice needs. Touches nothing; ends soon after ``cancelled``.

    A test may ask for a lesser ``source`` of page states than the best that works here.

    Raises:
        MemtuiError: CANCELLED; if the process has gone.
    """

    def __init__(
        self,
        handle: ProcessHandle,
        huge_page_bytes: int | None,
        cancelled: threading.Event | None,
        source: Source = Source.SCAN,
    ) -> None:
        self._handle = handle
        self._source = source
        self._huge_page_bytes = huge_page_bytes
        self._cancelled = cancelled

    def rows(self, parts: Sequence[Part], advice: Advice) -> list[MappedVma]:
        """Return the rows of ascending parts with what was looked up in them."""
        self._look_up()
        if advice is Advice.WILLNEED:
            return [self._with_cache(part) for part in parts]
        with PageSurvey(self._handle, self._huge_page_bytes, self._source) as survey:
            if advice is Advice.COLLAPSE:
                return [self._with_blocks(survey, part.row) for part in parts]
            return self._with_pages(survey, [part.row for part in parts])

    def _look_up(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise MemtuiError(Reason.CANCELLED, "", "the plan was cancelled")

    def _with_cache(self, part: Part) -> MappedVma:
        self._look_up()
        if part.row.kind is not Kind.FILE:
            return part.row
        return part.row._replace(cache=cache_facts(self._handle.pid, part.row.vma, part.whole))

    def _with_blocks(self, survey: PageSurvey, row: MappedVma) -> MappedVma:
        size = self._huge_page_bytes
        inner = None if size is None else inner_aligned(row.vma.range, size)
        if size is None or inner is None or row.kind in (Kind.VSYSCALL, Kind.HUGETLB):
            return row
        found = []
        runs = survey.runs((inner,)) if survey.sees_zero_and_huge else None
        if runs is None:
            return row
        for run in runs:
            self._look_up()
            found.append(run)
        return row._replace(blocks=huge_facts(inner, found, size, of_file=row.kind in CACHED_KINDS))

    def _with_pages(self, survey: PageSurvey, rows: Sequence[MappedVma]) -> list[MappedVma]:
        usable = [row for row in rows if row.kind not in (Kind.VSYSCALL, Kind.HUGETLB)]
        steps = survey.facts([row.vma for row in usable])
        if steps is None:
            return list(rows)
        facts: list[PageFacts] = []
        for step in steps:
            if step is None:
                self._look_up()
            else:
                facts.append(step)
        sees_zero = survey.sees_zero_and_huge
        looked_at = [
            MappedVma(vma, rss, swap, details, label, self._corrected(vma, details, pages, sees_zero))
            for (vma, rss, swap, details, label, *_), pages in zip(usable, facts, strict=True)
        ]
        if len(usable) == len(rows):
            return looked_at
        found = {row.vma.start: row for row in looked_at}
        return [found.get(row.vma.start, row) for row in rows]

    def _corrected(
        self, vma: Vma, details: VmaDetails | None, pages: PageFacts, sees_zero: bool
    ) -> PageFacts:
        """Mend by smaps, which is of whole VMAs, what the page table does not tell.

        Of a huge page that is mapped as one it tells but the state of its first page; where smaps saw
        more shared pages, they lie in such, which stay whole. Without PAGEMAP_SCAN the zero page looks
        like a page that others map; smaps' Rss leaves it out.
        """
        size = self._huge_page_bytes
        if details is None or (sees_zero and not details.huge_bytes):
            return pages
        if details.size_bytes != vma.size_bytes:
            return pages
        if not sees_zero:
            zero = min(max(0, pages.resident_bytes - details.rss_bytes), pages.shared_bytes)
            pages = replace(pages, shared_bytes=pages.shared_bytes - zero, zero_bytes=zero)
        hidden = min(details.shared_bytes - pages.shared_bytes, details.huge_bytes)
        if hidden <= 0 or size is None:
            return pages
        stays = min(-(-hidden // size) * size, pages.own_anonymous_bytes)
        return replace(
            pages,
            own_anonymous_bytes=pages.own_anonymous_bytes - stays,
            shared_bytes=pages.shared_bytes + stays,
        )
