"""What comes before the screen is there is taken once, in its order, and nothing overtakes it."""

from __future__ import annotations

import threading

from textual.message import Message

from memtui.ui.startup_queue import StartupQueue


class Wanted(Message):
    """The kind that is waited for."""


def test_what_was_kept_is_taken_in_order_and_then_nothing_is_kept() -> None:
    posted: list[Message] = []
    startup = StartupQueue(Wanted, posted.append)
    sent = [Message(), Wanted(), Message()]
    for message in sent:
        startup.put(message)
    startup.wait(10)
    found: list[Message] = []
    post = startup.end(found.append)
    assert (found, posted) == (sent, [])
    late = [Message(), Message()]
    startup.put(late[0])
    post(late[1])
    assert posted == late
    startup.end(found.append)
    assert found == sent


def test_a_message_that_comes_meanwhile_waits_for_those_before_it() -> None:
    found: list[Message] = []
    startup = StartupQueue(Wanted, found.append)
    first, second = Message(), Message()
    startup.put(first)
    begun = threading.Event()

    def later() -> None:
        begun.set()
        startup.put(second)

    thread = threading.Thread(target=later)

    def take(message: Message) -> None:
        thread.start()
        assert begun.wait(10)
        found.append(message)

    startup.end(take)
    thread.join(10)
    assert found == [first, second]
