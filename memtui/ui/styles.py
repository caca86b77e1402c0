"""Where the stylesheets lie: in the wheel inside the package, in a checkout beside it."""

from __future__ import annotations

from pathlib import Path, PurePath

import memtui

_PACKAGE = Path(memtui.__file__).resolve().parent


def stylesheets(*names: str) -> list[str | PurePath]:
    """Return the absolute paths of stylesheets.

    Raises:
        FileNotFoundError: if the installation lacks them.
    """
    for folder in (_PACKAGE / "styles", _PACKAGE.parent / "styles"):
        if all((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    raise FileNotFoundError(f"stylesheets are missing from this installation: {', '.join(names)}")
