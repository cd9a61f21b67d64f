"""Click types: the words of a command line to checked values, so that a mistake is reported with its option."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import click

if TYPE_CHECKING:
    import yarl
    from click.shell_completion import CompletionItem

    from neuro_cli.forwards import Ports

    _ParamType = click.ParamType[Any]  # generic from click 8.4 on
else:
    _ParamType = click.ParamType

_DURATION: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_MEMORY: Final = re.compile(r"(\d{1,18})(?:([Kk])|(k[Bb])|([MGTPEZY])([bB]?))", re.ASCII)
_PORTS: Final = re.compile(r"(\d{0,9}):(\d{1,9})", re.ASCII)
_LAST_PORT: Final = 65535
_ABSURD: Final = 2**63  # bytes


class _Text(_ParamType):
    """Text with a rule; ``words`` are what the shell completes, besides what the user types."""

    words: tuple[str, ...] = ()

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


class Given(_Text):
    """Text that is not empty: mostly that is a shell variable without a value, and as a filter it would let all in."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip():
            self.fail("it is empty: is a variable of the shell not set?", param, ctx)
        return text


class Fields(_Text):
    """Columns, or what to sort by: fields with commas between. The shell completes those of ``command``."""

    name = "text"

    def __init__(self, command: Literal["ps", "top"]) -> None:
        self._command = command

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from neuro_cli.render.jobs import IDS
        from neuro_cli.render.top import TOP_IDS

        before, comma, begun = incomplete.rpartition(",")
        sign = "-" if begun.startswith("-") else ""
        fields = IDS if self._command == "ps" else TOP_IDS
        return [CompletionItem(f"{before}{comma}{sign}{f}") for f in fields if f.startswith(begun.removeprefix("-"))]


class Job(_Text):
    """A job's id, its name, or a ``job:`` URI; the platform says whether it exists."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text or text != text.strip() or text.startswith("-"):
            self.fail(f"{text!r} is not a job's id, name or job: URI", param, ctx)
        return text


class Uri(_Text):
    """A URI with its scheme; the rest may be short, the SDK completes it."""

    name = "uri"
    words = ("job:", "role://")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.isprintable() or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) is None:
            self.fail(f"{text!r} is not a URI such as job:NAME or role://USER/ROLE", param, ctx)
        return text


class Image(_Text):
    """An image to run; ``host`` is no container at all."""

    name = "image"
    words = ("host",)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text or any(char.isspace() for char in text):
            self.fail(f"{text!r} is not an image", param, ctx)
        return text


class JobName(_Text):
    """A name for a new job."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from neuro_sdk import JOB_NAME, IllegalArgumentError

        try:
            return JOB_NAME.check(str(value))
        except IllegalArgumentError as exc:
            self.fail(str(exc), param, ctx)


class Env(_Text):
    """``NAME=VALUE``, or ``NAME`` alone for the local value."""

    name = "var=val"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from neuro_sdk import ENV_NAME

        text = str(value)
        name, _, rest = text.partition("=")
        if not ENV_NAME.fullmatch(name) or "\0" in rest:
            self.fail(f"{text!r} is neither NAME=VALUE nor NAME", param, ctx)
        return text


class Duration(_Text):
    """``1d2h3m4s`` with any part missing, as seconds; ``0`` is none."""

    name = "timedelta"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        seconds = parse_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a time such as 1d2h3m4s, 90m or 0", param, ctx)
        return seconds


class Memory(_Text):
    """``512M``, ``4G`` (powers of 1024), ``4GB`` (powers of 1000), as MiB; what does not divide is rounded up."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        size = parse_memory(str(value))
        if size is None:
            self.fail(
                f"{value!r} is not an amount such as 512M or 4G (powers of 1024), 512MB or 4GB (powers of 1000); units"
                " are K M G T P E Z Y and kB MB GB TB PB EB ZB YB",
                param,
                ctx,
            )
        if not 0 < size < _ABSURD:
            self.fail(f"{value!r} is no amount of memory that a program could be given", param, ctx)
        return (size + 2**20 - 1) >> 20


class Cpus(_Text):
    """A number of CPUs, fractions allowed."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            cpus = float(value)
        except ValueError:
            cpus = 0.0
        if not 0 < cpus < float("inf"):
            self.fail(f"{value!r} is not a number of CPUs such as 2 or 0.5", param, ctx)
        return cpus


