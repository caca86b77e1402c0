"""``memtui maps``: the VMAs of a process, with live RSS and swap and a verdict for each advice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memtui.cli.output import print_json, print_table
from memtui.cli.starting import state_dir_to_read, tell_left_held
from memtui.format import address_range, safe, size
from memtui.host.local import LocalHost
from memtui.model.advice import Advice
from memtui.model.filter import parse
from memtui.model.verdict import Expectation, Verdict
from memtui.render import json_schema

if TYPE_CHECKING:
    import argparse

    from memtui.model.vma import MappedVma

_LETTERS = {Expectation.YES: "y", Expectation.PARTLY: "p", Expectation.NO: "-"}


def run(arguments: argparse.Namespace) -> int:
    """List the VMAs that the filter takes."""
    wanted = parse(" ".join(arguments.filter))
    with LocalHost(state_dir_to_read(arguments)) as host:
        tell_left_held(host)
        target = host.open(arguments.pid)
        space = target.look(details=True)
        chosen = [row for row in space.rows() if wanted.matches_vma(row, partial(target.judge, row))]
        judged = [(row, {advice: target.judge(row, advice) for advice in Advice}) for row in chosen]
    if arguments.json:
        print_json(json_schema.vma_row(row, verdicts) for row, verdicts in judged)
        return 0
    rows = (
        (
            size(row.rss_bytes),
            size(row.swap_bytes),
            size(row.vma.size_bytes),
            row.vma.perms,
            row.kind.value,
            _letters(verdicts),
            address_range(row.vma.start, row.vma.end),
            safe(" ".join(filter(None, (row.label and f"({row.label})", row.vma.name, _hugetlb(row))))),
        )
        for row, verdicts in judged
    )
    print_table(("RSS", "SWAP", "SIZE", "PERM", "KIND", "WILL", "ADDRESS", "NAME"), rows, left=5)
    print("WILL: cold, pageout, willneed, collapse; y yes, p partly, - no (see --json for why)")
    return 0


def _hugetlb(row: MappedVma) -> str:
    """Say what of it RSS leaves out."""
    held = 0 if row.details is None else row.details.hugetlb_bytes
    return f"({size(held)} of hugetlb in RAM)" if held else ""


def _letters(verdicts: dict[Advice, Verdict]) -> str:
    return "".join(_LETTERS[verdicts[advice].will] for advice in Advice)
