"""Values by address, packed: of tens of thousands a dict takes more room than what is in it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

_Value = TypeVar("_Value")
_Other = TypeVar("_Other")


class Packed(Mapping[int, _Value]):
    """A mapping from addresses that does not change."""

    def __init__(self, values: Mapping[int, _Value]) -> None:
        self._addresses = array("Q", sorted(values))
        self._values = [values[address] for address in self._addresses]
        self._next = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[int]:
        return iter(self._addresses)

    def __getitem__(self, address: int) -> _Value:
        at = self._find(address)
        if at is None:
            raise KeyError(address)
        return self._values[at]

    @overload
    def get(self, address: int, /) -> _Value | None: ...

    @overload
    def get(self, address: int, /, default: _Value | _Other) -> _Value | _Other: ...

    def get(self, address: int, /, default: object = None) -> object:
        """Return the value of an address, or ``default``."""
        at = self._find(address)
        return default if at is None else self._values[at]

    def _find(self, address: int) -> int | None:
        addresses, at = self._addresses, self._next
        # Whoever asks for many asks for one after the other.
        if at >= len(addresses) or addresses[at] != address:
            at = bisect_left(addresses, address)
            if at == len(addresses) or addresses[at] != address:
                return None
        self._next = at + 1
        return at
