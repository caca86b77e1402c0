"""Seven real programs, each started by itself on a port of its own, with 64 MiB in it."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.clients import ITEM_BYTES, ITEMS, item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_STARTS_WITHIN_S = 60
_ENDS_WITHIN_S = 20
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postgresql/15/bin"

_JAVA = """
import com.sun.net.httpserver.*; import java.net.*; import java.nio.file.*; import java.util.concurrent.*;
public class Server { public static void main(String[] a) throws Exception {
  byte[] all = Files.readAllBytes(Path.of(a[1])); int size = Integer.parseInt(a[2]);
  byte[][] items = new byte[all.length / size][];
  for (int i = 0; i < items.length; i++)
    items[i] = java.util.Arrays.copyOfRange(all, i * size, (i + 1) * size);
  HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(a[0])), 0);
  s.setExecutor(Executors.newFixedThreadPool(4));
  s.createContext("/", x -> { byte[] v = items[Integer.parseInt(x.getRequestURI().getPath().substring(1))];
    x.sendResponseHeaders(200, v.length); x.getResponseBody().write(v); x.close(); });
  s.start(); } }
"""

_NODE = """
const fs = require('fs'), [port, path, size] = process.argv.slice(2);
const all = fs.readFileSync(path), items = [];
for (let at = 0; at < all.length; at += +size) items.push(all.toString('latin1', at, at + +size));
require('http').createServer((q, a) => {
  const v = Buffer.from(items[+q.url.slice(1)], 'latin1');
  a.writeHead(200, {'Content-Length': v.length}); a.end(v);
}).listen(+port, '127.0.0.1');
"""

_NUMPY = """
import numpy, sys, socketserver
port, path, size = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rows = numpy.fromfile(path, dtype=numpy.uint8).reshape(-1, size)
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            while self.rfile.readline() not in (b"\\r\\n", b""):
                pass
            body = rows[int(line.split()[1][1:])].tobytes()
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("127.0.0.1", port), Handler).serve_forever()
"""

_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; user root;
events {{ }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/www; sendfile off; }} }} }}
"""


_NO_DELAY = "-Dsun.net.httpserver.nodelay=true"
"""Without it each answer waits 40 ms for an acknowledgement."""


class Missing(Exception):
    """A program is not installed."""


class Server(NamedTuple):
    """A running program: all of its processes, and its port."""

    process: psutil.Process
    port: int

    def pids(self) -> list[int]:
        """Return all of its processes, the first one first."""
        return [self.process.pid, *(child.pid for child in self.process.children(recursive=True))]


class _Program(NamedTuple):
    package: str
    command: Callable[[Path, int], list[str]]
    load: Callable[[int], None] | None = None
    user: str | None = None


def _need(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise Missing(name)
    return found


def _items_file(folder: Path) -> Path:
    path = folder / "items"
    with path.open("wb") as file:
        for number in range(ITEMS):
            file.write(item(number))
    return path


def _redis(folder: Path, port: int) -> list[str]:
    quiet = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(folder)]
    return [_need("redis-server"), "--port", str(port), *quiet]


def _load_redis(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
        for number in range(ITEMS):
            key = b"%d" % number
            stream.write(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key, ITEM_BYTES))
            stream.write(item(number) + b"\r\n")
            stream.flush()
            if stream.readline() != b"+OK\r\n":
                raise RuntimeError("redis took no item")


def _memcached(_folder: Path, port: int) -> list[str]:
    return [_need("memcached"), "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-m", "256"]


def _load_memcached(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
        for number in range(ITEMS):
            stream.write(b"set %d 0 0 %d\r\n" % (number, ITEM_BYTES) + item(number) + b"\r\n")
            stream.flush()
            if stream.readline() != b"STORED\r\n":
                raise RuntimeError("memcached took no item")


def _java(folder: Path, port: int) -> list[str]:
    source = folder / "Server.java"
    source.write_text(_JAVA)
    return [
        _need("java"),
        _NO_DELAY,
        "-Xmx512m",
        str(source),
        str(port),
        str(_items_file(folder)),
        str(ITEM_BYTES),
    ]


def _node(folder: Path, port: int) -> list[str]:
    source = folder / "server.js"
    source.write_text(_NODE)
    return [_need("node"), str(source), str(port), str(_items_file(folder)), str(ITEM_BYTES)]


def _numpy(folder: Path, port: int) -> list[str]:
    for python in ("/usr/bin/python3", sys.executable):
        if not subprocess.run([python, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode:
            return [python, "-c", _NUMPY, str(port), str(_items_file(folder)), str(ITEM_BYTES)]
    raise Missing("numpy")


def _postgres(folder: Path, port: int) -> list[str]:
    user = pwd.getpwnam("postgres")
    data = folder / "data"
    os.chown(folder, user.pw_uid, user.pw_gid)
    made = [_need("initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, user="postgres", group="postgres", cwd=folder)
    options = ["-c", "shared_buffers=128MB", "-c", f"unix_socket_directories={folder}"]
    return [_need("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), *options]


def _load_postgres(port: int) -> None:
    rows = "".join(f"{number}\t{item(number).decode()}\n" for number in range(ITEMS))
    words = "create table items (k int primary key, v text);\ncopy items from stdin;\n" + rows + "\\.\n"
    command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
    subprocess.run([*command, "postgres"], input=words, text=True, check=True)


def _nginx(folder: Path, port: int) -> list[str]:
    www = folder / "www"
    www.mkdir()
    for number in range(ITEMS):
        (www / str(number)).write_bytes(item(number))
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port))
    return [_need("nginx"), "-e", str(folder / "error.log"), "-c", str(config)]


PROGRAMS: dict[str, _Program] = {
    "redis": _Program("redis-server", _redis, _load_redis),
    "memcached": _Program("memcached", _memcached, _load_memcached),
    "java": _Program("default-jdk-headless", _java),
    "node": _Program("nodejs", _node),
    "numpy": _Program("python3-numpy", _numpy),
    "postgres": _Program("postgresql", _postgres, _load_postgres, "postgres"),
    "nginx": _Program("nginx", _nginx),
}
"""Each with the Debian package that has it."""


@contextmanager
def serving(name: str, folder: Path) -> Iterator[Server]:
    """Start a program, fill it, and end it by its pid.

    Raises:
        Missing: it is not installed.
        RuntimeError: it does not answer.
    """
    program = PROGRAMS[name]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = program.command(folder, port)
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            user=program.user,
            group=program.user,
        )
    try:
        _wait_for(port, started, folder / "log")
        if program.load is not None:
            program.load(port)
        yield Server(psutil.Process(started.pid), port)
    finally:
        started.terminate()
        try:
            started.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _wait_for(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until and started.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{started.args!r} does not answer: {log.read_text()[-400:]}")


class Client:
    """The client of a program, in a process of its own."""

    def __init__(self, name: str, port: int) -> None:
        command = [sys.executable, "-m", "tests.bench.clients", name, str(port)]
        environment = {**os.environ, "PATH": _PATH}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def tell(self, word: str) -> dict[str, object]:
        """Steer it (``pause``, ``all``, ``go``, ``end``); return its tally since the last word.

        Raises:
            RuntimeError: it has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client has ended")
        answer: dict[str, object] = json.loads(line)
        return answer

    def end(self) -> None:
        """End it by its pid, at work or not."""
        self._process.terminate()
        self._process.communicate(timeout=_ENDS_WITHIN_S)
