"""Imports point one way: who may import what, read off the source (docs/architecture.md has the table in words)."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import neuro_sdk

ROOT = Path(neuro_sdk.__file__).resolve().parent.parent
OURS = {"neuro_sdk", "neuro_cli", "neuro_platform"}


class Import(NamedTuple):
    """One imported thing and where; ``name`` is the full dotted path, a class or function included."""

    where: str
    name: str

    def is_in(self, *packages: str) -> bool:
        return any(self.name == package or self.name.startswith(package + ".") for package in packages)

    @property
    def is_ours(self) -> bool:
        return self.name.partition(".")[0] in OURS

    @property
    def is_stdlib(self) -> bool:
        return self.name.partition(".")[0] in sys.stdlib_module_names


def modules(*patterns: str) -> list[Path]:
    found = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    return [path for path in found if "__pycache__" not in path.parts]


def imports(path: Path) -> Iterator[Import]:
    """Everything the module imports, inside functions and under ``TYPE_CHECKING`` too."""
    shown = str(path.relative_to(ROOT))
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(f"{shown}:{node.lineno}", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            yield from (Import(f"{shown}:{node.lineno}", f"{origin}.{alias.name}") for alias in node.names)


def all_imports(*patterns: str) -> list[Import]:
    return [item for path in modules(*patterns) for item in imports(path)]


def refused(items: list[Import]) -> list[str]:
    return [f"{item.where} imports {item.name}" for item in items]


SDK = ("neuro_sdk", "aiohttp", "yarl", "msgspec", "truststore", "multidict")
ABOVE = {"neuro_sdk/testing.py": ("neuro_platform",), "neuro_sdk/pytest_plugin.py": ("pytest",)}  # who uses the SDK


def test_the_sdk_imports_only_its_own_libraries() -> None:
    wrong = [
        item
        for item in all_imports("neuro_sdk/**/*.py")
        if not item.is_stdlib and not item.is_in(*SDK, *ABOVE.get(item.where.partition(":")[0], ()))
    ]

    assert refused(wrong) == []


def test_nothing_needs_what_is_there_for_tests() -> None:
    wrong = [
        item
        for item in all_imports("neuro_*/**/*.py")
        if item.is_in("neuro_sdk.testing", "neuro_sdk.pytest_plugin") and item.where.partition(":")[0] not in ABOVE
    ]

    assert refused(wrong) == []


def test_one_module_knows_the_json_library() -> None:
    users = {item.where.partition(":")[0] for item in all_imports("neuro_*/**/*.py") if item.is_in("msgspec")}

    assert users == {"neuro_sdk/wire/codec.py"}


def test_the_wire_knows_nothing_of_the_client() -> None:
    wrong = [
        item
        for item in all_imports("neuro_sdk/wire/*.py")
        if item.is_in("aiohttp") or (item.is_ours and not item.is_in("neuro_sdk.wire", "neuro_sdk.errors"))
    ]

    assert refused(wrong) == []


def test_frames_need_only_the_standard_library() -> None:
    assert refused([item for item in all_imports("neuro_sdk/wire/frames.py") if not item.is_stdlib]) == []


def test_the_command_line_uses_what_the_sdk_exports() -> None:
    exported = {f"neuro_sdk.{name}" for name in neuro_sdk.__all__} | {"neuro_sdk", "neuro_sdk.__version__"}
    wrong = [
        item
        for item in all_imports("neuro_cli/**/*.py")
        if not item.is_stdlib and not item.is_in("neuro_cli", "click", "rich", "yarl") and item.name not in exported
    ]

    assert refused(wrong) == []


def test_rendering_knows_neither_commands_nor_click() -> None:
    wrong = [
        item
        for item in all_imports("neuro_cli/render/*.py")
        if item.is_in("click", "neuro_cli.commands", "neuro_cli.root", "neuro_cli.command")
    ]

    assert refused(wrong) == []


def test_the_platform_shares_only_wire_and_errors_with_the_client() -> None:
    allowed = ("neuro_platform", "neuro_sdk.wire", "neuro_sdk.errors", "neuro_sdk.__version__")

    wrong = [item for item in all_imports("neuro_platform/**/*.py") if item.is_ours and not item.is_in(*allowed)]

    assert refused(wrong) == []


CONTRACTS = ("neuro_platform.engines.base",)  # a page of types: anybody may know it
KEYS = "neuro_platform/web/keys.py"  # says of what type the parts of the application are, so it names them all
LAYERS = {
    # a layer of the platform -> what it keeps away from
    "services": ("aiohttp", "sqlalchemy", "neuro_platform.web", "neuro_platform.app", "neuro_platform.reconciler"),
    "web": ("sqlalchemy", "neuro_platform.store", "neuro_platform.reconciler"),
    "store": ("aiohttp", "neuro_platform.web", "neuro_platform.services", "neuro_platform.engines"),
    "engines": (
        "aiohttp.web",
        "sqlalchemy",
        "neuro_platform.web",
        "neuro_platform.services",
        "neuro_platform.store",
        "neuro_platform.auth",
        "neuro_platform.reconciler",
    ),
    "auth": ("aiohttp", "neuro_platform.web", "neuro_platform.engines", "neuro_platform.services"),
}


@pytest.mark.parametrize(("layer", "forbidden"), LAYERS.items(), ids=LAYERS)
def test_a_layer_of_the_platform_looks_only_down(layer: str, forbidden: tuple[str, ...]) -> None:
    wrong = [
        item
        for item in all_imports(f"neuro_platform/{layer}/**/*.py")
        if item.is_in(*forbidden) and not item.is_in(*CONTRACTS) and not item.where.startswith(KEYS)
    ]

    assert refused(wrong) == []


def test_services_and_web_know_the_engine_contract_not_the_engines() -> None:
    wrong = [
        item
        for item in all_imports(
            "neuro_platform/services/*.py", "neuro_platform/web/*.py", "neuro_platform/reconciler.py"
        )
        if item.is_in("neuro_platform.engines") and not item.is_in("neuro_platform.engines.base")
    ]

    assert refused(wrong) == []


def test_only_the_reconciler_starts_and_stops() -> None:
    call = re.compile(r"engines?(\[[^]]*\])?\.(start|poll|stop|forget)\(")
    callers = {
        str(path.relative_to(ROOT))
        for path in modules("neuro_platform/**/*.py")
        if "engines" not in path.parts and call.search(path.read_text())
    }

    assert callers == {"neuro_platform/reconciler.py"}


def test_only_the_streams_talk_to_a_running_program() -> None:
    call = re.compile(r"\.(exec_create|exec_start|exec_inspect|exec_resize|signal|input)\((\w+\.)?handle\b")
    callers = {
        str(path.relative_to(ROOT))
        for path in modules("neuro_platform/**/*.py")
        if "engines" not in path.parts and call.search(path.read_text())
    }

    places = ("services/streams.py", *(f"web/{name}.py" for name in ("attach", "channels", "commands", "monitoring")))
    assert callers <= {f"neuro_platform/{place}" for place in places}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and under ``TYPE_CHECKING`` count: a circle is one to the reader, however it is hidden.

    A package's own ``__init__`` is left out: `neuro_sdk` hands on what stands below it.
    """
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in modules("neuro_*/**/*.py")
        if path.name != "__init__.py"
    }
    above = {
        name: {home for item in imports(path) for home in (item.name, item.name.rpartition(".")[0]) if home in paths}
        for name, path in paths.items()
    }
    sorter = graphlib.TopologicalSorter(above)

    sorter.prepare()  # CycleError names the modules of a circle
