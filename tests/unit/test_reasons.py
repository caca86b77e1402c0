"""Every reason has its words, and every errno of every call its reason."""

from __future__ import annotations

import errno

import pytest

from memtui.model.advice import Advice
from memtui.model.reasons import Reason, reason_of_call, reason_of_errno


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    assert reason.text
    assert reason.text.isprintable()
    assert not reason.text.endswith(".")
    assert reason.next_step.isprintable()


# What mm/madvise.c and mm/khugepaged.c can give for one element of a vector.
OF_AN_ELEMENT = [
    *((advice, number) for advice in Advice for number in (errno.ENOMEM, errno.EFAULT, errno.EIO)),
    (Advice.COLD, errno.EINVAL),
    (Advice.PAGEOUT, errno.EINVAL),
    (Advice.WILLNEED, errno.EBADF),
    (Advice.COLLAPSE, errno.EINVAL),
    (Advice.COLLAPSE, errno.EBUSY),
    (Advice.COLLAPSE, errno.EAGAIN),
]


@pytest.mark.parametrize(("advice", "number"), OF_AN_ELEMENT)
def test_an_element_that_failed_is_told_why_and_what_to_do(advice: Advice, number: int) -> None:
    reason = reason_of_errno(advice, number)
    assert reason is not Reason.KERNEL_REFUSED
    assert reason.next_step


def test_the_same_errno_means_another_thing_to_collapse() -> None:
    assert reason_of_errno(Advice.COLLAPSE, errno.ENOMEM) is Reason.NO_FREE_HUGE_PAGE
    assert reason_of_errno(Advice.PAGEOUT, errno.ENOMEM) is Reason.HOLE
    assert reason_of_errno(Advice.COLLAPSE, errno.EINVAL) is Reason.NOT_COLLAPSIBLE
    assert reason_of_errno(Advice.COLD, errno.EINVAL) is Reason.NOT_RECLAIMABLE


def test_an_errno_that_nobody_expects_is_refused_all_the_same() -> None:
    assert reason_of_errno(Advice.COLD, errno.EXDEV) is Reason.KERNEL_REFUSED


CALLS = (
    "process_madvise",
    "pidfd_open",
    "PAGEMAP_SCAN",
    "PROCMAP_QUERY",
    "ptrace",
    "/proc/PID/mem",
    "map_files",
    "cachestat",
)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_has_a_reason_for_a_target_that_went_and_for_want_of_files(call: str) -> None:
    for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        assert reason_of_call(call, number) is not Reason.FAILED
    assert reason_of_call(call, errno.EXDEV) is Reason.FAILED
