"""Will this VMA take this advice? docs/kernel-facts.md 3, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memtui.model.advice import Advice
from memtui.model.freeze import Freeze
from memtui.model.pages import FILE, PRESENT, SWAPPED, CacheFacts, HugeFacts, PageFacts, huge_facts
from memtui.model.plan import Plan, PlannedRange, TargetPlan
from memtui.model.ranges import PAGE_BYTES
from memtui.model.reasons import Reason
from memtui.model.verdict import Expectation, MachineFacts, ReasonBytes, Verdict, judge
from memtui.model.vma import ANONYMOUS_KINDS, MappedVma, Vma, VmaKind
from memtui.render.forecast import explain_verdicts, forecast_in_words, forecast_size
from memtui.render.reasons import rest_in_words
from memtui.ui.presentation.verdicts import VerdictRows
from tests.unit.make import BASE, details, process, row, vma

HUGE = 2 << 20
MIB = 1 << 20
RECLAIM = (Advice.COLD, Advice.PAGEOUT)
MACHINE = MachineFacts(swap_free_bytes=1 << 40, huge_page_bytes=HUGE)
NO_SWAP = MachineFacts(swap_free_bytes=0, huge_page_bytes=HUGE)


def refusal(verdict: Verdict) -> Reason | None:
    return verdict.main_reason if verdict.refused else None


@pytest.mark.parametrize("advice", RECLAIM)
@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (row(rss=MIB, more=details("rd wr lo")), Reason.LOCKED),
        (row(rss=MIB, more=details("rd wr lo lf")), Reason.LOCKED),
        (row(vma(VmaKind.DEVICE), rss=0, more=details("rd wr io pf")), Reason.PFNMAP),
        (row(vma(VmaKind.VVAR), rss=0), Reason.PFNMAP),
        (row(vma(VmaKind.HUGETLB), rss=0), Reason.HUGETLB),
        (row(vma(VmaKind.SHMEM), rss=0, more=details("rd wr ht")), Reason.HUGETLB),
        (row(vma(VmaKind.VSYSCALL, start=0xFFFFFFFFFF600000, size=4096)), Reason.VSYSCALL),
        # The highest of x86-64, and of arm64 with 48 and with 52 bits: below TASK_SIZE, since it is mapped.
        (row(vma(start=0x7FFFFFFFF000 - 4096, size=4096), rss=4096), None),
        (row(vma(start=0xFFFF_FFFF_F000 - 4096, size=4096), rss=4096), None),
        (row(vma(start=0xF_FFFF_FFFF_F000 - 4096, size=4096), rss=4096), None),
        (row(rss=MIB), None),
        (row(vma(VmaKind.VDSO, size=8192), rss=4096, more=details("rd ex de")), None),
        (row(rss=MIB, more=details("rd wr io mm")), None),
    ],
)
def test_what_cold_and_pageout_refuse(advice: Advice, of: MappedVma, reason: Reason | None) -> None:
    """can_madv_lru_vma(), mm/madvise.c: locked, PFN map and hugetlb; and addresses beyond TASK_SIZE."""
    verdict = judge(of, advice, MACHINE)
    assert refusal(verdict) is reason
    if reason is not None:
        assert verdict == Verdict(Expectation.NO, 0, (ReasonBytes(reason, of.vma.size_bytes),))


@pytest.mark.parametrize(
    "of",
    [
        row(rss=MIB, swap=0, more=details("rd wr lo")),
        row(vma(VmaKind.VVAR), rss=0, swap=0),
        row(vma(VmaKind.HUGETLB), rss=0, swap=0),
        row(vma(VmaKind.DEVICE), rss=0, swap=0, more=details("pf")),
    ],
)
def test_willneed_takes_those_and_does_nothing(of: MappedVma) -> None:
    verdict = judge(of, Advice.WILLNEED, MACHINE)
    assert not verdict.refused
    assert (verdict.will, verdict.forecast_bytes) == (Expectation.NO, 0)
    assert verdict.main_reason is Reason.LOCKED_IN_RAM


@pytest.mark.parametrize("advice", Advice)
def test_a_32_bit_program_advises_none_beyond_its_pointers(advice: Advice) -> None:
    machine = MACHINE._replace(address_limit=1 << 32)
    low = row(vma(start=(1 << 32) - HUGE, size=HUGE), rss=MIB, swap=MIB)
    assert refusal(judge(low, advice, machine)) is None
    high = row(vma(start=BASE, size=HUGE), rss=MIB, swap=MIB)
    assert refusal(judge(high, advice, machine)) is Reason.ADDRESS_TOO_HIGH


def test_vsyscall_poisons_every_advice() -> None:
    for advice in Advice:
        assert refusal(judge(row(vma(VmaKind.VSYSCALL)), advice, MACHINE)) is Reason.VSYSCALL


@pytest.mark.parametrize(
    ("swap", "will", "forecast", "reason"),
    [
        (0, Expectation.NO, 0, Reason.NOTHING_SWAPPED),
        (MIB, Expectation.YES, MIB, None),
        (None, Expectation.PARTLY, None, None),
    ],
)
def test_willneed_reads_in_what_is_in_swap(
    swap: int | None, will: Expectation, forecast: int | None, reason: Reason | None
) -> None:
    verdict = judge(row(rss=0, swap=swap), Advice.WILLNEED, MACHINE)
    assert (verdict.will, verdict.forecast_bytes, verdict.main_reason) == (will, forecast, reason)


def test_willneed_on_a_file_is_not_known_beforehand() -> None:
    verdict = judge(row(vma(VmaKind.FILE, name="/x", inode=7), rss=0, swap=0), Advice.WILLNEED, MACHINE)
    assert (verdict.will, verdict.forecast_bytes) == (Expectation.PARTLY, None)


@pytest.mark.parametrize("advice", RECLAIM)
def test_all_that_is_resident_goes(advice: Advice) -> None:
    assert judge(row(rss=MIB), advice, MACHINE) == Verdict(Expectation.YES, MIB)


@pytest.mark.parametrize("advice", RECLAIM)
def test_nothing_resident(advice: Advice) -> None:
    verdict = judge(row(rss=0), advice, MACHINE)
    assert (verdict.will, verdict.forecast_bytes, verdict.main_reason) == (
        Expectation.NO,
        0,
        Reason.NOTHING_RESIDENT,
    )
    assert not verdict.refused


@pytest.mark.parametrize("advice", RECLAIM)
@pytest.mark.parametrize("kind", [VmaKind.FILE, VmaKind.SHMEM])
@pytest.mark.parametrize("pages", [None, PageFacts(0, 0, 0, 0)])
def test_what_is_not_mapped_in_may_be_in_the_page_cache(
    advice: Advice, kind: VmaKind, pages: PageFacts | None
) -> None:
    verdict = judge(row(vma(kind, name="/x", inode=7), rss=0, pages=pages), advice, MACHINE)
    assert verdict == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.UNMAPPED_HERE, MIB),))


@pytest.mark.parametrize("advice", RECLAIM)
def test_unknown_stays_unknown(advice: Advice) -> None:
    assert judge(row(rss=None), advice, MACHINE) == Verdict(Expectation.PARTLY, None)


@pytest.mark.parametrize("advice", RECLAIM)
def test_pages_that_others_map_stay(advice: Advice) -> None:
    part = judge(row(rss=MIB, more=details(rss=MIB, shared=4096)), advice, MACHINE)
    assert part == Verdict(Expectation.PARTLY, MIB - 4096, (ReasonBytes(Reason.SHARED_PAGES, 4096),))
    whole = judge(row(rss=MIB, more=details(rss=MIB, shared=MIB)), advice, MACHINE)
    assert whole == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.SHARED_PAGES, MIB),))
    stale = judge(row(rss=4096, more=details(rss=MIB, shared=MIB)), advice, MACHINE)
    assert stale == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.SHARED_PAGES, 4096),))


@pytest.mark.parametrize("advice", RECLAIM)
def test_pages_that_ksm_merged_are_not_said_to_be_others(advice: Advice) -> None:
    by_smaps = judge(row(rss=MIB, more=details(rss=MIB, shared=MIB, merged=MIB)), advice, MACHINE)
    assert by_smaps == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.MERGED_PAGES, MIB),))
    pages = PageFacts(0, 0, MIB - 4096, 0, merged_bytes=4096)
    by_pages = judge(row(rss=MIB, pages=pages), advice, MACHINE)
    assert by_pages.reasons == (
        ReasonBytes(Reason.SHARED_PAGES, MIB - 4096),
        ReasonBytes(Reason.MERGED_PAGES, 4096),
    )


@pytest.mark.parametrize("advice", RECLAIM)
@pytest.mark.parametrize("kind", [VmaKind.FILE, VmaKind.SHMEM])
def test_what_never_leaves_ram_stays_but_for_own_copies(advice: Advice, kind: VmaKind) -> None:
    """shrink_folio_list() asks folio_evictable(), which asks the file (mm/vmscan.c)."""
    of = row(
        vma(kind, name="/x", inode=7),
        rss=MIB,
        more=details(rss=MIB, size=MIB, unevictable=True),
        pages=PageFacts(4096, MIB - 8192, 0, 0, stuck_bytes=4096),
    )
    verdict = judge(of, advice, MACHINE)
    assert verdict == Verdict(Expectation.PARTLY, 4096, (ReasonBytes(Reason.UNEVICTABLE, MIB - 4096),))
    assert verdict.swap_bytes == (4096 if advice is Advice.PAGEOUT else 0)
    assert judge(of._replace(pages=None), advice, MACHINE).main_reason is Reason.UNEVICTABLE


@pytest.mark.parametrize("advice", RECLAIM)
def test_pinned_pages_stay_and_what_is_pinned_anywhere_makes_an_estimate(advice: Advice) -> None:
    known = judge(row(pages=PageFacts(MIB // 2, 0, 0, 0, pinned_bytes=MIB // 2)), advice, MACHINE)
    assert known == Verdict(Expectation.PARTLY, MIB // 2, (ReasonBytes(Reason.PINNED, MIB // 2),))
    assert not known.is_estimate
    somewhere = judge(row(pages=PageFacts(MIB, 0, 0, 0, pinned_elsewhere_bytes=4096)), advice, MACHINE)
    assert somewhere == Verdict(Expectation.PARTLY, MIB, (ReasonBytes(Reason.PINNED, None),))
    assert somewhere.is_estimate
    none = judge(row(pages=PageFacts(0, MIB, 0, 0, pinned_elsewhere_bytes=4096)), advice, MACHINE)
    assert none == Verdict(Expectation.YES, MIB)


@pytest.mark.parametrize("kind", [VmaKind.ANON, VmaKind.HEAP, VmaKind.STACK])
def test_without_swap_anonymous_memory_stays(kind: VmaKind) -> None:
    """reclaim_pages() finds no swap slot, and madvise reports success: measured, no effect at all."""
    none = judge(row(vma(kind), rss=MIB), Advice.PAGEOUT, NO_SWAP)
    assert none == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.NO_SWAP, MIB),))
    little = MachineFacts(swap_free_bytes=4096, huge_page_bytes=HUGE)
    some = judge(row(vma(kind), rss=MIB), Advice.PAGEOUT, little)
    assert some == Verdict(Expectation.PARTLY, 4096, (ReasonBytes(Reason.NO_SWAP, MIB - 4096),))
    assert judge(row(vma(kind), rss=MIB), Advice.COLD, NO_SWAP).will is Expectation.YES


@pytest.mark.parametrize("pages", [None, PageFacts(MIB, 0, 0, 0)])
def test_what_its_owner_gave_up_goes_without_swap(pages: PageFacts | None) -> None:
    """MADV_FREE: shrink_folio_list() drops what is not swap-backed, and asks for no swap."""
    half = MIB // 2
    of = row(rss=MIB, swap=0, more=details(rss=MIB, anonymous=MIB, size=MIB, lazy_free=half), pages=pages)
    freed = ReasonBytes(Reason.LAZY_FREE, half)
    verdict = judge(of, Advice.PAGEOUT, MACHINE)
    assert (verdict.will, verdict.forecast_bytes, verdict.swap_bytes) == (Expectation.YES, MIB, half)
    assert verdict.reasons == (freed,)
    none = judge(of, Advice.PAGEOUT, NO_SWAP)
    assert none == Verdict(Expectation.PARTLY, half, (ReasonBytes(Reason.NO_SWAP, half), freed))
    assert none.swap_bytes == 0
    assert rest_in_words(none.reasons) == (
        "512K without free swap, 512K of it will be freed (MADV_FREE: its owner gave it up)"
    )
    assert judge(of, Advice.COLD, MACHINE).reasons == ()
    part = judge(
        row(vma(size=half), more=of.details, pages=PageFacts(half, 0, 0, 0)), Advice.PAGEOUT, MACHINE
    )
    assert part.is_estimate


def test_without_swap_shared_memory_leaves_rss_all_the_same() -> None:
    """shrink_folio_list() unmaps it before it asks for swap; what was written of a private mapping stays."""
    of = vma(VmaKind.SHMEM, name="/dev/shm/x", inode=7)
    assert judge(row(of, rss=MIB), Advice.PAGEOUT, NO_SWAP) == Verdict(Expectation.YES, MIB)
    written = judge(row(of, pages=PageFacts(4096, MIB - 4096, 0, 0)), Advice.PAGEOUT, NO_SWAP)
    assert written == Verdict(Expectation.PARTLY, MIB - 4096, (ReasonBytes(Reason.NO_SWAP, 4096),))
    assert judge(row(of, rss=MIB), Advice.PAGEOUT, MACHINE).swap_bytes == MIB


def test_the_page_table_is_preferred_to_smaps() -> None:
    """Resident bytes that stay come first, then where the rest is: all add up to what was asked for."""
    pages = PageFacts(
        own_anonymous_bytes=40 * 4096,
        own_file_bytes=30 * 4096,
        shared_bytes=20 * 4096,
        swapped_bytes=10 * 4096,
        stuck_bytes=2 * 4096,
    )
    of = vma(VmaKind.FILE, size=MIB, perms="rw-p", name="/x", inode=7)
    machine = MachineFacts(swap_free_bytes=36 * 4096, huge_page_bytes=HUGE, swap_room_bytes=5 * 4096)
    verdict = judge(row(of, MIB, 0, details(rss=MIB, shared=MIB), pages=pages), Advice.PAGEOUT, machine)
    assert verdict == Verdict(
        Expectation.PARTLY,
        35 * 4096,
        (
            ReasonBytes(Reason.SHARED_PAGES, 20 * 4096),
            ReasonBytes(Reason.SKIPPED, 2 * 4096),
            ReasonBytes(Reason.NO_SWAP, 4 * 4096),
            ReasonBytes(Reason.SWAP_LIMIT, 31 * 4096),
            ReasonBytes(Reason.ALREADY_OUT, 10 * 4096),
            ReasonBytes(Reason.UNMAPPED_HERE, MIB - 102 * 4096),
        ),
    )
    assert verdict.swap_bytes == 5 * 4096
    assert not verdict.is_estimate
    cold = judge(row(of, pages=pages), Advice.COLD, machine)
    assert cold.forecast_bytes == 70 * 4096
    assert cold.main_reason is Reason.SHARED_PAGES


def test_what_is_out_or_untouched_keeps_no_advice_from_its_whole_effect() -> None:
    verdict = judge(row(pages=PageFacts(4096, 0, 0, 8192)), Advice.PAGEOUT, MACHINE)
    assert (verdict.will, verdict.forecast_bytes, verdict.main_reason) == (Expectation.YES, 4096, None)
    assert [why.reason for why in verdict.reasons] == [Reason.ALREADY_OUT, Reason.UNTOUCHED]
    nothing = judge(row(pages=PageFacts(0, 0, 0, 0)), Advice.PAGEOUT, MACHINE)
    assert nothing == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.UNTOUCHED, MIB),))


def test_pages_of_a_driver_are_skipped() -> None:
    of = row(rss=MIB, more=details("rd wr mm"), pages=PageFacts(MIB, 0, 0, 0))
    for advice in RECLAIM:
        assert judge(of, advice, MACHINE) == Verdict(Expectation.NO, 0, (ReasonBytes(Reason.SKIPPED, MIB),))


@pytest.mark.parametrize(
    ("pages", "estimate"),
    [
        (None, True),
        (PageFacts(0, MIB, 0, 0), False),
        (PageFacts(0, MIB, 0, 0, folios_known=False), True),
        (PageFacts(0, 0, MIB, 0, folios_known=False), False),
        (PageFacts(MIB, 0, 0, 0, folios_known=False), False),
        # Of a large folio that is partly shared nothing goes.
        (PageFacts(4096, 0, 4096, 0, folios_known=False), True),
    ],
)
def test_what_could_not_be_seen_makes_an_estimate(pages: PageFacts | None, estimate: bool) -> None:
    of = vma(VmaKind.FILE, perms="rw-s", name="/x", inode=7)
    assert judge(row(of, rss=MIB, pages=pages), Advice.PAGEOUT, MACHINE).is_estimate is estimate


def test_willneed_on_a_file_reads_what_is_not_in_the_page_cache() -> None:
    of = vma(VmaKind.FILE, name="/x", inode=7)
    verdict = judge(row(of, cache=CacheFacts(3 * 4096, 4096)), Advice.WILLNEED, MACHINE)
    rest = (ReasonBytes(Reason.CACHED_ALREADY, 4096), ReasonBytes(Reason.UNTOUCHED, MIB - 3 * 4096))
    assert verdict == Verdict(Expectation.YES, 8192, rest)
    assert judge(row(of, cache=CacheFacts(4096, 4096)), Advice.WILLNEED, MACHINE).will is Expectation.NO


def test_collapse_says_by_how_much_rss_grows() -> None:
    of = row(vma(size=HUGE * 4), blocks=HugeFacts(HUGE, 4096, HUGE, HUGE * 2))
    assert judge(of, Advice.COLLAPSE, MACHINE) == Verdict(
        Expectation.YES,
        HUGE,
        (
            ReasonBytes(Reason.ALL_HUGE, HUGE),
            ReasonBytes(Reason.UNTOUCHED, HUGE * 2),
            ReasonBytes(Reason.RSS_GROWS, HUGE - 4096),
        ),
    )
    empty = row(vma(size=HUGE), rss=4096, blocks=HugeFacts(0, 0, 0, HUGE))
    assert refusal(judge(empty, Advice.COLLAPSE, MACHINE)) is Reason.NOTHING_TO_COLLAPSE


def test_without_swap_the_pages_of_a_file_go() -> None:
    file = vma(VmaKind.FILE, name="/x", inode=7)
    assert judge(row(file, rss=MIB), Advice.PAGEOUT, NO_SWAP) == Verdict(Expectation.YES, MIB)
    written = judge(row(file, rss=MIB, more=details(rss=MIB, anonymous=4096)), Advice.PAGEOUT, NO_SWAP)
    assert written == Verdict(Expectation.PARTLY, MIB - 4096, (ReasonBytes(Reason.NO_SWAP, 4096),))


@pytest.mark.parametrize(
    ("perms", "anonymous", "may", "forecast"),
    [
        ("r--p", 0, True, MIB),
        ("r--p", 0, None, MIB),
        ("r--p", 0, False, 0),
        ("rw-p", 4096, False, 4096),
        # A shared mapping is skipped whole.
        ("r--s", 0, False, 0),
        ("rw-s", 4096, False, 0),
    ],
)
def test_the_file_of_another(perms: str, anonymous: int, may: bool | None, forecast: int) -> None:
    """can_do_file_pageout(), mm/madvise.c; COLD has no such check."""
    of = row(vma(VmaKind.FILE, perms=perms, name="/x", inode=7), rss=MIB, more=details(anonymous=anonymous))
    verdict = judge(of, Advice.PAGEOUT, MACHINE, lambda _: may)
    assert verdict.forecast_bytes == forecast
    assert (verdict.main_reason is Reason.FILE_NOT_WRITABLE) == (may is False)
    assert judge(of, Advice.COLD, MACHINE, lambda _: may).forecast_bytes == MIB


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (row(vma(size=HUGE), rss=4096), None),
        (row(vma(size=HUGE - 4096), rss=4096), Reason.NO_HUGE_PAGE),
        (row(vma(size=HUGE * 2 - 8192, start=BASE + 4096), rss=4096), Reason.NO_HUGE_PAGE),
        (row(vma(size=HUGE * 2, start=BASE + 4096), rss=4096), None),
        (row(vma(size=HUGE), rss=4096, more=details("rd nh")), Reason.HUGE_PAGES_OFF),
        (row(vma(size=HUGE), rss=0, swap=0), Reason.NOTHING_TO_COLLAPSE),
        (row(vma(size=HUGE), rss=0, swap=4096), None),
        (row(vma(size=HUGE), rss=4096, more=details("rd lo")), None),
        (row(vma(VmaKind.HUGETLB, size=HUGE), rss=0), Reason.HUGETLB),
    ],
)
def test_what_collapse_refuses(of: MappedVma, reason: Reason | None) -> None:
    assert refusal(judge(of, Advice.COLLAPSE, MACHINE)) is reason


@pytest.mark.parametrize(
    ("of", "knows", "reason"),
    [
        (vma(VmaKind.FILE, size=HUGE, name="/x", inode=7), {"file_huge_pages": False}, Reason.FILE_NOT_HUGE),
        (vma(VmaKind.FILE, size=HUGE, name="/x", inode=7, perms="r--p"), {"file_huge_pages": True}, None),
        # file_thp_enabled(), mm/huge_memory.c: whoever maps it so has it open for writing.
        (
            vma(VmaKind.FILE, size=HUGE, name="/x", inode=7, perms="rw-s"),
            {"file_huge_pages": True},
            Reason.FILE_NOT_HUGE,
        ),
        (vma(VmaKind.FILE, size=HUGE, name="/x", inode=7, perms="rw-s"), {}, None),
        (vma(VmaKind.SHMEM, size=HUGE, name="/memfd:x"), {"shmem_huge_pages": False}, Reason.SHMEM_NOT_HUGE),
        (vma(VmaKind.SHMEM, size=HUGE, name="/memfd:x"), {"shmem_huge_pages": True}, None),
        (vma(size=HUGE), {"file_huge_pages": False, "shmem_huge_pages": False}, None),
    ],
)
def test_of_what_the_kernel_makes_huge_pages(of: Vma, knows: dict[str, bool], reason: Reason | None) -> None:
    machine = MACHINE._replace(**knows)  # type: ignore[arg-type]
    assert refusal(judge(row(of, rss=HUGE), Advice.COLLAPSE, machine)) is reason


@pytest.mark.parametrize("blocks", [None, HugeFacts(HUGE, HUGE, 0, 0)])
def test_how_much_of_a_file_becomes_huge_is_not_known(blocks: HugeFacts | None) -> None:
    of = row(vma(VmaKind.FILE, size=HUGE, name="/x", inode=7), HUGE, 0, details(rss=HUGE), blocks=blocks)
    for known in (None, True):
        verdict = judge(of, Advice.COLLAPSE, MACHINE._replace(file_huge_pages=known))
        assert verdict == Verdict(Expectation.PARTLY, None, (ReasonBytes(Reason.FILE_HUGE_UNKNOWN, HUGE),))
        assert verdict.is_estimate
        item = PlannedRange(of.vma.range, "/x", of.vma.identity, VmaKind.FILE, verdict)
        plan = Plan(Advice.COLLAPSE, (TargetPlan(process().id, "cat", (item,), Freeze.OFF),))
        words = forecast_in_words(Advice.COLLAPSE, plan)
        assert words.startswith("? (not known how much) of 2M will become huge; 2M of files")


@pytest.mark.parametrize("kind", [VmaKind.FILE, VmaKind.SHMEM, VmaKind.ANON])
def test_where_address_and_offset_disagree_no_huge_page_fits(kind: VmaKind) -> None:
    """thp_vma_suitable_order(): the address minus the offset is a multiple of a huge page."""
    machine = MACHINE._replace(file_huge_pages=True)
    for offset, fits in ((0, True), (HUGE, True), (4096, False)):
        of = row(vma(kind, size=2 * HUGE, start=BASE // HUGE * HUGE, name="/x", inode=7, offset=offset), HUGE)
        reason = refusal(judge(of, Advice.COLLAPSE, machine))
        assert reason is (None if fits or kind is VmaKind.ANON else Reason.HUGE_MISALIGNED)


def test_huge_pages_in_swap_are_forecast_only_where_swap_is_memory() -> None:
    blocks = HugeFacts(HUGE, 4096, 0, 0, swapped_bytes=2 * HUGE, swapped_filled_bytes=HUGE)
    of = row(vma(size=3 * HUGE), blocks=blocks)
    on_disk = judge(of, Advice.COLLAPSE, MACHINE._replace(swap_cached_bytes=0))
    why = (ReasonBytes(Reason.SWAPPED_OUT, 2 * HUGE), ReasonBytes(Reason.RSS_GROWS, HUGE - 4096))
    assert on_disk == Verdict(Expectation.YES, HUGE, why)
    assert not on_disk.is_estimate
    cached = judge(of, Advice.COLLAPSE, MACHINE._replace(swap_cached_bytes=HUGE))
    assert cached == Verdict(Expectation.PARTLY, HUGE, why)
    assert cached.is_estimate
    item = PlannedRange(of.vma.range, "", of.vma.identity, VmaKind.ANON, cached)
    plan = Plan(Advice.COLLAPSE, (TargetPlan(process().id, "cat", (item,), Freeze.OFF),))
    words = forecast_in_words(Advice.COLLAPSE, plan)
    words_of_swap = "at least 2M (what of the rest is in the swap cache cannot be seen) of 6M"
    assert f"{words_of_swap} will become huge" in words
    zram = judge(of, Advice.COLLAPSE, MACHINE._replace(swap_is_memory=True))
    assert zram == Verdict(Expectation.YES, 3 * HUGE, (ReasonBytes(Reason.RSS_GROWS, 2 * HUGE - 4096),))
    assert judge(of, Advice.COLLAPSE, MACHINE._replace(swap_is_memory=None)).is_estimate


def test_huge_pages_that_stay_small_have_their_reasons() -> None:
    blocks = HugeFacts(0, 0, 0, 0, zero_bytes=HUGE, watched_bytes=HUGE, pinned_bytes=HUGE)
    verdict = judge(row(vma(size=3 * HUGE), blocks=blocks), Advice.COLLAPSE, MACHINE)
    assert verdict == Verdict(
        Expectation.NO,
        0,
        (
            ReasonBytes(Reason.WATCHED, HUGE),
            ReasonBytes(Reason.PINNED, HUGE),
            ReasonBytes(Reason.ZERO_PAGE, HUGE),
        ),
    )
    only_read = row(vma(size=HUGE), blocks=HugeFacts(0, 0, 0, 0, zero_bytes=HUGE))
    assert refusal(judge(only_read, Advice.COLLAPSE, MACHINE)) is Reason.NOTHING_TO_COLLAPSE


def test_copies_of_shared_memory_become_no_huge_page() -> None:
    start = BASE // HUGE * HUGE
    of = vma(VmaKind.SHMEM, size=3 * HUGE, start=start, name="/memfd:x")
    runs = [
        (start, start + 4096, PRESENT),
        (start + 4096, start + 2 * HUGE, PRESENT | FILE),
        (start + 2 * HUGE, start + 2 * HUGE + 4096, SWAPPED),
    ]
    blocks = huge_facts(of.range, runs, HUGE, of_file=True)
    assert blocks == HugeFacts(HUGE, HUGE, 0, 0, copied_bytes=2 * HUGE)
    verdict = judge(row(of, blocks=blocks), Advice.COLLAPSE, MACHINE)
    assert verdict == Verdict(Expectation.YES, HUGE, (ReasonBytes(Reason.OWN_COPIES, 2 * HUGE),))
    assert not verdict.is_estimate
    by_smaps = judge(row(of, 3 * HUGE, 0, details(rss=3 * HUGE)), Advice.COLLAPSE, MACHINE)
    assert by_smaps.is_estimate


def test_what_may_be_in_the_swap_cache_makes_an_estimate() -> None:
    of = row(rss=0, swap=MIB)
    verdict = judge(of, Advice.WILLNEED, MACHINE._replace(swap_cached_bytes=4096))
    assert verdict == Verdict(Expectation.YES, MIB, (ReasonBytes(Reason.SWAP_CACHED, 4096),))
    assert verdict.is_estimate
    item = PlannedRange(of.vma.range, "", of.vma.identity, VmaKind.ANON, verdict)
    plan = Plan(Advice.WILLNEED, (TargetPlan(process().id, "cat", (item,), Freeze.OFF),))
    words = forecast_in_words(Advice.WILLNEED, plan)
    assert words.startswith("at most 1M ")
    assert words.endswith("; 4K perhaps in the swap cache already")
    assert not judge(of, Advice.WILLNEED, MACHINE._replace(swap_cached_bytes=0)).is_estimate


def test_collapse_without_huge_pages() -> None:
    verdict = judge(row(vma(size=HUGE), rss=4096), Advice.COLLAPSE, MachineFacts(0, None))
    assert refusal(verdict) is Reason.NO_HUGE_PAGE


def test_collapse_fills_what_is_not_huge_yet() -> None:
    of = vma(size=HUGE * 3)
    assert judge(row(of, rss=4096), Advice.COLLAPSE, MACHINE) == Verdict(Expectation.PARTLY, None)
    some = judge(row(of, rss=HUGE, more=details(huge=HUGE)), Advice.COLLAPSE, MACHINE)
    assert some == Verdict(Expectation.YES, HUGE * 2)
    full = judge(row(of, rss=HUGE * 3, more=details(huge=HUGE * 3)), Advice.COLLAPSE, MACHINE)
    assert (full.will, full.main_reason) == (Expectation.NO, Reason.ALL_HUGE)


def test_an_estimate_is_marked_wherever_it_is_shown() -> None:
    """``plan`` has the same mark: see memtui/cli/plan.py."""
    for verdict, words in (
        (Verdict(Expectation.YES, MIB, is_estimate=True), "~1M"),
        (Verdict(Expectation.YES, MIB), "1M"),
        (Verdict(Expectation.PARTLY, None, is_estimate=True), "?"),
    ):
        assert forecast_size(verdict) == words
        (said,) = (line for line in explain_verdicts([(Advice.PAGEOUT, verdict)]) if "PAGEOUT" in line)
        assert said.split()[3] == words
        of = vma()
        item = PlannedRange(of.range, "", of.identity, VmaKind.ANON, verdict)
        plan = Plan(Advice.PAGEOUT, (TargetPlan(process().id, "cat", (item,), Freeze.OFF),))
        assert VerdictRows(plan).line(0).cells[0].text == words


def test_every_reason_has_words_and_a_code_of_its_own() -> None:
    for reason in Reason:
        assert reason.text
        assert not reason.text.endswith(".")
        assert "\n" not in reason.text + reason.next_step
    assert len({reason.text for reason in Reason}) == len(Reason)


sizes = st.integers(0, 64).map(lambda pages: pages * PAGE_BYTES)
unknown_or = st.none() | sizes


@st.composite
def rows(draw: st.DrawFn) -> MappedVma:
    flags = " ".join(draw(st.lists(st.sampled_from(["rd", "wr", "lo", "pf", "ht", "nh", "io"]), max_size=3)))
    more = draw(
        st.none()
        | st.builds(details, st.just(flags), sizes, shared=sizes, anonymous=sizes, huge=sizes, swap=sizes)
    )
    kind = draw(st.sampled_from(VmaKind))
    of = vma(
        kind,
        size=64 * PAGE_BYTES,
        perms=draw(st.sampled_from(["rw-p", "r--p", "rw-s", "---p"])),
        inode=7 if kind in (VmaKind.FILE, VmaKind.SHMEM) else 0,
    )
    pages = draw(st.none() | page_facts)
    cache = draw(st.none() | st.builds(CacheFacts, sizes, sizes))
    return row(of, draw(unknown_or), draw(unknown_or), more, pages=pages, cache=cache)


some_sizes = st.integers(0, 7).map(lambda pages: pages * PAGE_BYTES)
page_facts = st.builds(PageFacts, *[some_sizes] * 6, st.booleans(), *[some_sizes] * 3)
machines = st.builds(
    MachineFacts,
    unknown_or,
    st.sampled_from([None, 16 * PAGE_BYTES, HUGE]),
    swap_room_bytes=unknown_or,
)


@given(rows(), st.sampled_from(RECLAIM), machines, st.sampled_from([None, True, False]))
def test_every_byte_goes_or_has_a_reason(
    of: MappedVma, advice: Advice, machine: MachineFacts, may: bool | None
) -> None:
    verdict = judge(of, advice, machine, lambda _: may)
    if of.pages is None or verdict.refused or of.details is not None:
        return
    assert verdict.forecast_bytes is not None
    explained = sum(why.count_bytes or 0 for why in verdict.reasons)
    assert verdict.forecast_bytes + explained == of.vma.size_bytes
    assert verdict.swap_bytes <= verdict.forecast_bytes
    room = [free for free in (machine.swap_free_bytes, machine.swap_room_bytes) if free is not None]
    if of.kind in ANONYMOUS_KINDS and room:
        assert verdict.swap_bytes <= min(room)


@given(rows(), st.sampled_from(Advice), machines, st.sampled_from([None, True, False]))
def test_a_verdict_never_contradicts_itself(
    of: MappedVma, advice: Advice, machine: MachineFacts, may: bool | None
) -> None:
    verdict = judge(of, advice, machine, lambda _: may)
    if verdict.refused:
        assert (verdict.will, verdict.forecast_bytes) == (Expectation.NO, 0)
    if verdict.forecast_bytes is None:
        assert verdict.will is Expectation.PARTLY
    else:
        assert verdict.forecast_bytes >= 0
        # What is less than a page is nothing: no page of it can go.
        assert (verdict.will is Expectation.NO) == (verdict.forecast_bytes < PAGE_BYTES)
    if verdict.will is Expectation.NO:
        assert verdict.reasons
    if advice in RECLAIM and verdict.forecast_bytes is not None:
        resident = of.rss_bytes if of.pages is None else of.pages.resident_bytes
        assert verdict.forecast_bytes <= (resident or 0)
        assert sum(why.count_bytes or 0 for why in verdict.reasons) >= 0
