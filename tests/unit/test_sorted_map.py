"""Values by address, packed: they are those of the dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memtui.linux.sorted_map import Packed

ADDRESSES = st.integers(0, (1 << 64) - 1)


@given(st.dictionaries(ADDRESSES, st.text()), ADDRESSES)
def test_it_is_the_dict(values: dict[int, str], other: int) -> None:
    packed = Packed(values)
    assert dict(packed) == values
    assert len(packed) == len(values)
    assert packed.get(other) == values.get(other)
    assert all(packed[address] == value for address, value in values.items())
