"""What is what in a practice process: the words that it publishes for its addresses."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from memtui.practice.files import claim, label_path

if TYPE_CHECKING:
    from pathlib import Path

_MAX_FILE_BYTES = 1 << 20
_MAX_LABEL_LENGTH = 64


class Region(NamedTuple):
    """A part of the practice process's map, ``start`` to ``end``, and the word for it."""

    label: str
    start: int
    end: int


def publish(state_dir: Path, pid: int, start_time: int, regions: list[Region]) -> tuple[Path, int]:
    """Write the label file, mode 0600, and return its path and the descriptor that holds its lock.

    Raises:
        OSError: as open(2), write(2).
    """
    path = label_path(state_dir, pid)
    draft = path.with_name(path.name + ".new")
    fd = claim(draft)
    body = {"pid": pid, "start_time": start_time, "regions": [region._asdict() for region in regions]}
    try:
        os.write(fd, json.dumps(body).encode())
        os.rename(draft, path)
    except BaseException:
        os.close(fd)
        draft.unlink(missing_ok=True)
        raise
    return path, fd


def labels_of(state_dir: Path, pid: int, start_time: int) -> dict[int, str]:
    """Return the words of a practice process by start address.

    Empty for any other process, and for a file that is not as :func:`publish` writes it. The words
    are raw: make them safe where they are shown.
    """
    body = _read(label_path(state_dir, pid))
    if not isinstance(body, dict) or body.get("pid") != pid or body.get("start_time") != start_time:
        return {}
    regions = body.get("regions")
    if not isinstance(regions, list):
        return {}
    words: dict[int, str] = {}
    for region in regions:
        if not isinstance(region, dict):
            return {}
        label, start = region.get("label"), region.get("start")
        if not isinstance(label, str) or type(start) is not int or not 0 <= start < 1 << 64:
            return {}
        words[start] = label[:_MAX_LABEL_LENGTH]
    return words


def _read(path: Path) -> object:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # Not a practice process, which is the rule: it has no words, and that is no error.
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_FILE_BYTES:
            return None
        with open(fd, "rb", closefd=False) as file:
            return json.loads(file.read(_MAX_FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        # Garbled: words are an extra, and the map is right without them.
        return None
    finally:
        os.close(fd)
