"""Starting a program with nothing of ours about it: its own session, default signals, no descriptor but its three."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from neuro_platform.engines.supervisor import system

_HALF = 100  # characters


class Program(NamedTuple):
    """What to run, and in which surroundings."""

    argv: Sequence[str]
    env: Mapping[str, str]
    working_dir: str
    umask: int


class Child(NamedTuple):
    """A process that waits for :func:`release` before it becomes the program."""

    pid: int
    go: int
    refusal: int  # ends without a byte when the program was started, else with the sentence why not


def fork(program: Program, stdin: int, stdout: int, stderr: int, *, tty: bool = False) -> Child:
    """Make the process. A program that cannot be started says so on its own standard error and exits 127 or 126."""
    parent = os.getpid()
    with contextlib.ExitStack() as undo:
        go, go_there = pipe(undo)
        refusal, refusal_there = pipe(undo)
        pid = os.fork()
        undo.pop_all()
    if pid == 0:
        os.close(go_there)
        _become(program, (stdin, stdout, stderr), tty=tty, parent=parent, go=go, refusal=refusal_there)
    os.close(go)
    os.close(refusal_there)
    return Child(pid, go_there, refusal)


def pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """Make a pipe that is closed when what it is for comes to nothing: there may be no room for another process."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends


def duplicate(undo: contextlib.ExitStack, fd: int) -> int:
    """Another descriptor of the same thing, closed like those of :func:`pipe`."""
    other = os.dup(fd)
    undo.callback(os.close, other)
    return other


def release(child: Child) -> None:
    """Let the process become the program; whatever names it is on record by now."""
    os.write(child.go, b"!")
    os.close(child.go)


class Terminal:
    """A pseudo-terminal.

    We keep the program's side open as well: a program may let go of its terminal for a while, and when nobody has it
    the terminal is hung up.
    """

    def __init__(self, width: int, height: int) -> None:
        self.ours, self._theirs = os.openpty()
        self.resize(width, height)

    def streams(self) -> tuple[int, int, int]:
        """The program's side, three times, for :func:`fork`; the caller closes it."""
        fd = os.dup(self._theirs)
        return fd, fd, fd

    def resize(self, width: int, height: int) -> None:
        """Tell it its size; its programs get SIGWINCH."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def foreground(self) -> int:
        """The process group that has the terminal; 0 when nobody has."""
        try:
            return os.tcgetpgrp(self.ours)
        except OSError:
            return 0

    def close(self) -> None:
        """Let go of both sides."""
        os.close(self.ours)
        os.close(self._theirs)


class _Refused(Exception):
    """The program cannot be started."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def _become(
    program: Program, streams: tuple[int, int, int], *, tty: bool, parent: int, go: int, refusal: int
) -> NoReturn:
    code = 126
    try:
        os.setsid()
        if tty:
            fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        system.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(125)  # the parent ended before that took effect
        _default_signals()
        system.limit_files_again()
        os.umask(program.umask)
        if os.read(go, 1) != b"!":
            os._exit(125)
        _enter(program.working_dir)
        _execute(program.argv, program.env)
    except _Refused as exc:
        code = exc.code
        sentence = f"neuro: {exc}\n".encode(errors="surrogateescape")
        os.write(refusal, json.dumps(str(exc)).encode())
        os.write(2, sentence)
    except BaseException as exc:  # noqa: BLE001 - two processes must never run on in the supervisor's code
        os.write(refusal, json.dumps(f"The program could not be started: {exc!r}").encode())
    finally:
        os._exit(code)


def _default_signals() -> None:
    """What the supervisor, or the one who started it, ignores or catches is not the program's affair."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except FileNotFoundError:
        raise _Refused(126, f"There is no folder {_short(folder)} to start in") from None
    except NotADirectoryError:
        raise _Refused(126, f"{_short(folder)}, to start in, is not a folder") from None
    except (OSError, ValueError) as exc:
        raise _Refused(126, f"Cannot start in the folder {_short(folder)!r}: {_words(exc)}") from None


def _execute(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    if not argv or not argv[0]:
        raise _Refused(127, "There is no command to run")
    name = argv[0]
    path = env.get("PATH", os.defpath)
    places = [name] if "/" in name else [os.path.join(folder or ".", name) for folder in path.split(os.pathsep)]
    denied = ""
    for place in places:
        try:
            os.execve(place, list(argv), env)  # noqa: S606 - no shell, on purpose
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isfile(place):
                raise _Refused(
                    126, f"{_short(place)} wants an interpreter that is not there; see its first line"
                ) from None
        except PermissionError:
            if os.path.lexists(place):
                denied = denied or place
        except OSError as exc:
            if exc.errno == errno.ENOEXEC:
                raise _Refused(
                    126, f"{_short(place)} is no program: it has no #! line and is not made for this machine"
                ) from None
            raise _Refused(126, f"Cannot run {_short(place)}: {_words(exc)}") from None
        except ValueError as exc:  # a NUL byte, a variable without a name
            raise _Refused(126, f"Cannot run {_short(name)!r}: {exc}") from None
    if denied and os.path.isdir(denied):
        raise _Refused(126, f"{_short(denied)} is a folder, not a program")
    if denied:
        raise _Refused(126, f"{_short(denied)} is not executable; chmod +x may be missing")
    if "/" in name:
        raise _Refused(127, f"There is no program {_short(name)}")
    raise _Refused(127, f"{_short(name)}: command not found (looked in {_short(path)})")


def _short(text: str) -> str:
    """A name or path as a sentence can hold it: the middle of a long one says the least."""
    return text if len(text) <= 2 * _HALF + 1 else f"{text[:_HALF]}…{text[-_HALF:]}"


def _words(exc: OSError | ValueError) -> str:
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
