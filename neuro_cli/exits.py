"""Exit codes: the one table of what they mean, and which exception comes to which."""

from __future__ import annotations

from typing import Final, NamedTuple

import click


class Exit(NamedTuple):
    """A code that a command may exit with."""

    code: int
    meaning: str
    raised: tuple[str, ...] = ()  # names of exceptions, ours or built in, that come to it


# The first row with a class of the exception decides, nearest class first; see ``exit_code``.
TABLE: Final = (
    Exit(0, "Done. Of `run`, `attach` and `exec`: the program ended with 0, or you detached from it."),
    Exit(1, "Something else went wrong. Of `kill`: not all could be stopped; of `job wait`: a job ended otherwise."),
    Exit(2, "The command line is wrong: an unknown command or option, a value of the wrong form."),
    Exit(3, "Of `platform status`: the platform does not run."),
    Exit(65, "A value was refused: by the platform, or because nothing can be done with it here.",
         ("IllegalArgumentError",)),
    Exit(70, "The client or its settings are at fault: a configuration that cannot be read, a part that is missing.",
         ("NeuroError", "ConfigError", "ClientError", "RuntimeError", "NotImplementedError")),
    Exit(72, "No such job, cluster, file, user or token, or you may not see it.",
         ("ResourceNotFound", "FileNotFoundError")),
    Exit(74, "No connection, or it broke and could not be resumed; or input or output on this machine failed.",
         ("StreamLost", "OSError", "NDJSONError")),
    Exit(76, "What answers at the address is not a Neuro platform; or an image could not be made or moved.",
         ("NotAPlatform", "DockerError")),
    Exit(77, "Not logged in, not allowed, or a file that may not be read or written.",
         ("AuthError", "PermissionError")),
    Exit(124, "It took too long.", ("TimeoutError",)),
    Exit(125, "The platform failed: it cannot serve now, or the job ended without an exit code of its own.",
         ("ServerNotAvailable",)),
    Exit(126, "Of `run` and `exec`: the program is there but could not be started."),
    Exit(127, "Of `run` and `exec`: the program was not found. Of others: a value that makes no sense.",
         ("ValueError",)),
    Exit(130, "Interrupted, or the job was killed from the menu of Ctrl-C.", ("Abort", "KeyboardInterrupt")),
    Exit(141, "Whoever read the output went away (`neuro ps | head`). Nothing is said, but of a job that runs on.",
         ("BrokenPipeError",)),
)  # fmt: skip
SIGNALS: Final = ("128 + n", "Of `run`, `attach` and `exec`: the program was ended by signal n. Of others: neuro was.")

OK: Final = 0
FAILURE: Final = 1
REFUSED: Final = 65
NOT_ALLOWED: Final = 77
TIMED_OUT: Final = 124
PLATFORM_FAILED: Final = 125
INTERRUPTED: Final = 130

_OURS: Final = ("neuro_sdk.errors", "builtins", "click.exceptions")

_CODES: Final = {name: row.code for row in TABLE for name in row.raised}


class Refused(click.ClickException):
    """An option or a value that this version can do nothing with; better said than ignored."""

    exit_code = REFUSED


class NotLoggedIn(click.ClickException):
    """There is no login to work with."""

    exit_code = NOT_ALLOWED

    def __init__(self) -> None:
        super().__init__(
            "Not logged in. Log in to this machine with: neuro login --local; to a platform elsewhere: neuro login URL"
        )


def markdown() -> str:
    """The rows of the table for a page, or for a topic of the help."""
    rows = [*((row.code, row.meaning) for row in TABLE), SIGNALS]
    return "\n".join("| {} | {} |".format(code, meaning.replace("|", "\\|")) for code, meaning in rows)


def exit_code(exc: BaseException) -> int:
    """What a command that failed with this exits with: the code of the nearest class that the table names."""
    if isinstance(exc, click.ClickException):
        return exc.exit_code
    kinds = type(exc).__mro__
    for cls in kinds:
        if cls.__module__ in _OURS and cls.__name__ in _CODES:
            return _CODES[cls.__name__]
    if any(cls.__module__.startswith("aiohttp.") for cls in kinds):
        return _CODES["OSError"]  # what the SDK has no name for: the connection
    return FAILURE
