"""Threads that answer what the UI thread may not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from memtui.ui.messages import Answered, Post, Said
from memtui.ui.presentation.order import Superseded
from memtui.ui.workers.sampler import words_of

if TYPE_CHECKING:
    from textual.screen import Screen

    from memtui.host import Target

T = TypeVar("T")

Question = Callable[[threading.Event], T]
"""Runs on the worker's thread. It is given the event that tells when nobody waits for the answer any more."""


class _Query(NamedTuple):
    work: Callable[[], None]
    cancelled: threading.Event
    target: Target | None


class QueryWorker(threading.Thread):
    """Answers one question at a time, in the order in which they were asked. Used from any thread."""

    def __init__(self, name: str, post: Post) -> None:
        super().__init__(name=name, daemon=True)
        self._post = post
        self._wake = threading.Condition()
        self._waiting: dict[Hashable, _Query] = {}
        self._newest: dict[str, threading.Event] = {}
        self._running: _Query | None = None
        self._stopping = False
        self.asked = 0
        """How many questions were asked so far."""

    def ask(
        self,
        question: Question[T],
        then: Callable[[T], object] | None = None,
        *,
        failed: Callable[[str], object] | None = None,
        subject: str | None = None,
        target: Target | None = None,
        screen: Screen[Any] | None = None,
    ) -> threading.Event:
        """Answer a question on this thread; ``then`` gets the answer on the UI thread.

        Args:
            question: what to answer.
            then: gets the answer, unless the question was cancelled meanwhile.
            failed: gets the words of an exception, raw, in place of ``then``; without it the status bar does.
            subject: a newer question of the same subject takes the place of an older one, which is cancelled.
            target: is kept open until the question is answered or dropped.
            screen: the answer is dropped, too, where this screen was closed meanwhile.

        Returns:
            The event that cancels the question. It is set already where ``target`` was closed before.
        """
        cancelled = threading.Event()

        def is_awaited() -> bool:
            return not cancelled.is_set() and (screen is None or screen in screen.app.screen_stack)

        def work() -> None:
            try:
                answer = question(cancelled)
            except Superseded:
                return
            except Exception as error:  # The thread must live on; whoever asked is told.
                words = words_of(error)
                if failed is not None:
                    self._post(Answered(lambda: failed(words) if is_awaited() else None))
                elif not cancelled.is_set():
                    self._post(Said(words, bad=True))
            else:
                if then is not None:
                    self._post(Answered(lambda: then(answer) if is_awaited() else None))

        if target is not None and not target.acquire():
            cancelled.set()
        else:
            self._put(_Query(work, cancelled, target), subject)
        return cancelled

    def _put(self, query: _Query, subject: str | None) -> None:
        with self._wake:
            self.asked += 1
            # One of no subject stands for itself.
            key: Hashable = query.cancelled if subject is None else subject
            replaced = self._waiting.get(key)
            self._waiting[key] = query
            if subject is not None:
                self._cancel(subject)
                self._newest[subject] = query.cancelled
            self._wake.notify()
        if replaced is not None:
            self._finish(replaced)

    def drop(self, subject: str) -> None:
        """Cancel the questions of a subject."""
        with self._wake:
            dropped = self._waiting.pop(subject, None)
            self._cancel(subject)
        if dropped is not None:
            self._finish(dropped)

    def _cancel(self, subject: str) -> None:
        newest = self._newest.pop(subject, None)
        if newest is not None:
            newest.set()

    def stop(self) -> None:
        """End as soon as possible, and cancel all questions. Does not wait."""
        with self._wake:
            self._stopping = True
            for query in (self._running, *self._waiting.values()):
                if query is not None:
                    query.cancelled.set()
            self._wake.notify()

    def run(self) -> None:
        """Answer until stopped."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                query = self._running = self._waiting.pop(next(iter(self._waiting)))
            if not query.cancelled.is_set():
                query.work()
            self._finish(query)

    def _finish(self, query: _Query) -> None:
        if query.target is not None:
            query.target.release()
