"""``python -m tests.readme``: writes into README.md what is said in the code, so that the two agree."""

from __future__ import annotations

from pathlib import Path

from memtui.model.reasons import Reason

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- reasons: make reasons -->", "<!-- end of reasons -->"


def reasons_table() -> str:
    """Return the table of reasons in Markdown."""
    rows = [f"| `{reason.value}` | {reason.text} | {reason.next_step} |" for reason in Reason]
    return "\n".join(["| code | in words | what to do |", "|---|---|---|", *rows])


def with_reasons(text: str) -> str:
    """Return the README with the table as it is now.

    Raises:
        ValueError: the place for it is not marked.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reasons_table()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_reasons(README.read_text("utf-8")), "utf-8")
