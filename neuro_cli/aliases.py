"""Commands that users make for themselves: ``[alias.NAME]`` in ``user.toml`` and ``.neuro.toml``.

An internal alias (``cmd``) is a command of ours with some of its words given. An external one (``exec``) runs a
program, never through a shell: what the user types becomes words of the program's command line, whatever is in it. The
rules are in `neuro_cli/topics/aliases.md`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from neuro_cli import registry
from neuro_cli.root import Root

RUNNING: Final = "NEURO_ALIASES"  # in the environment: the external aliases that run, so that none runs itself

Load = Callable[[str], click.Command | None]  # a command of ours by its path, as "job run"

_KEYS: Final = frozenset({"cmd", "exec", "args", "options", "help"})
_ARGUMENT: Final = re.compile(r"(\[)?([A-Za-z][A-Za-z0-9_-]*)(\.\.\.)?(?(1)\])(\.\.\.)?")
_OPTION: Final = re.compile(r"(-[A-Za-z]|--[A-Za-z][A-Za-z0-9-]*)(?:[= ]([^\s,=]+))?")
_PLACE: Final = re.compile(r"\{\{([A-Za-z][\w-]*)\}\}|\{([A-Za-z][\w-]*)\}")


class Alias(NamedTuple):
    """An alias as the user wrote it, its parts checked."""

    name: str
    runs: str
    is_external: bool
    arguments: Sequence[click.Argument] = ()
    options: Sequence[click.Option] = ()
    help: str = ""

    @property
    def summary(self) -> str:
        """One line for lists."""
        return self.help.strip().partition("\n")[0] or f"{'Run' if self.is_external else 'Short for'}: {self.runs}"


def of_context(ctx: click.Context) -> dict[str, Alias]:
    """The aliases that can be used, by name; nothing when they cannot be read, which is then said once."""
    from neuro_sdk import ConfigError

    root = ctx.find_root().obj
    if not isinstance(root, Root):  # nobody is there to have aliases: pages are being written
        return {}
    found: dict[str, Alias] = {}
    try:
        tables = read(root, ctx)
    except ConfigError as exc:
        _say_once(ctx, str(exc))
        return {}
    for name, table in tables.items():
        try:
            found[name] = parse(name, table)
        except ConfigError as exc:
            _say_once(ctx, str(exc))
    return {name: alias for name, alias in found.items() if not is_hidden(name)}


def find(ctx: click.Context, name: str, load: Load) -> click.Command | None:
    """The command that the user made under a name; ConfigError when there is one that cannot be understood."""
    root = ctx.find_root().obj
    if not isinstance(root, Root):
        return None
    from neuro_sdk import ConfigError

    try:
        table = read(root, ctx).get(name)
        return None if table is None else _command_of(parse(name, table), load)
    except ConfigError:
        if ctx.resilient_parsing:  # a shell asks, and nobody would see what is wrong
            return None
        raise


def read(root: Root, ctx: click.Context) -> dict[str, Mapping[str, Any]]:
    """The tables of all aliases, as they are written."""
    from neuro_sdk import read_user_config

    tables: dict[str, Mapping[str, Any]] = read_user_config(_folder(root, ctx)).get("alias", {})
    return tables


def is_hidden(name: str) -> bool:
    """Whether a command of ours has the name; then the alias is not used."""
    return name in registry.TREE


def warn_of_hidden(ctx: click.Context, name: str) -> None:
    """Say so when the user has an alias of the name of this command. Mostly there is no file, or no alias in it."""
    root = ctx.find_root().obj
    if not isinstance(root, Root) or ctx.resilient_parsing:
        return
    from neuro_sdk import ConfigError, user_config_files

    files = user_config_files(_folder(root, ctx))
    try:
        if any(f"alias.{name}".encode() in file.read_bytes() for file in files) and name in read(root, ctx):
            _say_once(ctx, f"the alias {name!r} of yours is not used: neuro has a command of that name")
    except (OSError, ConfigError):
        return  # said where the files matter


def parse(name: str, table: Mapping[str, Any]) -> Alias:
    """Read one table; ConfigError naming the alias and what is wrong with it."""
    from neuro_sdk import ConfigError

    def wrong(what: str) -> ConfigError:
        return ConfigError(f"The alias {name!r} cannot be used: {what} (neuro help aliases)")

    if unknown := sorted(set(table) - _KEYS):
        raise wrong(f"there is no key {unknown[0]!r}, only {', '.join(sorted(_KEYS))}")
    for key in ("cmd", "exec", "args", "help"):
        if not isinstance(table.get(key, ""), str):
            raise wrong(f"{key} has to be text")
    lines = table.get("options", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise wrong("options has to be a list of texts")
    if ("cmd" in table) == ("exec" in table):
        raise wrong("it needs either cmd, a command of neuro, or exec, a program")
    runs: str = table.get("cmd", table.get("exec"))
    try:
        words = shlex.split(runs)
    except ValueError as exc:
        raise wrong(f"{runs!r} cannot be split into words: {exc}") from exc
    if not words or "\0" in runs:
        raise wrong(f"{'exec' if 'exec' in table else 'cmd'} names nothing to run")
    if "cmd" in table and ("args" in table or "options" in table):
        raise wrong("args and options go with exec; with cmd they are those of the command")
    if "cmd" in table:
        _path_of(words, wrong)
    try:
        arguments, options = list(_arguments(table.get("args", ""))), [_option(line) for line in lines]
    except ValueError as exc:
        raise wrong(str(exc)) from exc
    alias = Alias(name, runs, "exec" in table, arguments, options, table.get("help", ""))
    if problem := _problem(alias, words):
        raise wrong(problem)
    return alias


def _command_of(alias: Alias, load: Load) -> click.Command:
    return _External(alias) if alias.is_external else _Internal(alias, load)


class _Internal(click.Command):
    """Becomes the command that it is short for: options, errors and completion are those of that command."""

    def __init__(self, alias: Alias, load: Load) -> None:
        super().__init__(alias.name, help=alias.help, short_help=alias.summary)
        self._alias = alias
        self._load = load
        self._words = shlex.split(alias.runs)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args == ["--help"] and parent is not None and not parent.resilient_parsing:
            ctx = click.Context(self, parent, info_name)
            click.echo(self.get_help(ctx))
            ctx.exit()
        path, more = _path_of(self._words, click.UsageError)
        target = self._load(path)
        if target is None:
            raise LookupError(f"The registry names {path!r} and there is no such command")
        return target.make_context(info_name, [*more, *args], parent, **extra)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[MORE]...")
        _write_about(formatter, self._alias, "Short for", f"neuro {self._alias.runs}")


class _External(click.Command):
    """Runs a program with what was typed in the places that the alias has for it."""

    def __init__(self, alias: Alias) -> None:
        takes_all = not (alias.arguments or alias.options)
        params: list[click.Parameter] = [*alias.options, *alias.arguments]
        if takes_all:
            params = [click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")]
        super().__init__(
            alias.name,
            params=params,
            callback=self._run,
            help=alias.help,
            short_help=alias.summary,
            context_settings={"ignore_unknown_options": True} if takes_all else None,
        )
        self._alias = alias

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_usage(ctx, formatter)
        _write_about(formatter, self._alias, "Runs", self._alias.runs)
        self.format_options(ctx, formatter)

    def _run(self, **values: Any) -> int:
        from neuro_cli.exits import Refused

        name = self._alias.name
        above = os.environ.get(RUNNING, "").split()
        if name in above:
            raise Refused(f"The alias {name!r} runs itself: {' -> '.join([*above, name])}")
        return _run_program(words_of(self._alias, values), {**os.environ, RUNNING: " ".join([*above, name])})


def words_of(alias: Alias, values: Mapping[str, Any]) -> list[str]:
    """The command line of an external alias; ``values`` are those of its parameters, or all ``words``."""
    words = shlex.split(alias.runs)
    given = {str(param.name): _given(param, values.get(str(param.name))) for param in _params(alias)}
    if not any(match[2] for word in words for match in _PLACE.finditer(word)):
        return (
            [_unescaped(word) for word in words]
            + list(values.get("words", ()))
            + [word for texts in given.values() for word in texts]
        )
    made: list[str] = []
    for word in words:
        match = _PLACE.fullmatch(word)
        if match and match[2]:
            made += given[_key(match[2])]
        else:
            made.append(_PLACE.sub(lambda m: "{" + m[1] + "}" if m[1] else (given[_key(m[2])] or [""])[-1], word))
    return made


def _run_program(words: Sequence[str], env: Mapping[str, str]) -> int:
    import subprocess

    try:
        process = subprocess.Popen(words, env=env)
    except FileNotFoundError:
        click.echo(f"neuro: there is no program {words[0]!r}", err=True)
        return 127  # the codes of shells
    except OSError as exc:
        click.echo(f"neuro: {words[0]!r} cannot be run: {exc.strerror}", err=True)
        return 126
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # it has had Ctrl-C too, and decides what becomes of it
            continue
        return code if code >= 0 else 128 - code


def _path_of(words: Sequence[str], wrong: Callable[[str], Exception]) -> tuple[str, Sequence[str]]:
    """The path of the command at the beginning of an alias's words, and the words behind it."""
    skipped = 1 if words[0] == "neuro" else 0
    used = skipped
    while used < len(words) and " ".join(words[skipped : used + 1]) in registry.TREE:
        used += 1
    if used == skipped:
        first = words[skipped] if used < len(words) else words[0]
        why = "global options go before the alias" if first.startswith("-") else "an alias cannot stand for another one"
        raise wrong(f"its cmd begins with {first!r}, which is no command of neuro; {why}")
    return " ".join(words[skipped:used]), words[used:]


