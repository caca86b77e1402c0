"""How the screens that lie over the main one are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from textual.screen import Screen

T = TypeVar("T")


def close(screen: Screen[T], answer: T | None) -> None:
    """Close a screen with its answer, once: a key, a click and the palette may all have come to close it."""
    if screen.app.screen is screen:
        screen.dismiss(answer)
