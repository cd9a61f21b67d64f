"""Which failure comes to which exit code."""

from __future__ import annotations

import aiohttp
import click
import pytest

from neuro_cli import exits
from neuro_platform import exits as platform_exits
from neuro_sdk import errors

CODES = {
    errors.IllegalArgumentError("no"): 65,
    errors.Conflict("taken"): 65,
    errors.NotSupportedError("no containers"): 65,
    errors.ConfigError("broken"): 70,
    errors.ClientError("?"): 70,
    errors.NeuroError("?"): 70,
    errors.PlatformError("?"): 70,
    errors.ResourceNotFound("no job"): 72,
    FileNotFoundError(2, "No such file", "x"): 72,
    errors.StreamLost("gone"): 74,
    errors.NDJSONError("broken"): 74,
    ConnectionRefusedError(111, "refused"): 74,
    aiohttp.ServerDisconnectedError("gone"): 74,
    aiohttp.ClientPayloadError("short"): 74,
    errors.NotAPlatform("HTML"): 76,
    errors.DockerError(900, "no space"): 76,
    errors.AuthError("no"): 77,
    errors.AuthenticationError("expired"): 77,
    errors.AuthorizationError("no"): 77,
    PermissionError(13, "Permission denied", "x"): 77,
    exits.NotLoggedIn(): 77,
    TimeoutError(): 124,
    aiohttp.ServerTimeoutError("slow"): 124,
    errors.ServerNotAvailable("later"): 125,
    errors.ServerFault("boom"): 125,
    ValueError("?"): 127,
    KeyboardInterrupt(): 130,
    click.exceptions.Abort(): 130,
    BrokenPipeError(32, "Broken pipe"): 141,
    click.UsageError("no such option"): 2,
    exits.Refused("not here"): 65,
    KeyError("bug"): 1,
    ZeroDivisionError(): 1,
}


@pytest.mark.parametrize(("failure", "code"), CODES.items(), ids=lambda value: type(value).__name__)
def test_code(failure: BaseException, code: int) -> None:
    assert exits.exit_code(failure) == code


def test_names_in_the_table_are_exceptions() -> None:
    import builtins

    homes = (errors, builtins, click.exceptions)
    missing = [name for row in exits.TABLE for name in row.raised if not any(hasattr(home, name) for home in homes)]

    assert missing == []


def test_every_error_of_ours_has_a_row() -> None:
    ours = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.NeuroError)]

    assert {exits.exit_code(kind.__new__(kind)) for kind in ours} <= {row.code for row in exits.TABLE} - {1}


def test_what_the_platform_of_this_machine_exits_with_has_a_row() -> None:
    codes = {value for name, value in vars(platform_exits).items() if name.isupper()}

    assert codes <= {row.code for row in exits.TABLE}


@pytest.mark.parametrize(
    "exc", [errors.IllegalArgumentError("no"), errors.Conflict("taken"), errors.ResourceNotFound("no user"), OSError()]
)
def test_the_platform_of_this_machine_gives_the_same_codes(exc: Exception) -> None:
    assert platform_exits.exit_code(exc) == exits.exit_code(exc)


def test_codes_are_in_order() -> None:
    codes = [row.code for row in exits.TABLE]

    assert codes == sorted(set(codes))
