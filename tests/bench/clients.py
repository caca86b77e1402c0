"""``python -m tests.bench.clients PROGRAM PORT``: a client that checks every byte that a program answers.

Lines on standard input steer it: ``pause``, ``all`` (ask for every item once, then pause), ``go`` and
``end``. Each is answered by one JSON line with what happened since the last one.
"""

from __future__ import annotations

import hashlib
import json
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

ITEMS = 16384
ITEM_BYTES = 4096
"""What each program holds: 64 MiB, item by item told apart by :func:`item`."""

Ask = Callable[[int], bytes]
"""Asks for an item by its number; returns what came."""


def item(number: int) -> bytes:
    """Return the bytes of an item: no two are alike, and none compresses to nothing."""
    seed = hashlib.sha256(str(number).encode()).hexdigest().encode()
    return seed * (ITEM_BYTES // len(seed))


@dataclass(slots=True)
class Tally:
    """What happened since the last line."""

    requests: int = 0
    errors: int = 0
    longest_ms: float = 0.0
    first_error: str | None = None


def of_redis(port: int) -> Ask:
    """GET by RESP."""
    stream = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(number: int) -> bytes:
        stream.write(b"GET %d\r\n" % number)
        stream.flush()
        size = int(stream.readline()[1:])
        return stream.read(size + 2)[:-2]

    return ask


def of_memcached(port: int) -> Ask:
    """``get`` by the text protocol."""
    stream = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(number: int) -> bytes:
        stream.write(b"get %d\r\n" % number)
        stream.flush()
        size = int(stream.readline().split()[3])
        data = stream.read(size + 2)[:-2]
        if stream.readline() != b"END\r\n":
            raise ValueError("no END")
        return data

    return ask


def of_http(port: int) -> Ask:
    """``GET /NUMBER`` on a connection that is kept."""
    stream = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(number: int) -> bytes:
        stream.write(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number)
        stream.flush()
        if b" 200 " not in stream.readline():
            raise ValueError("not 200")
        size = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return stream.read(size)

    return ask


def of_postgres(port: int) -> Ask:
    """One ``psql`` for all, and so one backend."""
    command = ["psql", "-qAtX", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "postgres"]
    psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert psql.stdin is not None
    assert psql.stdout is not None
    asked, answers = psql.stdin, psql.stdout

    def ask(number: int) -> bytes:
        asked.write(b"select v from items where k = %d;\n" % number)
        asked.flush()
        return answers.readline().rstrip(b"\n")

    return ask


CLIENTS: dict[str, Callable[[int], Ask]] = {
    "redis": of_redis,
    "memcached": of_memcached,
    "postgres": of_postgres,
}
"""By program; all others speak HTTP."""


def _request(ask: Ask, number: int, tally: Tally) -> None:
    began = time.monotonic()
    try:
        right = ask(number) == item(number)
        trouble = None if right else f"item {number}: other bytes"
    except (OSError, ValueError, IndexError) as error:
        trouble = f"item {number}: {error!r}"
    tally.requests += 1
    tally.longest_ms = max(tally.longest_ms, (time.monotonic() - began) * 1000)
    if trouble is not None:
        tally.errors += 1
        tally.first_error = tally.first_error or trouble


def main(program: str, port: int) -> None:
    """Ask until told to end."""
    ask = CLIENTS.get(program, of_http)(port)
    tally, running = Tally(), True
    while True:
        if not running or select.select([sys.stdin], [], [], 0)[0]:
            word = sys.stdin.readline().strip()
            for number in range(ITEMS) if word == "all" else ():
                _request(ask, number, tally)
            print(json.dumps(asdict(tally)), flush=True)
            tally = Tally()
            if word in ("", "end"):
                return
            running = word == "go"
        else:
            _request(ask, random.randrange(ITEMS), tally)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
