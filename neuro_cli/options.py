"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from neuro_cli import params
from neuro_cli.exits import Refused
from neuro_cli.output import Output
from neuro_cli.root import Root

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--output FORM`` and ``--json``; read early, so that even a usage error comes in the form that was asked for."""

    def choose(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.ensure_object(Root).output = Output(value)

    def choose_json(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            ctx.ensure_object(Root).output = Output.JSON

    for decorate in (
        click.option(
            "--json",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=choose_json,
            help="Short for --output json.",
        ),
        click.option(
            "--output",
            type=click.Choice([str(form) for form in Output]),
            is_eager=True,
            expose_value=False,
            callback=choose,
            help="How to show it; neuro help output says more.  [default: table]",
        ),
    ):
        function = decorate(function)
    return function


def cluster_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--cluster NAME``, the same as before the command."""

    def choose(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.ensure_object(Root).cluster = value

    return click.option("--cluster", metavar="NAME", expose_value=False, callback=choose, help="Work on this cluster.")(
        function
    )


def full_uri_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--full-uri``."""
    return click.option("--full-uri", is_flag=True, help="Show URIs with cluster and user.")(function)


def port_forward_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--port-forward LOCAL:REMOTE``."""
    return click.option(
        "--port-forward",
        "ports",
        multiple=True,
        type=params.PORTS,
        metavar="LOCAL:REMOTE",
        help="Lead a port of this machine (:REMOTE: a free one) to one of the job, while attached. Repeatable.",
    )(function)


def quiet_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``-q`` behind the command, where it was until 21.5."""

    def choose(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            root = ctx.ensure_object(Root)
            root.warn("-q behind the command is deprecated: write neuro -q " + (ctx.info_name or ""))
            root.verbosity -= 1

    return click.option("-q", "--quiet", is_flag=True, hidden=True, expose_value=False, callback=choose)(function)


def refused(*names: str, why: str, harmless: tuple[str, ...] = (), **attrs: Any) -> Decorator:
    """An option of other versions that nothing can be done with here: given, it ends the command with a reason."""

    def refuse(_: click.Context, param: click.Parameter, value: object) -> None:
        values = value if isinstance(value, tuple) else (value,)
        if any(item not in (None, False, *harmless) for item in values):
            raise Refused(f"{param.opts[0]} cannot be used: {why}")

    attrs.setdefault("hidden", True)
    return click.option(*names, expose_value=False, callback=refuse, **attrs)
