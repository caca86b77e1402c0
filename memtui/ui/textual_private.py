"""The private names of Textual that memtui needs, each with the reason. A unit test holds each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from textual.app import App
    from textual.widget import Widget


async def run_bound(app: App[None], key: str) -> bool:
    """Run the action of a key, bindings of priority first; return whether the key is bound.

    Private since there is no public way to look bindings up without sending the key to a widget first:
    by the time it bubbled up, another widget or screen may have the focus.
    """
    return await app._check_bindings(key, priority=True) or await app._check_bindings(key)


def event_loop(app: App[None]) -> asyncio.AbstractEventLoop | None:
    """Return the loop that an app runs on; None before it runs and after it has ended.

    Private since call_from_thread(), the public way, waits for the loop: the thread of a signal may not.
    """
    return app._loop


def drop_dead_watchers(widget: Widget) -> None:
    """Drop the watchers of a widget's reactives whose own widgets have ended.

    Private since Textual drops them only when the watched value changes. Its footer binds ``compact`` of each
    key to its own, which never changes: without this, it keeps two dozen widgets at each change of focus.
    """
    for watching in getattr(widget, "__watchers", {}).values():
        watching[:] = [item for item in watching if item[0].is_running]
