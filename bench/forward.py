"""Ports of jobs: how fast and how soon bytes come through, beside a plain relay in Python.

The relay is what anybody would write: two loops of read and write for each connection, in a process of its own. Ours
has three processes in the path and numbers every byte.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

from bench.harness import Failed
from bench.table import Line
from bench.workbench import NEURO, Workbench

SIZE = 200_000_000
ROUNDS = 5
TRIPS = 500
MANY = 200

# Takes a line: "give N" sends N bytes, "take N" reads so many and answers with one, "echo" sends back what comes.
SERVER = """
import socket, threading
block = bytes(1 << 18)
def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    file = client.makefile("rb", buffering=0)
    verb, _, size = file.readline().partition(b" ")
    left = int(size or 0)
    if verb == b"give":
        while left > 0:
            client.sendall(memoryview(block)[:left])
            left -= len(block)
    elif verb == b"take":
        while left > 0:
            left -= len(client.recv(1 << 18))
        client.sendall(b"!")
    else:
        while data := client.recv(65536):
            client.sendall(data)
    client.close()
server = socket.create_server(("127.0.0.1", 0), backlog=1000)
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

RELAY = """
import asyncio, sys
async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
async def serve(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(pump(reader, back), pump(there, writer))
    back.close()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def forwards(bench: Workbench) -> list[Line]:
    """Throughput both ways, latency, many connections at once."""
    bench.neuro("run", "--detach", "-n", "bench-port", "host", "--", sys.executable, "-c", SERVER)
    bench.wait_for("bench-port", "running")
    target = _port_of(bench, "bench-port")
    try:
        with _relay(bench, target) as relay, _forward(bench, target) as ours:
            return [
                _throughput("from the job", _give, ours, relay),
                _throughput("to the job", _take, ours, relay),
                _latency(ours, relay),
                _many(ours, relay),
            ]
    finally:
        bench.neuro("kill", "bench-port")


def _throughput(what: str, carry: Callable[[int], float], ours: int, relay: int) -> Line:
    pairs = [(carry(ours), carry(relay)) for _ in range(ROUNDS + 1)][1:]
    our, floor = (SIZE / 1e6 / median(times) for times in zip(*pairs, strict=True))
    ratio = median(floor / our for our, floor in pairs)
    return Line(f"{SIZE // 10**6} MB {what}", f"{our:.0f} MB/s", f"{floor:.0f} MB/s", ratio, ">= 0.5", ratio >= 0.5)


def _latency(ours: int, relay: int) -> Line:
    both = [(_trip(ours), _trip(relay)) for _ in range(3)]
    our, floor = (median(times) for times in zip(*both, strict=True))
    return Line(
        "a round trip of 64 bytes", f"{our * 1e3:.2f} ms", f"{floor * 1e3:.2f} ms",
        limit="<= + 1 ms", met=our - floor <= 0.001,
    )  # fmt: skip


def _many(ours: int, relay: int) -> Line:
    our, floor = _crowd(ours), _crowd(relay)
    return Line(
        f"{MANY} connections at once, 100 kB each way", f"{our * 1e3:.0f} ms", f"{floor * 1e3:.0f} ms", our / floor
    )


def _give(port: int) -> float:
    began = time.perf_counter()
    with _connect(port, b"give %d\n" % SIZE) as sock:
        left = SIZE
        while left > 0:
            left -= len(_some(sock, 1 << 18))
    return time.perf_counter() - began


def _take(port: int) -> float:
    block = bytes(1 << 18)
    began = time.perf_counter()
    with _connect(port, b"take %d\n" % SIZE) as sock:
        left = SIZE
        while left > 0:
            sock.sendall(memoryview(block)[:left])
            left -= len(block)
        _some(sock, 1)
    return time.perf_counter() - began


def _trip(port: int) -> float:
    """The median of many."""
    times = []
    with _connect(port, b"echo\n") as sock:
        for _ in range(TRIPS):
            began = time.perf_counter()
            sock.sendall(bytes(64))
            left = 64
            while left:
                left -= len(_some(sock, left))
            times.append(time.perf_counter() - began)
    return median(times)


def _crowd(port: int) -> float:
    """How long it takes until all of many connections, open at once, have got back what they sent."""
    data = bytes(100_000)
    began = time.perf_counter()
    socks = [_connect(port, b"echo\n") for _ in range(MANY)]

    def talk(sock: socket.socket) -> None:
        with sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            left = len(data)
            while left:
                left -= len(_some(sock, left))

    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(talk, socks))
    return time.perf_counter() - began


def _connect(port: int, line: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(line)
    return sock


def _some(sock: socket.socket, size: int) -> bytes:
    data = sock.recv(size)
    if not data:
        raise Failed("A forwarded connection ended too soon")
    return data


def _port_of(bench: Workbench, name: str) -> int:
    deadline = time.monotonic() + 60
    while not (text := bench.neuro("logs", "--no-follow", name)).strip():
        if time.monotonic() > deadline:
            raise Failed(f"{name} does not listen")
        time.sleep(0.1)
    return int(text)


@contextmanager
def _relay(bench: Workbench, target: int) -> Iterator[int]:
    with _printing_port(bench, [sys.executable, "-c", RELAY, str(target)]) as port:
        yield port


@contextmanager
def _forward(bench: Workbench, target: int) -> Iterator[int]:
    with _printing_port(bench, [NEURO, "port-forward", "--output", "name", "bench-port", f":{target}"]) as port:
        yield port


@contextmanager
def _printing_port(bench: Workbench, words: list[str]) -> Iterator[int]:
    """A process that prints the port it listens at, while the block runs."""
    with subprocess.Popen(words, env=bench.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()
