"""``python -m neuro_platform VERB``, which ``neuro platform VERB`` runs: start, stop and look after the platform."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn

from neuro_platform.daemon import Folder, Running, data_folder, down, running, taken_lock, up
from neuro_platform.exits import INTERRUPTED, NOBODY_READS, NOT_INSTALLED, NOT_RUNNING, OK, USAGE, Unusable, exit_code
from neuro_sdk.errors import NeuroError, PlatformError

_INSIST: Final = 0.5  # seconds until a lock that is held is believed to be a server's

_NEEDED = ("sqlalchemy", "aiosqlite", "alembic", "jwt", "argon2", "psutil")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; errors are one line on standard error."""
    words = sys.argv[1:] if argv is None else argv
    try:
        options = _parser().parse_args(words)
    except _Usage as exc:
        _complain(str(exc), "UsageError", USAGE, as_json="--json" in words, more=exc.usage)
        return USAGE
    as_json = getattr(options, "json", False) and not options.sentences
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sentence = f"The platform needs {', '.join(missing)}: pip install 'neuro-compute[platform]'"
        _complain(sentence, PlatformError.code, NOT_INSTALLED, as_json=as_json)
        return NOT_INSTALLED
    verb: Callable[[argparse.Namespace, Folder], int] = options.verb
    try:
        code = verb(options, Folder(Path(options.data).expanduser().absolute() if options.data else data_folder()))
        sys.stdout.flush()  # what cannot be written is known only now
    except BrokenPipeError:
        _leave_stdout()
        return NOBODY_READS
    except (NeuroError, OSError) as exc:
        sentence = str(exc)
        if isinstance(exc, OSError):
            _leave_stdout()
            sentence = ": ".join(map(str, filter(None, (exc.strerror, exc.filename)))) or sentence
        code = exit_code(exc)
        _complain(sentence, getattr(exc, "code", type(exc).__name__), code, as_json=as_json)
    except (KeyboardInterrupt, EOFError):  # the latter for Ctrl-D where a password is asked for
        return INTERRUPTED
    return code


def _up(options: argparse.Namespace, folder: Folder) -> int:
    if options.foreground:
        return _serve(options, folder)
    arguments = []
    if options.host is not None:
        arguments += ["--host", options.host]
    if options.port is not None:
        arguments += ["--port", str(options.port)]
    found = up(folder, arguments, _say)
    if options.json:
        _show(_document(folder, found))
    else:
        print(f"The platform runs at {found.url} (process {found.pid}, data in {folder.path})")  # noqa: T201
    return OK


def _serve(options: argparse.Namespace, folder: Folder) -> int:
    folder.prepare()
    if options.lock_fd is not None:
        os.set_inheritable(options.lock_fd, False)  # the platform's own, not its children's
        os.set_inheritable(options.ready_fd, False)
        return _run(options, folder)
    with taken_lock(folder, insist=_INSIST) as lock:
        if lock is None:
            found = running(folder)
            where = f" at {found.url} (process {found.pid})" if found else ""
            raise PlatformError(f"A platform runs already on {folder.path}{where}: 'neuro platform down' stops it")
        return _run(options, folder)


def _run(options: argparse.Namespace, folder: Folder) -> int:
    from neuro_platform.server import run

    return run(folder, host=options.host, port=options.port, ready=options.ready_fd)


def _down(_options: argparse.Namespace, folder: Folder) -> int:
    was = down(folder)
    _say("The platform is stopped; its jobs run on" if was else "The platform was not running")
    return OK


def _status(options: argparse.Namespace, folder: Folder) -> int:
    found = running(folder)
    if options.json:
        _show(_document(folder, found))
    elif found is not None:
        print(f"running at {found.url} (process {found.pid}, version {found.version}, data in {folder.path})")  # noqa: T201
    else:
        print(f"not running (data in {folder.path}); 'neuro platform up' starts it")  # noqa: T201
    return OK if found else NOT_RUNNING


def _logs(options: argparse.Namespace, folder: Folder) -> int:
    try:
        file = folder.log.open("rb")
    except FileNotFoundError:
        raise PlatformError(f"There is no log yet: the platform has never run on {folder.path}") from None
    except OSError as exc:
        raise Unusable(f"Cannot read {folder.log}: {exc.strerror}") from exc
    out = sys.stdout.buffer
    with ExitStack() as opened:
        opened.enter_context(file)
        while True:
            while data := file.read(1 << 16):
                out.write(data)
            out.flush()
            if not options.follow:
                return OK
            time.sleep(0.2)
            with suppress(FileNotFoundError):  # for a moment, when the old one was full
                if folder.log.stat().st_ino != os.fstat(file.fileno()).st_ino:
                    following = folder.log.open("rb")
                    out.write(file.read())
                    opened.close()
                    file = opened.enter_context(following)


