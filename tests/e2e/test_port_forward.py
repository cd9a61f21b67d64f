"""`neuro port-forward` while the server is killed (-9): whoever is connected notices nothing."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading

import psutil

from tests.e2e.place import NEURO, Place, until

KILLS = 4
CLIENTS = 4
SIZE = 20_000_000  # bytes each way

ECHO = """
import socket, threading
def serve(client):
    with client:
        while data := client.recv(65536):
            client.sendall(data)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class Talk(threading.Thread):
    """Sends noise and has it back, no faster than it is told to."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.data = random.Random(seed).randbytes(SIZE)
        self.got = bytearray()
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._go_on = threading.Semaphore(0)

    def allow(self) -> None:
        """Let another part of it through."""
        self._go_on.release()

    def run(self) -> None:
        sending = threading.Thread(target=self._send, daemon=True)
        sending.start()
        while data := self._sock.recv(65536):
            self.got += data
        sending.join()
        self._sock.close()

    def _send(self) -> None:
        part = SIZE // (KILLS + 1) + 1
        for start in range(0, SIZE, part):
            self._go_on.acquire()
            self._sock.sendall(self.data[start : start + part])
        self._sock.shutdown(socket.SHUT_WR)


def test_connections_outlive_kills_of_the_server(own: Place) -> None:
    own.ok("run", "--detach", "-n", "echo", "host", "--", sys.executable, "-c", ECHO)
    until(lambda: own.ok("logs", "--no-follow", "echo").strip().isdigit(), "the job to listen")
    port = own.ok("logs", "--no-follow", "echo").strip()
    forward = subprocess.Popen(
        [NEURO, "port-forward", "--output", "name", "echo", f":{port}"],
        env=own.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert forward.stdout is not None
    local = int(forward.stdout.readline())
    talks = [Talk(local, seed) for seed in range(CLIENTS)]
    for talk in talks:
        talk.start()

    for kill in range(KILLS):
        for talk in talks:
            talk.allow()
        until(lambda kill=kill: all(len(talk.got) > kill * SIZE / (KILLS + 2) for talk in talks), "bytes to come")
        server = own.json("platform", "status", "--json")["pid"]
        os.kill(server, signal.SIGKILL)
        until(lambda server=server: not psutil.pid_exists(server) or _is_zombie(server), "the server to be gone")
        own.ok("platform", "up")
    for talk in talks:
        talk.allow()
        talk.join(timeout=120)
    forward.send_signal(signal.SIGINT)
    _, said = forward.communicate(timeout=60)

    assert [bytes(talk.got) == talk.data for talk in talks] == [True] * CLIENTS
    assert forward.returncode == 130
    assert "was dropped" not in said
    assert said.count("was lost, trying again") <= KILLS, said


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
