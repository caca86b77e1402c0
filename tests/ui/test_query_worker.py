"""Questions to a worker: in their order, the newest of a subject alone, none without its target."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from memtui.model.errors import MemtuiError
from memtui.model.reasons import Reason
from memtui.ui.messages import Answered, Said
from memtui.ui.presentation.order import Superseded
from memtui.ui.workers.query_worker import QueryWorker
from tests.fakes import FakeHost
from tests.ui.test_threads import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.message import Message

WAIT_S = 10.0


class Asked:
    """A question that waits until it is let go."""

    def __init__(self, answer: str) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.was_cancelled: bool | None = None
        self._answer = answer

    def __call__(self, cancelled: threading.Event) -> str:
        self.begun.set()
        assert self.go.wait(WAIT_S)
        self.was_cancelled = cancelled.is_set()
        return self._answer


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def worker(inbox: Inbox) -> Iterator[QueryWorker]:
    made = QueryWorker("memtui-test", inbox.post)
    made.start()
    yield made
    made.stop()
    made.join(WAIT_S)
    assert not made.is_alive()


@pytest.fixture
def deliver(worker: QueryWorker, inbox: Inbox) -> Callable[[], None]:
    """Return a function that waits until all questions are answered, and delivers, as the screen would."""

    def answered() -> None:
        over = threading.Event()
        worker.ask(lambda _: over.set())
        assert over.wait(WAIT_S)
        messages: list[Message] = inbox.messages[:]
        inbox.messages.clear()
        for message in messages:
            if isinstance(message, Answered):
                message.deliver()
            else:
                inbox.messages.append(message)

    return answered


def test_answers_come_in_the_order_of_the_questions(worker: QueryWorker, deliver: Callable[[], None]) -> None:
    found: list[object] = []
    for number in range(3):
        worker.ask(lambda _, number=number: number, found.append)  # type: ignore[misc]
    deliver()
    assert found == [0, 1, 2]
    assert worker.asked == 4


def test_a_newer_question_of_a_subject_takes_the_place_of_an_older(
    worker: QueryWorker, deliver: Callable[[], None]
) -> None:
    found: list[str] = []
    running, other, waiting = Asked("running"), Asked("other"), Asked("waiting")
    worker.ask(running, found.append, subject="order")
    assert running.begun.wait(WAIT_S)
    worker.ask(waiting, found.append, subject="order")
    worker.ask(other, found.append, subject="matches")
    worker.ask(lambda _: "newest", found.append, subject="order")
    running.go.set()
    other.go.set()
    deliver()
    assert found == ["newest", "other"]
    assert running.was_cancelled
    assert not waiting.begun.is_set()


@pytest.mark.parametrize("how", ["event", "drop"])
def test_an_answer_that_is_not_awaited_any_more_is_dropped(
    worker: QueryWorker, deliver: Callable[[], None], how: str
) -> None:
    found: list[str] = []
    asked = Asked("late")
    cancelled = worker.ask(asked, found.append, subject="order")
    assert asked.begun.wait(WAIT_S)
    if how == "event":
        # Only when it is answered already, and on its way to the screen.
        asked.go.set()
        over = threading.Event()
        worker.ask(lambda _: over.set())
        assert over.wait(WAIT_S)
        cancelled.set()
    else:
        worker.drop("order")
        asked.go.set()
    deliver()
    assert found == []
    assert cancelled.is_set()


def test_an_exception_becomes_a_message_and_the_worker_lives_on(
    worker: QueryWorker, inbox: Inbox, deliver: Callable[[], None]
) -> None:
    def broken(_cancelled: threading.Event) -> None:
        raise ValueError("[/x] unforeseen")

    def refused(_cancelled: threading.Event) -> None:
        raise MemtuiError(Reason.NO_SYS_NICE, "process 4242")

    def superseded(_cancelled: threading.Event) -> None:
        raise Superseded

    failures: list[str] = []
    worker.ask(broken, pytest.fail)
    worker.ask(refused, pytest.fail, failed=failures.append)
    worker.ask(superseded, pytest.fail, failed=pytest.fail)
    cancelled = worker.ask(broken, pytest.fail, failed=pytest.fail)
    cancelled.set()
    deliver()
    assert [(item.words, item.bad) for item in inbox.of(Said)] == [("ValueError: [/x] unforeseen", True)]
    assert failures[0].startswith("process 4242: advising other processes")


def test_a_target_is_kept_open_until_its_question_is_over(
    worker: QueryWorker, deliver: Callable[[], None]
) -> None:
    host = FakeHost()
    running, replaced, dropped = (host.open(pid) for pid in (4242, 811, 903))
    asked = Asked("running")
    worker.ask(asked, target=running)
    worker.ask(Asked("replaced"), target=replaced, subject="order")
    worker.ask(Asked("dropped"), target=dropped, subject="matches")
    assert asked.begun.wait(WAIT_S)
    for target in (running, replaced, dropped):
        target.release()
    assert [target.closed for target in host.targets] == [0, 0, 0]
    worker.ask(lambda _: None, subject="order")
    worker.drop("matches")
    assert [target.closed for target in host.targets] == [0, 1, 1]
    asked.go.set()
    deliver()
    assert running.closed == 1
    assert worker.ask(lambda _: pytest.fail("it is closed"), target=running).is_set()
    deliver()


def test_stopping_cancels_what_runs_and_asks_nothing_more(inbox: Inbox) -> None:
    worker = QueryWorker("memtui-test", inbox.post)
    worker.start()
    asked = Asked("late")
    worker.ask(asked, pytest.fail)
    worker.ask(lambda _: pytest.fail("it was stopped"))
    assert asked.begun.wait(WAIT_S)
    worker.stop()
    asked.go.set()
    worker.join(WAIT_S)
    assert not worker.is_alive()
    assert asked.was_cancelled
