"""Giving advice element by element: a short return is resumed behind the element that failed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from memtui.advise.segments import Segment, Segments
from memtui.model.ranges import AddressColumns

Adviser = Callable[[AddressColumns, int], int]
"""process_madvise of one target: elements (start, end) and the advice's number; bytes walked."""

_OF_THE_TARGET = frozenset({errno.EACCES, errno.EPERM, errno.ESRCH, errno.ENOSYS})
"""Errors that are not of one element: no further element can fare better."""


@dataclass(slots=True)
class CallResult:
    """What the kernel said to one vector, element by element."""

    taken: list[Segments] = field(default_factory=list)
    """The elements that it walked whole, as they stood together."""
    failed: list[tuple[Segment, int]] = field(default_factory=list)
    """Elements with their errno. A part of such an element may still have been advised."""
    fatal: OSError | None = None
    calls: int = 0

    @property
    def advised(self) -> Segments:
        """All elements that it walked whole."""
        return Segments.joined(self.taken)


def advise_vector(adviser: Adviser, elements: Segments, advice_number: int) -> CallResult:
    """Advise all elements that the kernel takes, and learn the errno of each that it does not."""
    result = CallResult()
    at = 0
    whole = True
    while at < len(elements):
        batch = elements[at:] if whole else elements[at : at + 1]
        result.calls += 1
        try:
            walked = adviser(batch.spans, advice_number)
        except OSError as error:
            number = error.errno or errno.EIO
            if number in _OF_THE_TARGET:
                result.fatal = error
                return result
            if number == errno.EFAULT and len(batch) > 1:
                # One address of the vector is out of bounds and fails it as a whole: one by one then.
                whole = False
                continue
            result.failed.append((elements[at], number))
            at += 1
            continue
        taken = _taken(batch, walked)
        if taken:
            result.taken.append(batch[:taken])
            at += taken
        else:
            result.failed.append((elements[at], errno.EIO))
            at += 1
    return result


def _taken(batch: Segments, walked_bytes: int) -> int:
    """Return how many leading elements a return value covers whole."""
    if walked_bytes == batch.size_bytes:
        return len(batch)
    for index, (start, end) in enumerate(batch.spans):
        walked_bytes -= end - start
        if walked_bytes < 0:
            return index
    return len(batch)
