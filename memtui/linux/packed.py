"""Values by address, packed: of tens of thousands a dict takes more room than what is in it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import TypeVar

_Value = TypeVar("_Value")


class Packed(Mapping[int, _Value]):
    """A mapping from addresses that does not change."""

    def __init__(self, values: Mapping[int, _Value]) -> None:
        self._addresses = array("Q", sorted(values))
        self._values = [values[address] for address in self._addresses]

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[int]:
        return iter(self._addresses)

    def __getitem__(self, address: int) -> _Value:
        at = bisect_left(self._addresses, address)
        if at == len(self._addresses) or self._addresses[at] != address:
            raise KeyError(address)
        return self._values[at]
