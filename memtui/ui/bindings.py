"""The keys. One list a place; the footer, the help and the palette are made from them."""

from __future__ import annotations

from textual.binding import Binding

_RELEASE_ALL = "Release every target at once, cancel the running plan and empty the queue."

APP_BINDINGS = [
    Binding(
        "exclamation_mark",
        "app.thaw_now",
        "Release all",
        key_display="!",
        id="thaw",
        tooltip=_RELEASE_ALL,
    ),
    Binding(
        "f12",
        "app.thaw_now",
        "Release all",
        show=False,
        priority=True,
        id="thaw.f12",
        tooltip=_RELEASE_ALL,
    ),
    Binding("question_mark,f1", "app.help", "Help", key_display="?", id="help", tooltip="This help."),
    Binding(
        "q,f10",
        "app.quit",
        "Quit",
        id="quit",
        tooltip="Quit; what runs ends at its next edge, and whatever is held is released.",
    ),
    Binding("ctrl+q", "app.quit", "Quit", show=False, system=True, tooltip="Quit from anywhere."),
    Binding(
        "ctrl+z",
        "app.suspend_process",
        "Suspend",
        show=False,
        id="suspend",
        tooltip="Go to the background; whatever is held is released first.",
    ),
]
"""For the app, and for the dialogs, under which an app's own keys do not work."""

MAIN_BINDINGS = [
    Binding(
        "space",
        "mark",
        "Mark",
        key_display="spc",
        id="mark",
        tooltip="Mark a VMA, or all eligible VMAs of a process.",
    ),
    Binding("v", "range", "Range", id="mark.range", tooltip="Begin a range: move, then Space marks it."),
    Binding(
        "asterisk",
        "mark_all",
        "All",
        show=False,
        key_display="*",
        id="mark.all",
        tooltip="Mark all VMAs of the map but those that the kernel refuses.",
    ),
    Binding(
        "U", "unmark", "None", show=False, id="mark.none", tooltip="Take all marks away, of every process."
    ),
    Binding(
        "a,f9",
        "plan",
        "Plan",
        id="plan",
        tooltip="The plan dialog: what is marked, else the VMA or process under the cursor.",
    ),
    Binding(
        "f",
        "cycle_freeze",
        "Freeze",
        id="freeze",
        tooltip="The freeze method of the next plan: auto, ptrace, off, sigstop, cgroup.",
    ),
    Binding(
        "x",
        "explain",
        "Explain",
        id="explain",
        tooltip="Explain the VMA or the result under the cursor: flags, verdicts, reasons, next steps.",
    ),
    Binding(
        "R",
        "restore",
        "Restore",
        key_display="R",
        id="restore",
        tooltip="Put back what the result under the cursor moved, or else the last action; it asks first.",
    ),
    Binding(
        "at",
        "history",
        "History",
        key_display="@",
        id="history",
        tooltip="The history: what was done on this machine, by whom, and what came of it.",
    ),
    Binding(
        "slash",
        "prompt('search')",
        "Search",
        key_display="/",
        id="search",
        tooltip="Search the list; the language is that of the filter. Enter stays, Esc goes back.",
    ),
    Binding("n,f3", "seek(1)", "Next", show=False, id="search.next", tooltip="The next match."),
    Binding("N", "seek(-1)", "Match before", show=False, id="search.back", tooltip="The match before."),
    Binding(
        "backslash,f4",
        "prompt('filter')",
        "Filter",
        key_display="\\",
        id="filter",
        tooltip="Show only what matches, as in kind:anon,heap rss>10M !flag:lo. Esc in the list ends it.",
    ),
    Binding(
        "plus",
        "prompt('mark')",
        "Mark by",
        show=False,
        key_display="+",
        id="mark.rule",
        tooltip="Mark all VMAs of the map that a filter takes, but those that the kernel refuses.",
    ),
    Binding(
        "minus",
        "prompt('unmark')",
        "Unmark by",
        show=False,
        key_display="-",
        id="unmark.rule",
        tooltip="Unmark all VMAs of the map that a filter takes.",
    ),
    Binding(
        "greater_than_sign,f6",
        "sort(1)",
        "Sort",
        show=False,
        key_display=">",
        id="sort.next",
        tooltip="Sort by the next column.",
    ),
    Binding(
        "less_than_sign",
        "sort(-1)",
        "Sort back",
        show=False,
        key_display="<",
        id="sort.back",
        tooltip="Sort by the column before.",
    ),
    Binding("I", "invert", "Invert", show=False, id="sort.invert", tooltip="Sort the other way round."),
    Binding(
        "t,f5",
        "tree",
        "Tree",
        show=False,
        id="tree",
        tooltip="Processes below their parents, or in one list.",
    ),
    Binding(
        "u",
        "user",
        "User",
        show=False,
        id="user",
        tooltip="Only the processes of the user under the cursor; again: of all users.",
    ),
    Binding(
        "F",
        "follow",
        "Follow",
        show=False,
        id="follow",
        tooltip="Whether the cursor follows its row when the list moves (so at first), or stays on its line.",
    ),
    Binding(
        "z,Z",
        "pause",
        "Pause",
        show=False,
        id="pause",
        tooltip="Read nothing and let everything stand as it is; again: go on.",
    ),
    Binding("tab", "next_pane(1)", "Pane", show=False, id="pane.next", tooltip="The next pane."),
    Binding(
        "shift+tab", "next_pane(-1)", "Pane back", show=False, id="pane.back", tooltip="The pane before."
    ),
    Binding(
        "escape",
        "back",
        "Back",
        show=False,
        id="back",
        tooltip="Drop a range in the making; else cancel what runs; else end the filter; else back a pane.",
    ),
]

