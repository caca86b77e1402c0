"""The TUI as a program: the app, and how it starts and ends."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import suppress
from shutil import get_terminal_size
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import SystemCommand

from memtui.format import safe
from memtui.linux.own_threads import require_threads
from memtui.model.errors import MemtuiError
from memtui.shutdown import ScreenSignals, drop_dead_streams
from memtui.ui.ascii import AsciiFilter
from memtui.ui.bindings import APP_BINDINGS, is_acting
from memtui.ui.messages import ProcessesRead
from memtui.ui.ordered_input import OrderedInputApp, has_taken
from memtui.ui.screens.main import MainScreen
from memtui.ui.session import Session
from memtui.ui.startup_queue import StartupQueue
from memtui.ui.styles import stylesheets
from memtui.ui.textual_private import event_loop
from memtui.ui.widgets.prompt import PromptInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual import events
    from textual.binding import BindingType
    from textual.filter import LineFilter
    from textual.message import Message
    from textual.screen import Screen

    from memtui.host import Host
    from memtui.ui.options import UiOptions

_FIRST_LOOK_S = 0.05
_SHOWN_S = 0.5
_SETTLED_S = 2.0
_ARRANGED_S = 0.2
_SUSPEND_WAITS_S = 1.0
QUIT_WAITS_S = 10.0
"""How long quitting waits for the end of what runs: a call, a hold's end, and the report."""
_END_WAITS_S = 1.0
"""How long it is waited for what runs where the app has ended without asking."""
_THREADS = 9
"""How many a screen takes: the session's five, Textual's two, and one each for refaults and signals."""
_BREAKPOINTS = [(0, "-narrow"), (90, "-medium"), (110, "-wide")]
_HEIGHTS = [(0, "-low"), (34, "-high")]