def _admin(name: str) -> Callable[[argparse.Namespace, Folder], int]:
    def verb(options: argparse.Namespace, folder: Folder) -> int:
        from neuro_platform import admin

        folder.prepare()
        do: Callable[[argparse.Namespace, Folder], int] = getattr(admin, name)
        return do(options, folder)

    return verb


def _document(folder: Folder, found: Running | None) -> dict[str, Any]:
    document: dict[str, Any] = {"running": found is not None, "data": str(folder.path)}
    if found is not None:
        document |= {**asdict(found), "local_key": str(folder.local_key)}
    return document


def _show(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def _complain(sentence: str, kind: str, code: int, *, as_json: bool, more: str = "") -> None:
    """What went wrong, in the form that the other commands of neuro give it."""
    if as_json:
        _say(json.dumps({"error": sentence, "code": kind, "exit_code": code}, ensure_ascii=False))
    else:
        _say(f"neuro: {sentence}{more}")


def _leave_stdout() -> None:
    """Have nothing more written there, not even by the interpreter as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Usage(Exception):
    """The command line is wrong."""

    def __init__(self, sentence: str, usage: str) -> None:
        super().__init__(sentence)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as the other commands of neuro do."""

    def error(self, message: str) -> NoReturn:
        usage = self.format_usage().strip().removeprefix("usage: ")
        raise _Usage(_sentence(message), f"\nUsage: {usage}\nTry '{self.prog} --help' for help.")


_SENTENCES: Final = (
    (r"argument VERB: invalid choice: ('[^']*').*", r"No such command \1."),
    (r"argument (--?\w[\w-]*/)?(--?\w[\w-]*): expected one argument",
     r"Option '\2' wants a value; one that begins with a hyphen is written \2=VALUE."),
    (r"argument (--?\w[\w-]*/)?(--?\w[\w-]*): (.*)", r"Invalid value for '\2': \3"),
    (r"the following arguments are required: (.*)", r"Missing argument: \1."),
    (r"unrecognized arguments: (.*)", r"Unexpected argument: \1."),
)  # fmt: skip


def _sentence(message: str) -> str:
    """What argparse says, in our words where we have any."""
    for pattern, ours in _SENTENCES:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return found.expand(ours)
    return message[:1].upper() + message[1:]


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535.")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", metavar="FOLDER", help="the data folder; default $NEURO_PLATFORM_DATA or the user's")
    # for who reads the document but leaves it to us to tell the user about errors
    shared.add_argument("--sentences", action="store_true", help=argparse.SUPPRESS)
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print one JSON document")

    parser = _Parser(prog="neuro platform", description="Run the embedded platform of this machine.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add(
        within: Any, name: str, verb: Callable[[argparse.Namespace, Folder], int], words: str, *parents: Any
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = within.add_parser(
            name, parents=[shared, *parents], help=words, description=words[0].upper() + words[1:] + "."
        )
        made.set_defaults(verb=verb)
        return made

    one = add(verbs, "up", _up, "start the platform unless it runs; return when it answers", as_json)
    one.add_argument("--host", help="the address to listen on (default 127.0.0.1)")
    one.add_argument("--port", type=_port, help="the port (default 8080; a free one on the first start when taken)")
    one.add_argument("--foreground", action="store_true", help="serve in this process, for systemd and containers")
    one.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    one.add_argument("--lock-fd", type=int, help=argparse.SUPPRESS)
    add(verbs, "down", _down, "stop the platform; jobs run on")
    add(verbs, "status", _status, "say whether the platform runs, and where; exits 3 when it does not", as_json)
    one = add(verbs, "logs", _logs, "print what the platform has logged")
    one.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")

    users = verbs.add_parser("user", help="who may log in").add_subparsers(required=True, metavar="VERB")
    add(users, "ls", _admin("list_users"), "list the users", as_json)
    for name, words in (
        ("add", "add a user; the password is asked for, or read from standard input"),
        ("passwd", "change a password; it is asked for, or read from standard input"),
        ("rm", "remove a user and all credentials of theirs, and stop their jobs"),
    ):
        one = add(users, name, _admin(f"{name}_user"), words)
        one.add_argument("name", metavar="USER")

    tokens = verbs.add_parser("token", help="personal tokens, for scripts and CI").add_subparsers(
        required=True, metavar="VERB"
    )
    one = add(tokens, "create", _admin("create_token"), "make a token and print it; it is shown only now", as_json)
    one.add_argument("user", metavar="USER")
    one.add_argument("name", metavar="NAME", help="what it is for")
    one.add_argument("--expires", default="365d", metavar="TIME", help="how long it is good, as in 12h or 90d (365d)")
    one = add(tokens, "ls", _admin("list_tokens"), "list the tokens", as_json)
    one.add_argument("user", metavar="USER", nargs="?", help="only this user's")
    one = add(tokens, "revoke", _admin("revoke_token"), "end a token at once")
    one.add_argument("id", metavar="ID")
    return parser


if __name__ == "__main__":
    sys.exit(main())
