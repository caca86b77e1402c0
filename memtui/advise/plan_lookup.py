"""What is looked up for a plan only: who else maps the pages, what is huge, what the page cache holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.linux.filecache import cache_facts
from memtui.linux.page_classifier import PageClassifier
from memtui.linux.pagemap import Source
from memtui.linux.pinned import Pinned, pinned_memory
from memtui.model.advice import Advice
from memtui.model.errors import MemtuiError
from memtui.model.pages import CacheFacts, HugeFacts, PageFacts, huge_facts
from memtui.model.ranges import AddressColumns, inner_aligned
from memtui.model.reasons import Detail, DetailCode, Reason
from memtui.model.vma import CACHED_KINDS, VmaKind

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from memtui.advise.forecast import LookedUp, Part
    from memtui.linux.process_handle import ProcessHandle

_NOT_LOOKED_INTO = (VmaKind.VSYSCALL, VmaKind.HUGETLB)


class PlanLookup:
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
        self._pinned = Pinned()

    def of(self, parts: Sequence[Part], advice: Advice) -> Sequence[LookedUp]:
        """Return what was looked up for each of ascending parts."""
        self._look_up()
        if advice is Advice.WILLNEED:
            return [self._cache(part) for part in parts]
        self._pinned = pinned_memory(self._handle.pid)
        with PageClassifier(self._handle, self._huge_page_bytes, self._source, self._pinned.ranges) as survey:
            if advice is Advice.COLLAPSE:
                return [self._blocks(survey, part) for part in parts]
            return self._pages(survey, parts)

    def _look_up(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise MemtuiError(Reason.CANCELLED, "", Detail(DetailCode.PLAN_CANCELLED).text)

    def _cache(self, part: Part) -> CacheFacts | None:
        self._look_up()
        if part.kind is not VmaKind.FILE:
            return None
        return cache_facts(self._handle.pid, part.seen.vma, part.whole)

    def _blocks(self, survey: PageClassifier, part: Part) -> HugeFacts | None:
        size = self._huge_page_bytes
        inner = None if size is None else inner_aligned(part.range, size)
        if size is None or inner is None or part.kind in _NOT_LOOKED_INTO:
            return None
        found = []
        runs = survey.runs((inner,)) if survey.sees_zero_and_huge else None
        if runs is None:
            return None
        for run in runs:
            self._look_up()
            found.append(run)
        flags = frozenset((part.details.flags if part.details is not None else None) or ())
        of_file = part.kind in CACHED_KINDS
        # Holes of anonymous memory stay under any watch, those of a file where missing pages are watched:
        # hpage_collapse_scan_pmd(), collapse_file(), mm/khugepaged.c.
        keeps_holes = "um" in flags or (not of_file and not flags.isdisjoint(("uw", "ui")))
        protected = survey.write_protected(found, size) if "uw" in flags else ()
        return huge_facts(
            inner,
            found,
            size,
            of_file=of_file,
            pinned=self._pinned.ranges,
            keeps_holes=keeps_holes,
            protected=protected,
        )

    def _pages(self, survey: PageClassifier, parts: Sequence[Part]) -> Sequence[PageFacts | None]:
        usable = [part for part in parts if part.kind not in _NOT_LOOKED_INTO]
        steps = survey.facts(AddressColumns.from_items([part.range for part in usable]))
        if steps is None:
            return [None] * len(parts)
        facts: list[PageFacts] = []
        for step in steps:
            if step is None:
                self._look_up()
            else:
                facts.append(step)
        sees_zero = survey.sees_zero_and_huge
        if not sees_zero or any(_smaps_says_more(part) for part in usable):
            facts = [
                self._corrected(part, pages, sees_zero) for part, pages in zip(usable, facts, strict=True)
            ]
        if usable and usable[0].space.swap_by_smaps:
            facts = [_without_markers(part, pages) for part, pages in zip(usable, facts, strict=True)]
        if self._pinned.elsewhere_bytes:
            elsewhere = self._pinned.elsewhere_bytes
            facts = [pages._replace(pinned_elsewhere_bytes=elsewhere) for pages in facts]
        if len(usable) == len(parts):
            return facts
        found = iter(facts)
        return [None if part.kind in _NOT_LOOKED_INTO else next(found) for part in parts]

    def _corrected(self, part: Part, pages: PageFacts, sees_zero: bool) -> PageFacts:
        """Mend by smaps, which is of whole VMAs, what the page table does not tell.

        Of a huge page that is mapped as one it tells but the state of its first page; where smaps saw
        more shared pages, they lie in such, which stay whole. Without PAGEMAP_SCAN the zero page looks
        like a page that others map; smaps' Rss leaves it out.
        """
        size, details = self._huge_page_bytes, part.details
        if details is None or (sees_zero and not _smaps_says_more(part)):
            return pages
        if details.size_bytes != part.range.size_bytes:
            return pages
        if details.merged_bytes:
            merged = min(details.merged_bytes, pages.shared_bytes)
            pages = pages._replace(shared_bytes=pages.shared_bytes - merged, merged_bytes=merged)
        if not sees_zero:
            zero = min(max(0, pages.resident_bytes - details.rss_bytes), pages.shared_bytes)
            pages = pages._replace(shared_bytes=pages.shared_bytes - zero, zero_bytes=zero)
        hidden = min(details.shared_bytes - pages.shared_bytes - pages.merged_bytes, details.huge_bytes)
        if hidden <= 0 or size is None:
            return pages
        stays = min(-(-hidden // size) * size, pages.own_anonymous_bytes)
        return pages._replace(
            own_anonymous_bytes=pages.own_anonymous_bytes - stays,
            shared_bytes=pages.shared_bytes + stays,
        )


def _smaps_says_more(part: Part) -> bool:
    """Whether smaps saw huge pages, or pages that KSM merged."""
    details = part.details
    return details is not None and (details.huge_bytes > 0 or details.merged_bytes > 0)


def _without_markers(part: Part, pages: PageFacts) -> PageFacts:
    """Take out of what looks swapped what is not, as far as that is known.

    Who sees the types of swap entries, as he sees large folios, has seen no marker as swapped.
    """
    details = part.details
    if pages.folios_known or part.whole.start not in part.space.swap_by_smaps:
        return pages
    if details is not None and (not details.swap_bytes or details.size_bytes == part.range.size_bytes):
        return pages._replace(swapped_bytes=min(pages.swapped_bytes, details.swap_bytes))
    return pages._replace(swapped_bytes=0, marked_bytes=pages.swapped_bytes)