class MemtuiApp(OrderedInputApp):
    """memtui. ``sampling`` False leaves all reading to whoever posts messages (tests)."""

    TITLE = "memtui"
    CSS_PATH = stylesheets("memtui.tcss")
    HORIZONTAL_BREAKPOINTS = _BREAKPOINTS
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [*APP_BINDINGS]

    def __init__(self, host: Host, options: UiOptions, *, sampling: bool = True) -> None:
        # With NO_COLOR this has Textual strip every colour; without, it would send greys.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.animation_level = "none"
        self.options = options
        self._ascii = AsciiFilter()
        self._startup = StartupQueue(ProcessesRead, self.post_to_main)
        self.session = Session(host, options, self._startup.put, sampling=sampling)
        self.main = MainScreen(self.session, self._startup)
        self.main.add_class(*_classes_of(get_terminal_size()))

    def post_to_main(self, message: Message) -> bool:
        """Hand a message to the main screen, from any thread; False if nobody listens any more."""
        try:
            return self.main.post_message(message)
        except RuntimeError:
            # The event loop was closed between the question and the answer.
            return False

    async def take_key(self, event: events.Key) -> None:
        """Wait, too, until what a key asked of a long map is answered and shown, unless that takes long.

        Of ``/cold``, Enter and Space, Space is meant for the VMA that is found.
        """
        prompt = self.focused
        if isinstance(prompt, PromptInput) and not prompt.check_consume_key(event.key, event.character):
            # It may move the cursor on from what was typed, or end the typing.
            await self._is_arranged()
        asked = self.session.map_worker.asked
        await super().take_key(event)
        if self.session.map_worker.asked != asked and not isinstance(self.focused, PromptInput):
            await self._is_arranged()

    async def _is_arranged(self) -> None:
        answered = asyncio.Event()
        loop = asyncio.get_running_loop()

        self.session.map_worker.ask(lambda _cancelled: loop.call_soon_threadsafe(answered.set))
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(answered.wait(), _ARRANGED_S)
            await has_taken(self.main)

    def get_default_screen(self) -> Screen[None]:
        """Begin with the main screen."""
        return self.main

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Have every line pass through ASCII where the terminal shows nothing else."""
        filters = super().get_line_filters()
        return [*filters, self._ascii] if self.options.ascii_only else filters

    def on_mount(self) -> None:
        """Start the threads."""
        if self.options.theme is not None:
            self.theme = self.options.theme
        elif self.no_color or ("SSH_CONNECTION" in os.environ and "TEXTUAL_THEME" not in os.environ):
            # The terminal's own colours: no greys without colour, and a third fewer bytes over a line.
            self.theme = "ansi-dark"
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        try:
            self.session.start()
        except MemtuiError as error:
            self.exit(None, 1, Text(f"memtui: {safe(str(error))}"))
            return
        if self.session.sampler is not None:
            # While this thread makes the screen, one that reads gets on but slowly (it asks for the
            # interpreter after each call), and the screen would stand empty at first.
            self._startup.wait(_FIRST_LOOK_S)

    def on_ready(self) -> None:
        """Once the screen stands, get ready to act; then let the collector of garbage in."""
        self.set_timer(_SHOWN_S, self.session.prepare)
        if not gc.isenabled():
            self.set_timer(_SETTLED_S, _collect)

    def on_unmount(self) -> None:
        """Have everything released, and the threads end."""
        self.session.release()
        self.session.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what acts where the session only reads."""
        return not (self.options.read_only and is_acting(action))

    async def action_quit(self) -> None:
        """Quit once what runs has ended at its next edge, so that its record is whole.

        The second time quit at once.
        """
        session = self.session
        if session.is_quitting or not session.close_queue():
            self.exit()
            return
        session.is_quitting = True
        while self.screen is not self.main:
            # What is waited for is told on the main screen.
            self.pop_screen()
        self.main.status_bar.say_quitting()
        self.set_timer(QUIT_WAITS_S, self.exit)

    def action_thaw_now(self) -> None:
        """Have everything released, now, by a thread of its own."""
        self.session.thaw()

    def action_help(self) -> None:
        """Show the help."""
        from memtui.ui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.options))

    def action_help_quit(self) -> None:
        """Say how to quit, to who presses Ctrl+C."""
        self.main.status_bar.say("q quits")

    def action_suspend_process(self) -> None:
        """Release everything, then go to the background: who sleeps cannot thaw."""
        thread = self.session.thaw()
        if thread is not None:
            thread.join(_SUSPEND_WAITS_S)
        super().action_suspend_process()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Put our keys into the palette beside Textual's own commands."""
        yield from super().get_system_commands(screen)
        named = set()
        for bound in screen.active_bindings.values():
            binding = bound.binding
            if bound.enabled and binding.id and binding.tooltip and not binding.system:
                if binding.id in named:
                    # Another key of the same.
                    continue
                named.add(binding.id)
                action, node = binding.action, bound.node

                async def run(action: str = action, node: object = node) -> None:
                    await self.run_action(action, node)  # type: ignore[arg-type]

                yield SystemCommand(binding.description, binding.tooltip, run)


def _classes_of(size: tuple[int, int]) -> list[str]:
    """Return the classes that a size will give a screen: known beforehand, they are not a change of style."""
    return [
        [name for least, name in breakpoints if least <= length][-1]
        for length, breakpoints in zip(size, (_BREAKPOINTS, _HEIGHTS), strict=True)
    ]


def _collect() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def run(host: Host, options: UiOptions) -> int:
    """Run the TUI until it is quit, and return the exit code: 0, 2 for wrong use, 128 + a signal.

    Raises:
        MemtuiError: NO_TASKS.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print("memtui: the TUI needs a terminal on stdin and stderr; see `memtui --help`", file=sys.stderr)
        return 2
    app = MemtuiApp(host, options)
    if options.theme is not None and options.theme not in app.available_themes:
        names = ", ".join(sorted(app.available_themes))
        print(f"memtui: no theme {safe(options.theme)!r}; there are: {names}", file=sys.stderr)
        return 2
    require_threads(_THREADS)
    code = 0

    def end(with_code: int) -> None:
        nonlocal code
        code = with_code
        loop = event_loop(app)
        if loop is None:
            # Not started yet, so that there is no terminal to restore.
            os._exit(with_code)
        with suppress(RuntimeError):  # closed: it has ended by itself
            loop.call_soon_threadsafe(app.exit, None, with_code)

    with ScreenSignals(app.session.release, end):
        app.run(mouse=options.mouse)
        # What runs was cancelled: what came of it goes on record.
        app.session.wait_idle(_END_WAITS_S)
    # Of a terminal that is gone, say.
    drop_dead_streams()
    return code or app.return_code or 0