def _arguments(text: str) -> Iterator[click.Argument]:
    for word in text.split():
        match = _ARGUMENT.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} in args is none of NAME, NAME..., [NAME], [NAME]...")
        many = bool(match[3] or match[4])
        yield click.Argument(
            [_key(match[2])], nargs=-1 if many else 1, required=not match[1], metavar=word, type=click.UNPROCESSED
        )


def _option(line: str) -> click.Option:
    names, _, about = line.strip().partition("  ")
    found, metavar = [], None
    for part in names.split(","):
        match = _OPTION.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{line!r} in options is not like '-d, --max-depth=N  What it is'")
        found.append(match[1])
        metavar = match[2] or metavar
    if "--help" in found:
        raise ValueError("--help in options is taken: it shows the help of the alias")
    return click.Option(found, metavar=metavar, is_flag=metavar is None, default=None, help=about.strip() or None)


def _problem(alias: Alias, words: Sequence[str]) -> str | None:
    params = {str(param.name): param for param in _params(alias)}
    if len(params) < len(alias.arguments) + len(alias.options):
        return "two of its args and options have the same name"
    if sum(param.nargs == -1 for param in alias.arguments) > 1:
        return "only one of its args can be NAME..."
    for word in words if alias.is_external else ():
        for match in _PLACE.finditer(word):
            if match[2] and _key(match[2]) not in params:
                return f"{match[0]} in exec is neither in args nor in options; {{{match[0]}}} is the text itself"
            if match[2] and params[_key(match[2])].nargs == -1 and match[0] != word:
                return f"{match[0]} may be several words: it has to stand alone in exec"
    return None