ACTING = frozenset(
    {
        *("mark", "range", "mark_all", "unmark", "plan", "cycle_freeze", "thaw_now", "restore"),
        *("prompt('mark')", "prompt('unmark')"),
    }
)
"""Actions that lead to a change in a process, or make sense only on the way to one."""


def is_acting(action: str, parameters: tuple[object, ...] = ()) -> bool:
    """Whether an action, without or with its parameters, is one of ACTING."""
    return action in ACTING or f"{action}({', '.join(map(repr, parameters))})" in ACTING


SECONDARY = frozenset({"range", "mark_all", "unmark", "cycle_freeze", "history", "prompt('search')"})
"""Actions that a narrow line of keys leaves to the help."""

TABLE_BINDINGS = [
    Binding("down,j", "move(1)", "Down", False, id="table.down", tooltip="One row down."),
    Binding("up,k", "move(-1)", "Up", False, id="table.up", tooltip="One row up."),
    Binding("pagedown", "page(1)", "Page down", False, id="table.page_down", tooltip="One page down."),
    Binding("pageup", "page(-1)", "Page up", False, id="table.page_up", tooltip="One page up."),
    Binding("ctrl+d", "page(0.5)", "Half down", False, id="table.half_down", tooltip="Half a page down."),
    Binding("ctrl+u", "page(-0.5)", "Half up", False, id="table.half_up", tooltip="Half a page up."),
    Binding("home,g", "first", "First", False, id="table.first", tooltip="To the first row."),
    Binding("end,G", "last", "Last", False, id="table.last", tooltip="To the last row."),
    Binding("right", "sideways(1)", "Right", False, id="table.right", tooltip="Long lines: right."),
    Binding("left", "sideways(-1)", "Left", False, id="table.left", tooltip="Long lines: left."),
    Binding("enter", "screen.go_in", "Go in", False, id="table.enter", tooltip="Go into the row."),
]

PLAN_BINDINGS = [
    Binding("left", "advice(-1)", "Advice", key_display="←→", id="plan.back", tooltip="The advice before."),
    Binding("right", "advice(1)", "Advice", show=False, id="plan.next", tooltip="The next advice."),
    Binding("c", "choose('cold')", "Cold", show=False, id="plan.cold", tooltip="Plan COLD."),
    Binding("p", "choose('pageout')", "Pageout", show=False, id="plan.pageout", tooltip="Plan PAGEOUT."),
    Binding("w", "choose('willneed')", "Willneed", show=False, id="plan.willneed", tooltip="Plan WILLNEED."),
    Binding("l", "choose('collapse')", "Collapse", show=False, id="plan.collapse", tooltip="Plan COLLAPSE."),
    Binding(
        "f",
        "cycle_freeze",
        "Freeze",
        id="plan.freeze",
        tooltip="The freeze method: auto, ptrace, off, sigstop, cgroup.",
    ),
    Binding(
        "t",
        "thorough",
        "Thorough",
        id="plan.thorough",
        tooltip="PAGEOUT asks again, CPU after CPU, for pages that wait in their batches: takes longer.",
    ),
    Binding("y", "apply", "Apply", id="plan.apply", tooltip="Carry the plan out as it is shown."),
    Binding(
        "escape,n",
        "cancel",
        "Cancel",
        key_display="Esc",
        id="plan.cancel",
        tooltip="Close the dialog; nothing is done.",
    ),
]

RESTORE_BINDINGS = [
    Binding(
        "left", "app.focus_previous", "Button", False, id="restore.before", tooltip="To the other button."
    ),
    Binding("right", "app.focus_next", "Button", False, id="restore.after", tooltip="To the other button."),
    Binding("y", "apply", "Restore", id="restore.apply", tooltip="Put it back as it is shown."),
    Binding(
        "escape,n",
        "cancel",
        "Cancel",
        key_display="Esc",
        id="restore.cancel",
        tooltip="Close the dialog; nothing is done.",
    ),
]

CONFIRM_BINDINGS = [
    Binding(
        "up", "body(-1)", "Up", False, id="dialog.up", tooltip="What stands above the forecast: a line up."
    ),
    Binding("down", "body(1)", "Down", False, id="dialog.down", tooltip="What stands above it: a line down."),
    Binding("pageup", "body_page(-1)", "Page up", False, id="dialog.page_up", tooltip="A page up."),
    Binding("pagedown", "body_page(1)", "Page down", False, id="dialog.page_down", tooltip="A page down."),
]
"""In a dialog that acts; a list in it that has the focus takes these keys first."""

HISTORY_BINDINGS = [
    Binding(
        "R",
        "restore",
        "Restore",
        key_display="R",
        id="history.restore",
        tooltip="Put back what the entry under the cursor moved; it asks first.",
    ),
]
"""In the history, and on the screen of one of its entries."""

DIALOG_BINDINGS = [
    *(item for item in APP_BINDINGS if item.id != "quit"),
    Binding("f10", "app.quit", "Quit", show=False, tooltip="Quit; whatever is held is released."),
]
"""The app's keys under a dialog, where q only closes the dialog."""

PROMPT_BINDINGS = [
    Binding("enter", "accept", "Accept", id="prompt.accept", tooltip="Keep it as it stands."),
    Binding("escape", "cancel", "Cancel", id="prompt.cancel", tooltip="As it was before."),
    Binding("up", "move(-1)", "Up", show=False, id="prompt.up", tooltip="One row up in the list."),
    Binding("down", "move(1)", "Down", show=False, id="prompt.down", tooltip="One row down in the list."),
]
"""While a filter or a search is typed."""

CLOSE_BINDINGS = [
    Binding("escape,q,backspace", "close", "Back", key_display="Esc", id="close", tooltip="Go back."),
]
