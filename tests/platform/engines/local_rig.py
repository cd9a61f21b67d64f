"""The local engine for tests: real processes that do what a test wants, and nothing left of them afterwards."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuro_platform.engines._sockets import ask
from neuro_platform.engines._watch import alive
from neuro_platform.engines.base import Command, Handle, Task
from neuro_platform.engines.local import LocalEngine
from neuro_sdk.errors import NeuroError
from tests.platform.engines.contract import RESET, Does, Rig, read_log, until

_PROGRAM = """
$STUBBORN
cat "$OUTPUT"
cat "$ERRORS" >&2
$ECHO
$HOLD
$BUSY
exit $CODE
"""


_GREETER = """
import socket, sys
greeting, *hosts = sys.argv[1:]
port, servers = 0, []
for host in hosts:
    server = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    port = server.getsockname()[1]
    servers.append(server)
print(port, flush=True)
while True:
    client, _ = servers[-1].accept()
    client.sendall(greeting.encode())
    client.close()
"""

_ANSWERER = """
import socket, struct, sys, threading
def answer(client):
    with client:
        while data := client.recv(65536):
            if data == sys.argv[1].encode():
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            client.sendall(data)
        client.sendall(b"bye")
server = socket.create_server(("127.0.0.1", 0), backlog=1000)
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


class LocalRig(Rig):
    """An engine, its tasks, and their end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine: LocalEngine = LocalEngine(runtime_dir=folder / "run")
        self._numbers = itertools.count()

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        stdin: bool = False,
        tty: bool = False,
        gpus: Sequence[int] = (),
    ) -> Task:
        """A task that runs this command."""
        number = next(self._numbers)
        folder = self.folder / "jobs" / str(number)
        folder.mkdir(parents=True)
        return Task(
            id=f"job-{number}",
            argv=argv,
            env=env or {},
            folder=folder,
            working_dir=working_dir,
            stdin=stdin,
            tty=tty,
            gpus=gpus,
        )

    def task(self, does: Does, *, stdin: bool = False, tty: bool = False) -> Task:
        return self.run(*self._argv(does), stdin=stdin, tty=tty)

    def command(self, does: Does, *, tty: bool = False) -> Command:
        return Command(id=f"exec-{next(self._numbers)}", argv=self._argv(does), tty=tty)

    def impossible(self, code: int) -> Task:
        return self.run("no-such-program" if code == 127 else "/etc/passwd")

    async def listening(self, greeting: bytes, *hosts: str) -> tuple[Handle, int]:
        command = [sys.executable, "-c", _GREETER, greeting.decode(), *(hosts or ["127.0.0.1"])]
        handle = await self.engine.start(self.run(*command))
        await until(lambda: read_log(handle).endswith(b"\n"))
        return handle, int(read_log(handle))

    async def answering(self) -> tuple[Handle, int]:
        handle = await self.engine.start(self.run(sys.executable, "-c", _ANSWERER, RESET.decode()))
        await until(lambda: read_log(handle).endswith(b"\n"))
        return handle, int(read_log(handle))

    async def lose(self, handle: Handle) -> None:
        supervisor = self.started(handle)["supervisor"]
        os.kill(supervisor, signal.SIGKILL)
        await until(lambda: not alive(Path(handle["folder"])))

    async def reopen(self) -> None:
        await self.engine.close()
        self.engine = LocalEngine(runtime_dir=self.folder / "elsewhere")
        await self.engine.open()

    def started(self, handle: Handle) -> dict[str, int]:
        """What the supervisor wrote down at the start."""
        record: dict[str, int] = json.loads(Path(handle["folder"], "started").read_bytes())
        return record

    def complaints(self) -> str:
        """Tracebacks that supervisors left."""
        return "".join(path.read_text() for path in self.folder.glob("jobs/*/supervisor.err"))

    async def clean(self) -> None:
        """End whatever a test left running."""
        await self.engine.close()
        for folder in self.folder.glob("jobs/*"):
            if alive(folder) and (folder / "started").exists():
                await _end(folder, json.loads((folder / "started").read_bytes()))

    def _argv(self, does: Does) -> list[str]:
        number = next(self._numbers)
        output, errors = self.folder / f"{number}.out", self.folder / f"{number}.err"
        output.write_bytes(does.output)
        errors.write_bytes(does.stderr)
        words = {
            "STUBBORN": "trap '' TERM" if does.stubborn else "",
            "OUTPUT": str(output),
            "ERRORS": str(errors),
            "ECHO": "cat" if does.echo else "",
            "HOLD": "while :; do sleep 0.05; done" if does.hold else "",
            "BUSY": "while :; do :; done" if does.busy else "",
            "CODE": str(does.exit_code),
        }
        program = _PROGRAM
        for name, word in words.items():
            program = program.replace(f"${name}", word)
        return ["sh", "-c", program]


async def _end(folder: Path, started: Mapping[str, Any]) -> None:
    # asked first: what is below a supervisor that is killed lives on
    with contextlib.suppress(OSError, NeuroError):
        await ask(started["socket"], {"op": "stop", "grace": 0})
        await until(lambda: (folder / "exit").exists() or not alive(folder))
    with contextlib.suppress(ProcessLookupError):
        os.kill(started["supervisor"], signal.SIGKILL)
    await until(lambda: not alive(folder))


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be buried has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
