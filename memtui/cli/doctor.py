"""``memtui doctor``: what works here, what does not, why, and how to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memtui.cli.output import print_json
from memtui.cli.starting import state_dir_to_read
from memtui.format import safe
from memtui.host.local import LocalHost
from memtui.render import json_schema
from memtui.render.doctor import describe_finding

if TYPE_CHECKING:
    import argparse

    from memtui.host import Finding

_MARKS = {True: "ok  ", False: "NO  ", None: "note"}


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 0 if all is well, else 1."""
    with LocalHost(state_dir_to_read(arguments)) as host:
        findings = host.doctor(arguments.pid)
    if arguments.json:
        print_json(json_schema.finding(finding) for finding in findings)
    else:
        for finding, before in zip(findings, (None, *findings), strict=False):
            _print(finding, told=before is not None and before.remedy == finding.remedy)
    return 1 if any(finding.ok is False for finding in findings) else 0


def _print(finding: Finding, *, told: bool) -> None:
    """Print a finding; ``told`` is whether its remedy stands right above."""
    words = describe_finding(finding)
    print(f"{_MARKS[finding.ok]}  {safe(finding.check)}: {safe(words.finding)}")
    if words.consequence:
        print(f"      so: {safe(words.consequence)}")
    if finding.remedy:
        print(f"      try: {'the same' if told else safe(finding.remedy)}")
