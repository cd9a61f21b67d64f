"""The public names of `neuro_sdk` are the documented ones, with their signatures, members, defaults and bases."""

from __future__ import annotations

import ast
import enum
import functools
import inspect
from pathlib import Path
from typing import Any

import pytest

import neuro_sdk
from neuro_sdk.wire.jobs import job_from_plain
from tests import public_names as documented

ROOT = Path(__file__).resolve().parent.parent
NAMES = {**documented.NAMES, "ALL": neuro_sdk.ConfigScope.ALL}


def lookup(dotted: str) -> Any:
    return functools.reduce(
        lambda found, part: found[int(part)] if part.isdigit() else getattr(found, part), dotted.split("."), neuro_sdk
    )


@pytest.mark.parametrize(
    "name",
    [*documented.FUNCTIONS, *documented.CONSTANTS, *documented.CLASSES, *documented.ERRORS, "__version__"],
)
def test_name_is_exported(name: str) -> None:
    assert name in neuro_sdk.__all__
    assert hasattr(neuro_sdk, name)


@pytest.mark.parametrize("name", documented.LATER)
def test_what_does_not_work_yet_is_not_exported(name: str) -> None:
    assert name not in neuro_sdk.__all__
    assert not hasattr(neuro_sdk, name)


@pytest.mark.parametrize("name", documented.LATER_PARTS)
def test_parts_that_do_not_work_yet_are_not_there(name: str) -> None:
    assert not hasattr(neuro_sdk.Client, name)


def test_everything_exported_can_be_imported() -> None:
    assert [name for name in neuro_sdk.__all__ if not hasattr(neuro_sdk, name)] == []


def test_dir_names_what_is_exported() -> None:
    assert set(neuro_sdk.__all__) <= set(dir(neuro_sdk))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = neuro_sdk.no_such_name


@pytest.mark.parametrize("name", documented.CONSTANTS)
def test_constant(name: str) -> None:
    assert getattr(neuro_sdk, name) == documented.CONSTANTS[name]


@pytest.mark.parametrize("name", documented.WITHOUT_CONSTRUCTOR)
def test_a_part_of_the_client_has_no_public_constructor(name: str) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        getattr(neuro_sdk, name)()


@pytest.mark.parametrize(("name", "bases"), documented.ERRORS.items(), ids=documented.ERRORS)
def test_error_has_its_bases(name: str, bases: tuple[type[Exception] | str, ...]) -> None:
    cls = getattr(neuro_sdk, name)

    for base in bases:
        assert issubclass(cls, getattr(neuro_sdk, base) if isinstance(base, str) else base)
    if name in documented.NO_CLIENT_ERRORS:
        assert not issubclass(cls, neuro_sdk.ClientError)
    if name != "StdStreamError":
        assert issubclass(cls, neuro_sdk.NeuroError)


@pytest.mark.parametrize(("name", "members"), documented.ENUMS.items(), ids=documented.ENUMS)
def test_enum_has_its_members(name: str, members: dict[str, Any]) -> None:
    cls = getattr(neuro_sdk, name)

    assert issubclass(cls, enum.Enum)
    assert list(cls.__members__) == list(members)
    assert all(value is ... or cls[member].value == value == cls[member] for member, value in members.items())


def parsed(signature: str) -> tuple[list[str], dict[str, Any]]:
    """Parameters by position, as they are shown, and keywords with their defaults; ``KeyError`` for none."""
    arguments = ast.parse(f"def f({signature.replace('=...', '=ANY')}): ...").body[0]
    assert isinstance(arguments, ast.FunctionDef)
    args = arguments.args

    def value(node: ast.expr) -> Any:
        return NAMES.get(node.id, ...) if isinstance(node, ast.Name) else ast.literal_eval(node)

    defaults: list[Any] = [inspect.Parameter.empty] * (len(args.args) - len(args.defaults))
    defaults += [value(node) for node in args.defaults]
    by_position = [
        arg.arg if default is inspect.Parameter.empty else f"{arg.arg}={default!r}"
        for arg, default in zip(args.args, defaults, strict=True)
    ]
    by_name = {
        arg.arg: inspect.Parameter.empty if node is None else value(node)
        for arg, node in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    }
    return by_position, by_name


@pytest.mark.parametrize("dotted", documented.SIGNATURES)
def test_signature(dotted: str) -> None:
    """As documented; more is allowed only as a keyword with a default, so that every documented call still works."""
    by_position, by_name = parsed(documented.SIGNATURES[dotted])
    parameters = inspect.signature(lookup(dotted)).parameters.values()
    shown = [
        p.name if p.default is p.empty else f"{p.name}={p.default!r}"
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    assert shown[: len(by_position)] == by_position
    assert all("=" in text for text in shown[len(by_position) :])
    for name, default in by_name.items():
        assert name in keywords
        assert default is ... or keywords[name] == default
    required = {name for name, default in keywords.items() if default is inspect.Parameter.empty}
    assert required == {name for name, default in by_name.items() if default is inspect.Parameter.empty}


@pytest.mark.parametrize("name", documented.PROPERTIES)
def test_properties_are_read_only(name: str) -> None:
    for member in documented.PROPERTIES[name]:
        found = inspect.getattr_static(getattr(neuro_sdk, name), member)
        assert isinstance(found, functools.cached_property) or (isinstance(found, property) and found.fset is None)


@pytest.mark.parametrize(
    ("made", "says"), documented.DEFAULTS, ids=lambda value: type(value).__name__ if not isinstance(value, dict) else ""
)
def test_what_is_not_said_has_its_default(made: object, says: dict[str, Any]) -> None:
    assert {name: getattr(made, name) for name in says} == says


@pytest.mark.parametrize("dotted", documented.JOB_SAYS)
def test_what_a_platform_does_not_say_of_a_job(dotted: str) -> None:
    job = job_from_plain(documented.JOB)

    found = functools.reduce(
        lambda found, part: found[int(part)] if part.isdigit() else getattr(found, part), dotted.split("."), job
    )

    assert found == documented.JOB_SAYS[dotted]


def test_times_keep_their_offset() -> None:
    created = job_from_plain(documented.JOB).history.created_at

    assert created is not None
    assert created.isoformat() == "2021-05-01T10:00:00+02:00"


def test_what_is_received_cannot_be_changed_and_is_compared_by_value() -> None:
    one, other = job_from_plain(documented.JOB), job_from_plain(documented.JOB)

    assert one == other
    with pytest.raises(AttributeError):
        one.name = "other"  # type: ignore[misc]


def test_a_policy_is_shown_as_it_is_written() -> None:
    policy = neuro_sdk.JobRestartPolicy.ON_FAILURE

    assert (str(policy), repr(policy)) == ("on-failure", "'on-failure'")


@pytest.mark.parametrize(("line", "where"), documented.TESTED.items(), ids=documented.TESTED)
def test_every_line_of_the_checklist_has_a_test(line: str, where: str) -> None:
    file, _, name = where.partition("::")

    assert f"def {name}(" in (ROOT / file).read_text()
