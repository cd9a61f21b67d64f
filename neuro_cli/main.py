"""The entry point: global options, then the command, then whatever it came to as an exit code."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from neuro_cli import exits, failures
from neuro_cli.command import Group
from neuro_cli.params import SECONDS
from neuro_cli.root import Root

COMPLETE = "_NEURO_COMPLETE"  # set by the shell code of complete.py


def main() -> NoReturn:
    """Run ``neuro`` with the arguments of this process and exit."""
    _hold_standard_streams()
    gc.set_threshold(100_000)  # imports make much that stays; looking through it 150 times takes a tenth of `neuro ps`
    if shell := os.environ.get(COMPLETE):
        from neuro_cli.complete import answer

        sys.exit(answer(cli, shell))
    code = run(sys.argv[1:])
    if "asyncio" in sys.modules:
        atexit.register(_end_at_once, code)
    sys.exit(code)


def run(args: Sequence[str]) -> int:
    """Run one command line; the result is its exit code. Nothing escapes but what ends the process."""
    root = Root()
    try:
        with cli.make_context("neuro", list(args), obj=root) as ctx:  # click's `main` exits with 1 at a closed pipe
            result = cli.invoke(ctx)
        _flush()
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except Exception as exc:  # noqa: BLE001 - the top: everything ends here as a sentence and a code
        return failures.report(exc, root)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except SystemExit:  # what click makes of a closed pipe
        return failures.report(BrokenPipeError(), root)
    return result if isinstance(result, int) else 0


def _hold_standard_streams() -> None:
    """Have 0, 1 and 2 taken when we were started without them, lest a socket becomes standard input."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one


def _end_at_once(code: int) -> None:
    """Leave out the interpreter's tidying: for aiohttp and what it brings that takes as long as asking a platform."""
    with contextlib.suppress(OSError):
        _flush()
        os._exit(code)


def _flush() -> None:
    """Have what is still buffered written now, while a failure can be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from neuro_sdk import __version__

        click.echo(f"neuro {__version__}")
        ctx.exit()


def _options(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        formatter = ctx.make_formatter()
        click.Command.format_options(ctx.command, ctx, formatter)
        click.echo(formatter.getvalue().rstrip("\n"))
        ctx.exit()


@click.pass_context
def _root(
    ctx: click.Context,
    /,
    *,
    verbose: int,
    quiet: int,
    color: str,
    trace: bool,
    hide_token: bool | None,
    config_path: str | None,
    ca_file: str | None,
    **rest: Any,
) -> None:
    from pathlib import Path

    root = ctx.ensure_object(Root)
    if hide_token is not None and not trace:
        raise click.UsageError("--hide-token and --no-hide-token only make sense with --trace")
    root.verbosity = verbose - quiet
    root.color = ctx.color = _use_color(color)
    root.trace = trace
    root.hide_token = hide_token is not False
    root.config_path = Path(config_path).expanduser() if config_path else None
    root.ca_file = Path(ca_file) if ca_file else None
    root.show_traceback = rest["show_traceback"]
    root.trace_all = rest["x_trace_all"]
    root.network_timeout = rest["network_timeout"]
    root.iso_times = rest["iso_datetime_format"]
    root.cluster = rest["cluster"]
    if root.verbosity > 0:
        _log_to_stderr(debug=root.verbosity > 1)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _use_color(choice: str) -> bool:
    if choice != "auto":
        return choice == "yes"
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return not os.environ.get("NO_COLOR") and all(stream is not None and stream.isatty() for stream in streams)


def _log_to_stderr(*, debug: bool) -> None:
    import logging

    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, format="%(name)s: %(message)s")


def _flag(*names: str, text: str, **attrs: Any) -> click.Option:
    return click.Option(list(names), is_flag=True, help=text, **attrs)


cli = Group(
    help="""Run programs on compute: this machine, or a Neuro platform elsewhere.

    Examples:

    # Run something on this machine; no account needed
    neuro login --local
    neuro run host -- python3 -c 'print("hello")'

    # Explain a command
    neuro help run
    """,
    callback=_root,
    params=[
        click.Option(["-v", "--verbose"], count=True, help="Say more; may be given twice."),
        click.Option(["-q", "--quiet"], count=True, help="Say less; lists show ids only. May be given twice."),
        click.Option(
            ["--neuromation-config", "--config-path", "config_path"],
            envvar="NEUROMATION_CONFIG",
            is_eager=True,
            metavar="PATH",
            help="The folder of the login and of user.toml; also NEUROMATION_CONFIG.  [default: ~/.nmrc]",
        ),
        click.Option(["--cluster"], metavar="NAME", help="Work on this cluster, for this command only."),
        click.Option(
            ["--color"],
            type=click.Choice(["yes", "no", "auto"]),
            default="auto",
            help="Whether to use colours; auto: on a terminal, unless NO_COLOR is set.",
        ),
        click.Option(
            ["--ca-file"],
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            help="Trust these certificate authorities too (PEM).",
        ),
        click.Option(
            ["--network-timeout"],
            type=SECONDS,
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for an answer.",
        ),
        _flag("--trace", text="Show requests and answers on standard error."),
        _flag("--hide-token/--no-hide-token", default=None, text="Mask tokens in --trace.  [default: mask]"),
        _flag("--x-trace-all", hidden=True, text="Ask the platform to trace these requests."),
        _flag("--show-traceback", text="Show where in the code a failure happened."),
        _flag("--iso-datetime-format/--no-iso-datetime-format", default=False, text="Show times in ISO 8601."),
        _flag("--skip-stats/--no-skip-stats", default=False, hidden=True, text="Accepted: no statistics are sent."),
        _flag("--disable-pypi-version-check", hidden=True, text="Accepted: no look at PyPI is taken."),
        _flag("--options", hidden=True, is_eager=True, expose_value=False, callback=_options, text="Show these."),
        _flag("--version", is_eager=True, expose_value=False, callback=_version, text="Print the version and exit."),
    ],
)
