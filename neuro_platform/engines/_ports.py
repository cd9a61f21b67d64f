"""Where a task of this machine can be reached over TCP: by the listening sockets that its processes hold."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from neuro_platform.engines.supervisor import system
from neuro_sdk.errors import ResourceNotFound

_LISTENING = "0A"
_NAMED = 5  # other ports to name in a refusal

# of netlink(7) and sock_diag(7)
_SOCK_DIAG = 4
_BY_FAMILY, _DUMP = 20, 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # size, kind, flags, number, sender
_MESSAGE = struct.Struct("!4xH2x16s44x4s")  # port, address, and in the machine's own order the inode
_ANSWER = 64 * 1024
_PATIENCE = 5.0  # seconds; the kernel answers at once


class Listener(NamedTuple):
    """A listening socket; two of the same ``name`` are the same socket."""

    host: str
    port: int
    name: str


# Ways to connect: who gets the connection is the first of these hosts at which anybody listens. `::` takes IPv4 too,
# most often but not always; it is asked that way where the machine has no `::1`.
_IPV4, _IPV6 = ("127.0.0.1", "0.0.0.0"), ("::1", "::")  # noqa: S104 - not a bind
_WAYS = (_IPV4, _IPV6, (*_IPV4, "::"))


class Ports:
    """Finds the ports of tasks; remembers which process held a socket, and looks whether it still does."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[str, str]] = {}  # task -> socket -> the process's link to it

    def reach(self, task: str, supervisor: int, port: int) -> str:
        """The host at which a process below the supervisor, and nobody else, listens on the port.

        A wildcard can be connected to as well: that goes to this machine. ResourceNotFound when there is none.
        Nothing is believed for longer than the call.
        """
        held: Callable[[Collection[Listener]], list[Listener]] = list
        if system.LINUX:
            every, held = listeners(), functools.partial(self._held, task, supervisor)
        else:
            every = held_by_tree(supervisor)  # what others hold, the system does not tell
        here = [listener for listener in every if listener.port == port]
        if address := _address(here, held(here)):
            return address
        raise ResourceNotFound(_sentence(port, here, held(every)))

    def forget(self, task: str) -> None:
        """Drop what is remembered of a task."""
        self._holders.pop(task, None)

    def _held(self, task: str, supervisor: int, found: Collection[Listener]) -> list[Listener]:
        """Those of the sockets that a process below the supervisor holds."""
        wanted = {listener.name for listener in found}
        known = self._holders.get(task, {})
        held = {name for name in wanted if name in known and _link(known[name]) == name}
        if held != wanted:
            fresh = {name: link for link, name in _links(system.descendants(supervisor)) if name in wanted}
            self._holders[task] = known = {**{name: known[name] for name in held}, **fresh}
            held |= fresh.keys()
        return [listener for listener in found if listener.name in held]


def listeners() -> list[Listener]:
    """All listening TCP sockets of this machine, as Linux has them."""
    try:
        return told_by_kernel()
    except OSError:  # some sandboxes have no such sockets
        return listed_by_kernel()


def told_by_kernel() -> list[Listener]:
    """The same by asking for these alone (sock_diag(7)): connections, which may be very many, cost nothing."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asking:
            asking.settimeout(_PATIENCE)
            asking.connect((0, 0))
            asked = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << int(_LISTENING, 16))
            asking.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _DUMP, 1, 0) + asked)
            found += [
                Listener(_plain(socket.inet_ntop(family, host[: 4 if family == socket.AF_INET else 16])), port, name)
                for host, port, name in _answers(asking)
            ]
    return found


def listed_by_kernel() -> list[Listener]:
    """The same by reading files in which the kernel lists all sockets."""
    found = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), Path(path).open() as file:
            next(file)
            for line in file:
                fields = line.split()
                if fields[3] != _LISTENING:
                    break  # those that listen come first
                host, _, port = fields[1].partition(":")
                found.append(Listener(_host(host), int(port, 16), f"socket:[{fields[9]}]"))
    return found


def held_by_tree(supervisor: int) -> list[Listener]:
    """The listening TCP sockets of the processes below one, where there is no ``/proc``."""
    import psutil  # on Linux we do without, and look at what we need alone

    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(supervisor).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                held = [it for it in process.net_connections("tcp") if it.status == psutil.CONN_LISTEN]
                found += [Listener(_plain(it.laddr.ip), it.laddr.port, f"{process.pid}:{it.fd}") for it in held]
    return found


def _answers(asking: socket.socket) -> Iterator[tuple[bytes, int, str]]:
    """Address, port and name of each socket that the kernel tells of, to the end of its answer."""
    while True:
        data = asking.recv(_ANSWER)
        while data:
            size, kind, *_ = _HEADER.unpack_from(data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError("The kernel does not tell of its sockets")
            port, host, inode = _MESSAGE.unpack_from(data, _HEADER.size)
            yield host, port, f"socket:[{struct.unpack('=I', inode)[0]}]"
            data = data[(size + 3) & ~3 :]


def _address(here: Collection[Listener], ours: Collection[Listener]) -> str | None:
    for way in _WAYS:
        host, taking = next(
            ((host, who) for host in way if (who := [one for one in here if one.host == host])), ("", [])
        )
        # several may share a port (SO_REUSEPORT), and the system deals connections out among them
        if taking and all(one in ours for one in taking) and (way is not _IPV6 or _has_ipv6()):
            return "0.0.0.0" if host == "::" and way is not _IPV6 else host  # noqa: S104 - not a bind
    return None


def _sentence(port: int, here: Collection[Listener], ours: Collection[Listener]) -> str:
    own = [listener for listener in ours if listener.port == port]
    if any(one not in ours for one in here) and own:
        return f"Port {port} of the job cannot be told from that of another program that listens there too"
    if own:
        hosts = " and ".join(sorted({listener.host for listener in own}))
        return f"The job listens on port {port} only at {hosts}: it must listen at 127.0.0.1 or 0.0.0.0"
    others = sorted({listener.port for listener in ours})
    more = ", ..." if len(others) > _NAMED else ""
    known = f"; it listens on {', '.join(map(str, others[:_NAMED]))}{more}" if others else ""
    return f"Nothing of the job listens on port {port}{known}"


def _links(pids: Iterable[int]) -> Iterable[tuple[str, str]]:
    """The links to open files of processes, and what they point to."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                yield str(link), _link(str(link))


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - it names no file
    except OSError:  # closed, ended, or not ours to see
        return ""


def _host(text: str) -> str:
    """An address as the kernel shows it: words of four bytes, each a number in the machine's own order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    return _plain(str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))))


def _plain(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@functools.cache
def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
