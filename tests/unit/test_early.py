"""What comes before the screen is there is taken once, in its order, and nothing overtakes it."""

from __future__ import annotations

import threading

from textual.message import Message

from memtui.ui.early import Early


class Selection(Message):
    """The kind that is waited for."""


def test_what_was_kept_is_handed_over_in_order_and_then_nothing_is_kept() -> None:
    early = Early(Selection)
    sent = [Message(), Selection(), Message()]
    assert all(early.keep(message) for message in sent)
    early.wait(10)
    found: list[Message] = []
    early.hand_over(found.append)
    assert found == sent
    assert not early.keep(Message())
    early.hand_over(found.append)
    assert found == sent


def test_a_message_that_comes_meanwhile_waits_for_those_before_it() -> None:
    early = Early(Selection)
    first, second = Message(), Message()
    assert early.keep(first)
    found: list[Message] = []
    begun = threading.Event()

    def later() -> None:
        begun.set()
        if not early.keep(second):
            found.append(second)

    thread = threading.Thread(target=later)

    def take(message: Message) -> None:
        thread.start()
        assert begun.wait(10)
        found.append(message)

    early.hand_over(take)
    thread.join(10)
    assert found == [first, second]