class PortPair(_Text):
    """``LOCAL:REMOTE``; ``:REMOTE`` or ``0:REMOTE`` for a local port that is free."""

    name = "local:remote"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ports:
        from neuro_cli.forwards import Ports

        if isinstance(value, Ports):
            return value
        match = _PORTS.fullmatch(str(value))
        if match is None:
            self.fail(
                f"{value!r} is not LOCAL:REMOTE, such as 8080:80, or :80 for a local port that is free", param, ctx
            )
        ports = Ports(int(match[1] or 0), int(match[2]))
        if max(ports) > _LAST_PORT or not ports.remote:
            self.fail(f"{value!r} has a number that is no port: they go from 1 to {_LAST_PORT}", param, ctx)
        return ports


class Moment(_Text):
    """An ISO 8601 date or time, or an age such as ``1d2h``; without a zone it is local time.

    An age stays one, for the platform to count it back by its own clock.
    """

    name = "date_or_timedelta"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | timedelta:
        if isinstance(value, datetime | timedelta):
            return value
        age = parse_duration(str(value))
        try:
            if age is not None:
                datetime.now().astimezone() - timedelta(seconds=age)  # which there may not be
                return timedelta(seconds=age)
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a date such as 2026-01-31 nor an age such as 1d2h", param, ctx)


class Count(_Text):
    """A whole number, 0 or more."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            self.fail(f"{text!r} is not a whole number, 0 or more", param, ctx)
        return int(text)


class Seconds(_Text):
    """A number of seconds, more than none; ``or_never`` lets 0 stand for no limit."""

    name = "seconds"

    def __init__(self, *, or_never: bool = False) -> None:
        self._or_never = or_never

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not (0 < seconds < 1e9 or (self._or_never and seconds == 0)):
            self.fail(f"{value!r} is not a number of seconds above 0" + ", or 0" * self._or_never, param, ctx)
        return seconds


class PlatformUrl(_Text):
    """The address of a platform's API."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> yarl.URL:
        import yarl

        try:
            url = yarl.URL(str(value))
            host, _ = url.host, url.port
        except ValueError:
            host = None
        if not host or url.scheme not in ("http", "https"):
            self.fail(f"{str(value)!r} is not an address such as http://127.0.0.1:8080/api/v1", param, ctx)
        return url


GIVEN = Given()
JOB = Job()
URI = Uri()
IMAGE = Image()
JOB_NAME = JobName()
ENV = Env()
DURATION = Duration()
MEMORY = Memory()
CPUS = Cpus()
PORTS = PortPair()
MOMENT = Moment()
COUNT = Count()
SECONDS = Seconds()
SECONDS_OR_NEVER = Seconds(or_never=True)
URL = PlatformUrl()


def parse_duration(text: str) -> float | None:
    """Seconds of ``1d2h3m4s`` or ``0``; ``None`` when it is no such text."""
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def parse_memory(text: str) -> int | None:
    """Bytes of ``16K``, ``16kB``, ``4G``, ``4GB``; ``None`` when it is no such text, as without a unit."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        return None
    number, kibi, kilo, unit, byte = match.groups()
    if kibi or kilo:
        return int(number) * (1024 if kibi else 1000)
    size: int = int(number) * (1000 if byte else 1024) ** ("MGTPEZY".index(unit) + 2)
    return size


def command_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a command without the ``--`` that may stand before it."""
    return words[1:] if words[:1] == ("--",) else words


def command_of(words: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """A command as the SDK takes it: one word alone is a line that a shell would split, several are the words."""
    import shlex

    if len(words) != 1:
        return words or None
    try:
        shlex.split(words[0])
    except ValueError as exc:
        raise click.UsageError(f"The command {words[0]!r} cannot be split into words: {exc}") from exc
    return words[0]
