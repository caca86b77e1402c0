"""How the record of moved pages is written: a header, and behind it frames, each as it was or not at all.

The header is a line of JSON: whose pages they are. A frame has a length and a checksum: the mappings that
pages left, and the runs of pages, as differences, compressed. The first frame that is cut off ends the
record.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memtui.model.process import ProcessId
from memtui.model.ranges import PAGE_BYTES, Range, RangeSet, intersect, normalise, subtract
from memtui.model.vma import VmaIdentity, VmaKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_FORMAT = 2
_WHOLE_FORMAT = 1
"""What memtui wrote at the end of an action: all mappings in the header, all runs behind it."""
_FRAME = struct.Struct("<II")
MOST_HEADER_BYTES = 64 << 20
MOST_FRAMES_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Stretch:
    """A planned range that pages left: what was mapped there then."""

    range: Range
    identity: VmaIdentity
    kind: VmaKind


@dataclass(frozen=True, slots=True)
class MovedPages:
    """Which pages an action moved, of which process; no pages where that could not be seen.

    ``program`` tells one program of a process from the next that it became by exec. ``is_complete`` is False
    where the action did not come to its end: what its last hold moved may be missing then.
    """

    process: ProcessId
    program: str
    stretches: tuple[Stretch, ...]
    pages: RangeSet
    is_complete: bool = True


def with_pages(stretches: Sequence[Stretch], pages: RangeSet) -> tuple[Stretch, ...]:
    """Return the stretches that hold some of the pages, in order."""
    ordered = sorted(stretches, key=lambda item: item.range)
    touched = intersect(normalise(item.range for item in ordered), pages)
    found = []
    at = 0
    for item in ordered:
        while at < len(touched) and touched[at].end <= item.range.start:
            at += 1
        if at < len(touched) and touched[at].start < item.range.end:
            found.append(item)
    return tuple(found)


def encode_header(process: ProcessId, program: str) -> bytes:
    """Return the beginning of a record."""
    header = {
        "format": _FORMAT,
        "page_bytes": PAGE_BYTES,
        "process": [process.pid, process.start_time, process.boot_id],
        "program": program,
    }
    return _line(header) + b"\n"


def encode_frame(
    stretches: Sequence[Stretch], pages: RangeSet, dropped: Iterable[Range] = (), *, is_end: bool = False
) -> bytes:
    """Return a frame: pages that moved, and the stretches that they lie in.

    What was ``dropped`` in any frame of a record is not to be restored. ``is_end`` tells that none follows.
    """
    content: dict[str, object] = {"stretches": list(map(_stretch_row, stretches))}
    if dropped := tuple(dropped):
        content["dropped"] = [[item.start, item.end] for item in dropped]
    if is_end:
        content["end"] = True
    packed = zlib.compress(_line(content) + b"\n" + _runs(pages), 1)
    return _FRAME.pack(len(packed), zlib.crc32(packed)) + packed


def process_of(header: bytes) -> ProcessId:
    """Return whose pages a record is about.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: that is no header.
    """
    return _process(json.loads(header))


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def _stretch_row(item: Stretch) -> list[object]:
    return [item.range.start, item.range.end, item.kind.value, *item.identity]


def _runs(pages: RangeSet) -> bytes:
    numbers: list[int] = []
    at = 0
    for run in pages:
        start, end = run.start // PAGE_BYTES, run.end // PAGE_BYTES
        numbers += (start - at, end - start)
        at = end
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _process(header: Any) -> ProcessId:
    pid, start_time, boot_id = header["process"]
    return ProcessId(int(pid), int(start_time), str(boot_id))


def _stretches(rows: Any) -> list[Stretch]:
    return [
        Stretch(Range(start, end), VmaIdentity(name, perms, device, inode, delta), VmaKind(kind))
        for start, end, kind, name, perms, device, inode, delta in rows
    ]


def _pages(data: bytes) -> list[Range]:
    numbers = struct.unpack(f"<{len(data) // 8}Q", data)
    pages = []
    at = 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        at += gap
        pages.append(Range(at * PAGE_BYTES, (at + length) * PAGE_BYTES))
        at += length
    return pages


def decode(line: bytes, rest: bytes) -> MovedPages:
    """Return what stands in a record: its first line, and the rest.

    Raises:
        ValueError, KeyError, TypeError, RecursionError, zlib.error, struct.error: that is none.
    """
    header = json.loads(line)
    if header["format"] not in (_FORMAT, _WHOLE_FORMAT) or header["page_bytes"] != PAGE_BYTES:
        raise ValueError("of another format")
    process, program = _process(header), str(header["program"])
    if header["format"] == _WHOLE_FORMAT:
        whole = normalise(_pages(_unpacked(rest)))
        return MovedPages(process, program, tuple(_stretches(header["stretches"])), whole)
    stretches: dict[int, Stretch] = {}
    pages: list[Range] = []
    dropped: list[Range] = []
    is_complete = False
    for content, runs in _frames(rest):
        try:
            found = _stretches(content["stretches"]), _pages(runs)
            gone = [Range(start, end) for start, end in content.get("dropped", ())]
        except (ValueError, KeyError, TypeError, struct.error):
            break
        stretches.update((item.range.start, item) for item in found[0])
        pages += found[1]
        dropped += gone
        is_complete = content.get("end") is True
    left = subtract(normalise(pages), normalise(dropped))
    return MovedPages(process, program, with_pages(tuple(stretches.values()), left), left, is_complete)


def _frames(data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield what stands in each frame, up to the first that is cut off or not as it was written."""
    at = total = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        packed = data[at : at + length]
        at += length
        if len(packed) != length or zlib.crc32(packed) != checksum:
            return
        try:
            text = _unpacked(packed)
            line, _, runs = text.partition(b"\n")
            content = json.loads(line)
        except (ValueError, RecursionError, zlib.error):
            return
        total += len(text)
        if not isinstance(content, dict) or total > MOST_FRAMES_BYTES:
            return
        yield content, runs


def _unpacked(packed: bytes) -> bytes:
    opened = zlib.decompressobj()
    data = opened.decompress(packed, MOST_FRAMES_BYTES)
    if not opened.eof:
        raise ValueError("cut off")
    return data
