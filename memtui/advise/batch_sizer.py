"""How much goes into one call and into one hold, learned from what the calls before it cost.

A call cannot be cut short, and a held target stands still until it returns. What a call costs differs by
advice by four orders of magnitude (docs/kernel-facts.md 2.8), and on a busy machine by another: so it is
measured, call by call.
"""

from __future__ import annotations

import time

from memtui.advise.alignment import CALL_BYTES
from memtui.model.advice import Advice
from memtui.model.freeze import DEFAULT_HOLD_MS

_FIRST_BYTES_PER_S = {
    Advice.COLD: 4 << 30,
    Advice.PAGEOUT: 256 << 20,
    Advice.WILLNEED: 256 << 20,
    Advice.COLLAPSE: 32 << 20,
}
"""What is assumed before the first call: a fraction of what an idle machine does, so that it is short."""
_FIRST_HOLD_BYTES_PER_S = 512 << 20
_SLOWEST_BYTES_PER_S = 64 << 10
_LEAST_CALL_BYTES = 64 << 10
_LEAST_HOLD_BYTES = 1 << 20
_MOST_HOLD_BYTES = 4 << 30
_MOST_CALL_BYTES = {Advice.COLLAPSE: 4 << 20}
"""For each huge page COLLAPSE waits for work on every CPU (lru_add_drain_all(), mm/khugepaged.c): on a busy
machine that takes from less than a millisecond to hundreds, and a call of many waits as often. It costs next
to nothing to make more calls instead, with a look at the clock between them."""
_SAMPLE_BYTES = 1 << 20
"""With less than this a preemption of a few milliseconds would pass for the cost of the call."""
_CALL_SHARE = 0.25
"""Of a hold, for one call at most."""
_GROWTH = 2.0
_MARGIN = 1.5
_SPARE = 1.5
"""How much more is made ready than is expected to fit: the calls may turn out cheaper."""
_FIRST_TAIL_S = 0.002


class BatchSizer:
    """Sizes the calls of one advice on one target, and the batches of its holds.

    It shrinks at once when a call was slow, and grows by no more than two from sample to sample. Bytes are
    of memory that the kernel has to work on. Not for several threads at once.
    """

    def __init__(self, advice: Advice, hold_s: float) -> None:
        self._hold_s = hold_s
        self._bytes_per_s: float = _FIRST_BYTES_PER_S[advice]
        self._most_call_bytes = _MOST_CALL_BYTES.get(advice, CALL_BYTES)
        self._has_learned = False
        self._until: float | None = None
        self._call_s = 0.0
        self._tail_s = _FIRST_TAIL_S
        self._calls_ended = 0.0
        self._cost_bytes = 0
        self._spent_s = 0.0
        self.run_on()

    @property
    def hold_bytes(self) -> int:
        """How much to make ready for a hold."""
        bytes_per_s = self._bytes_per_s if self._has_learned else _FIRST_HOLD_BYTES_PER_S
        fits = bytes_per_s * self._hold_s * _SPARE
        return int(min(_MOST_HOLD_BYTES, max(_LEAST_HOLD_BYTES, fits)))

    def hold_from(self, began: float, share: float = 1.0) -> None:
        """Size calls for a hold that began then (monotonic clock): they get ``share`` of its time.

        What comes after the calls, the second look and the release, is set aside by what it took before.
        """
        tail_s = min(self._tail_s, self._hold_s / 4)
        self._until = began + self._hold_s * share - tail_s
        self._call_s = self._hold_s * _CALL_SHARE
        self._calls_ended = 0.0

    def run_on(self) -> None:
        """Size calls for a target that is not held: only its map is locked meanwhile."""
        self._until = None
        self._call_s = DEFAULT_HOLD_MS / 1000 * _CALL_SHARE

    def released(self) -> None:
        """Take in that the target has just been released."""
        if self._calls_ended:
            tail_s = time.monotonic() - self._calls_ended
            self._tail_s = tail_s if tail_s > self._tail_s else (self._tail_s + tail_s) / 2

    def call_bytes(self) -> int:
        """Return how much the next call may work on.

        It is expected to take half of the time left: one that takes twice as long still fits.
        """
        allowed_s = self._call_s
        if self._until is not None:
            allowed_s = min(allowed_s, (self._until - time.monotonic()) / 2)
        return int(min(self._most_call_bytes, max(_LEAST_CALL_BYTES, self._bytes_per_s * allowed_s)))

    def fits(self, cost_bytes: int) -> bool:
        """Whether a call of this cost will end before the hold's time is over, also if it is slower."""
        if self._until is None:
            return True
        return time.monotonic() + _MARGIN * cost_bytes / self._bytes_per_s < self._until

    def took(self, cost_bytes: int, spent_s: float) -> None:
        """Learn from a call: what it worked on, and how long it took."""
        self._calls_ended = time.monotonic()
        if not cost_bytes:
            # There was nothing to do, which says nothing of how long work takes.
            return
        self._cost_bytes += cost_bytes
        self._spent_s += spent_s
        if self._cost_bytes < _SAMPLE_BYTES and self._spent_s < self._call_s:
            return
        seen = self._cost_bytes / max(self._spent_s, 1e-6)
        self._bytes_per_s = max(_SLOWEST_BYTES_PER_S, min(seen, self._bytes_per_s * _GROWTH))
        self._cost_bytes, self._spent_s = 0, 0.0
        self._has_learned = True
