"""`neuro help`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuro_cli import registry
from neuro_cli.command import argument, command
from neuro_cli.root import Root

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    given = ctx.params.get("words") or ()
    found = [(name, entry.help) for name, entry in registry.children(" ".join(given)) if not entry.hidden]
    if not given:
        found += registry.TOPICS.items()
    return [CompletionItem(word, help=about) for word, about in found if word.startswith(incomplete)]


@command()
@argument(
    "words", nargs=-1, metavar="[COMMAND]...", shell_complete=_complete, help="The words of a command, or one topic."
)
def help_(root: Root, words: tuple[str, ...]) -> None:
    """Explain a command or a topic.

    Examples:

    neuro help job run
    neuro help exit-codes
    """
    path = " ".join(words)
    if path in registry.TOPICS:
        root.print_markdown(topic(path))
        return
    context = click.get_current_context().find_root()
    group = context.command
    for word in words:
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{context.command_path} has no commands below it", ctx=context)
        _, found, _ = group.resolve_command(context, [word])
        if found is not None:  # else resolve_command raised
            group, context = found, click.Context(found, info_name=word, parent=context)
    root.print(group.get_help(context))


def topic(name: str) -> str:
    """The text of a topic; the table of exit codes comes from its home."""
    from importlib.resources import files

    from neuro_cli import exits

    text = files("neuro_cli").joinpath("topics", f"{name}.md").read_text(encoding="utf-8").rstrip()
    if "{exit-codes}" in text:
        text = text.replace("{exit-codes}", exits.markdown())
    return text
