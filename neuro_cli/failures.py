"""What a command that failed says: one sentence on standard error, in the form that the user chose."""

from __future__ import annotations

import os
import sys

import click

from neuro_cli import exits
from neuro_cli.root import Root


def report(exc: BaseException, root: Root) -> int:
    """Say on standard error what went wrong, in the form that the user chose, and return the exit code."""
    code = exits.exit_code(exc)
    if isinstance(exc, BrokenPipeError):
        _leave_stdout()
        return code
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # a full disk: the interpreter would try once more as it ends, and exit with a code of its own
        _leave_stdout()
    if root.show_traceback:
        import traceback

        root.say_always("".join(traceback.format_exception(exc)).rstrip("\n"))
    sentence = message(exc, code)
    if root.output.is_json:
        import json

        kind = getattr(exc, "code", None)
        error = {"error": sentence, "code": kind if isinstance(kind, str) else type(exc).__name__, "exit_code": code}
        root.say_always(json.dumps(error, ensure_ascii=False))
        return code
    if code != exits.INTERRUPTED:
        root.say_always(f"neuro: {sentence}")
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        root.say_always(f"{exc.ctx.get_usage()}\nTry '{exc.ctx.command_path} --help' for help.")
    return code


def message(exc: BaseException, code: int) -> str:
    """The sentence for the user: what happened, with which value, what to do."""
    if isinstance(exc, click.exceptions.Abort):
        return "Interrupted"
    if isinstance(exc, click.ClickException):
        return exc.format_message()
    text = str(exc)
    if isinstance(exc, TimeoutError):
        return text or "No answer in time; --network-timeout SECONDS waits longer"
    if code in (exits.FAILURE, 127) or type(exc) is RuntimeError:
        return f"Unexpected {type(exc).__name__}: {text or 'no message'} (neuro --show-traceback says where)"
    if isinstance(exc, OSError) and exc.strerror and type(exc).__str__ is OSError.__str__:
        return f"{exc.strerror}: {exc.filename}" if exc.filename is not None else exc.strerror
    return text or type(exc).__name__


def _leave_stdout() -> None:
    """Have nothing more written to what takes no more, not even by the interpreter as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    if sys.stdout is not None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