def _params(alias: Alias) -> list[click.Parameter]:
    return [*alias.options, *alias.arguments]


def _given(param: click.Parameter, value: Any) -> list[str]:  # Any: text, a tuple of texts, a flag
    """What stands for a parameter: nothing when it was not given, an option with its name."""
    if value is None or value is False or value == ():
        return []
    if isinstance(param, click.Option):
        name = max(param.opts, key=len)
        return [name] if param.is_flag else [name, str(value)]
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


def _unescaped(word: str) -> str:
    return _PLACE.sub(lambda match: "{" + match[1] + "}", word)


def _key(name: str) -> str:
    return name.lower().replace("-", "_")


def _write_about(formatter: click.HelpFormatter, alias: Alias, verb: str, runs: str) -> None:
    for text in [*alias.help.strip().split("\n\n"), f"{verb}: {runs}"]:
        if text:
            formatter.write_paragraph()
            formatter.write_text(" ".join(text.split()))


def _folder(root: Root, ctx: click.Context) -> Path | None:
    """The configuration folder, which is not known yet while the words before the command are being read."""
    chosen = ctx.find_root().params.get("config_path")
    return Path(chosen) if chosen else root.config_path


def _say_once(ctx: click.Context, text: str) -> None:
    root = ctx.find_root()
    said = root.ensure_object(Root).said
    if text not in said and root.params.get("quiet", 0) < 2:  # the options are read, but not in effect yet
        said.add(text)
        root.ensure_object(Root).warn(text)
