"""``memtui thaw``: releases whatever a crash left frozen. Every other start that may act does so too."""

from __future__ import annotations

import argparse

from memtui.cli.exitcode import ALL, PART
from memtui.cli.output import complain, print_json
from memtui.host.local import LocalHost
from memtui.model import wire
from memtui.model.holds import ThawOutcome
from memtui.text import safe


def run(arguments: argparse.Namespace) -> int:
    """Release, and say whom."""
    with LocalHost(arguments.state_dir) as host:
        thawed = host.thaw()
        remarks = host.thaw_remarks
    failed = [item for item in thawed if item.outcome is ThawOutcome.FAILED]
    if arguments.json:
        print_json(wire.thawed(item) for item in thawed)
    else:
        for item in thawed:
            if item not in failed:
                print(safe(str(item)))
        if not thawed and not remarks:
            print("nothing was left held")
    for words in (*map(str, failed), *remarks):
        complain(words)
    return PART if failed or remarks else ALL
