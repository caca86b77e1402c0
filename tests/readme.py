"""``python -m tests.readme``: write the table of reasons into docs/reasons.md, from the code."""

from __future__ import annotations

from pathlib import Path

from memtui.model.reasons import Reason

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
REASONS = REPOSITORY / "docs/reasons.md"
BEGIN, END = "<!-- reasons: make reasons -->", "<!-- end of reasons -->"


def reasons_table() -> str:
    """Return the table of reasons in Markdown."""
    rows = [f"| `{reason.value}` | {reason.text} | {reason.next_step} |" for reason in Reason]
    return "\n".join(["| code | in words | what to do |", "|---|---|---|", *rows])


def with_reasons(text: str) -> str:
    """Return the document with the table as the code has it now.

    Raises:
        ValueError: the place for the table is not marked.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{REASONS.name} has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reasons_table()}\n\n{END}{after}"


if __name__ == "__main__":
    REASONS.write_text(with_reasons(REASONS.read_text("utf-8")), "utf-8")
