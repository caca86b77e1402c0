"""The layouts that are shipped are those of the declarations."""

from __future__ import annotations

from pathlib import Path

import cffi
import pytest

from memtui.linux import _ffi, _ffi_build


def test_the_layouts_are_what_cffi_makes_of_the_declarations(tmp_path: Path) -> None:
    fresh = tmp_path / "_ffi.py"
    _ffi_build.write(fresh)
    shipped = Path(_ffi.__file__).read_text("ascii")
    assert fresh.read_text("ascii").split("_types", 1)[1] == shipped.split("_types", 1)[1]


@pytest.mark.parametrize("name", ["page_region", "pm_scan_arg", "procmap_query", "cachestat", "iovec"])
def test_a_structure_is_laid_out_as_declared(name: str) -> None:
    declared = cffi.FFI()
    declared.cdef(_ffi_build.DECLARATIONS)
    assert _ffi.ffi.sizeof(f"struct {name}") == declared.sizeof(f"struct {name}")
    fields = [
        [(field, what.offset) for field, what in of.typeof(f"struct {name}").fields]
        for of in (declared, _ffi.ffi)
    ]
    assert fields[0] == fields[1]
