"""Commands and lazy groups: click's, with our help screens, suggestions, and async functions as callbacks."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import click

from neuro_cli import registry
from neuro_cli.root import Root

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

option = click.option


class Argument(click.Argument):
    """A positional parameter that says in the help screen what it is."""

    def __init__(self, decls: Iterable[str], *, help: str = "", **attrs: Any) -> None:  # noqa: A002
        super().__init__(list(decls), **attrs)
        self.about = help


def argument(*decls: str, **attrs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like :func:`click.argument`; takes ``help`` too."""
    return click.argument(*decls, cls=Argument, **attrs)


class Command(click.Command):
    """A command whose docstring may end in examples."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        text, examples = split_examples(self.help or "")
        self.format_usage(ctx, formatter)
        _write_text(formatter, text)
        arguments = [
            (param.human_readable_name, param.about)
            for param in self.get_params(ctx)
            if isinstance(param, Argument) and param.about
        ]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        self.format_options(ctx, formatter)
        _write_examples(formatter, examples)


class Group(click.Group):
    """A group that knows its commands from the registry and imports one only to run it or to explain it."""

    def __init__(self, path: str = "", **attrs: Any) -> None:
        attrs.setdefault("name", path.rpartition(" ")[2] or "neuro")
        attrs.setdefault("help", registry.TREE[path].help if path else None)
        attrs.setdefault("callback", _help_without_command)
        super().__init__(invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...", **attrs)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name, entry in registry.children(self.path) if not entry.hidden]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = load(f"{self.path} {cmd_name}".strip())
        if self.path or cmd_name.startswith("-"):
            return command
        from neuro_cli import aliases

        if command is None:
            return aliases.find(ctx, cmd_name, load)
        aliases.warn_of_hidden(ctx, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            self._refuse(ctx, name)
        return name, command, args[1:]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        text, examples = split_examples(self.help or "")
        self.format_usage(ctx, formatter)
        _write_text(formatter, text)
        shown = [(name, entry) for name, entry in registry.children(self.path) if not entry.hidden]
        for title, is_shortcut in (("Commands", False), ("Shortcuts", True)):
            rows = [(name, entry.help) for name, entry in shown if bool(entry.shortcut_of) == is_shortcut]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if not self.path:
            if own := self._aliases(ctx):
                with formatter.section("Aliases"):
                    formatter.write_dl(own)
            with formatter.section("Topics (neuro help TOPIC)"):
                formatter.write_dl(list(registry.TOPICS.items()))
        click.Command.format_options(self, ctx, formatter)
        _write_examples(formatter, examples)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [(name, entry.help) for name, entry in registry.children(self.path) if not entry.hidden]
        names += self._aliases(ctx)
        found = [CompletionItem(name, help=about) for name, about in names if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def _refuse(self, ctx: click.Context, name: str) -> None:
        if name.startswith("-"):
            raise click.NoSuchOption(name, ctx=ctx)
        import difflib  # only to suggest

        known = [word for word, _ in [*registry.children(self.path), *self._aliases(ctx)]]
        close = difflib.get_close_matches(name, known, n=3)
        where = ctx.command_path
        message = f"{where} has no command {name!r}."
        if close:
            message += " Did you mean " + " or ".join(f"{where} {word}" for word in close) + "?"
        raise click.UsageError(message, ctx=ctx)

    def _aliases(self, ctx: click.Context) -> list[tuple[str, str]]:
        """The user's own commands, with a line about each."""
        if self.path:
            return []
        from neuro_cli import aliases

        return [(name, alias.summary) for name, alias in aliases.of_context(ctx).items()]


def load(path: str) -> click.Command | None:
    """The command or group at a path, imported now; ``None`` when there is none."""
    if path not in registry.TREE:
        return None
    if registry.is_group(path):
        return Group(path)
    name = registry.module(path)
    module, verb = importlib.import_module(name), name.rpartition(".")[2]
    return cast(click.Command, getattr(module, verb, None) or getattr(module, verb + "_"))


def command(**attrs: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function that takes the :class:`~neuro_cli.root.Root` and the parameters.

    The function may be a coroutine function; the number that it returns is the exit code. It is called like its module
    (with an underscore behind a name that Python has taken).
    """

    def decorate(function: Callable[..., Any]) -> Command:
        def call(**params: Any) -> Any:
            root = click.get_current_context().ensure_object(Root)
            if inspect.iscoroutinefunction(function):
                return root.run(function(root, **params))
            return function(root, **params)

        params = list(reversed(getattr(function, "__click_params__", [])))
        name = function.__module__.rpartition(".")[2].replace("_", "-")
        text = inspect.getdoc(function) or ""
        return Command(name, callback=call, params=params, help=text, short_help=text.partition("\n")[0], **attrs)

    return decorate


def split_examples(text: str) -> tuple[str, str]:
    """A docstring's text, and what stands below ``Examples:``."""
    text, _, examples = inspect.cleandoc(text).partition("\nExamples:\n")
    return text.strip(), examples.strip()


def _write_text(formatter: click.HelpFormatter, text: str) -> None:
    for paragraph in filter(None, text.split("\n\n")):
        formatter.write_paragraph()
        formatter.write_text(" ".join(paragraph.split()))


def _write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    if not examples:
        return
    with formatter.section("Examples"):
        for line in examples.splitlines():
            formatter.write(" " * formatter.current_indent + line + "\n" if line else "\n")


def _help_without_command(**_: Any) -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
