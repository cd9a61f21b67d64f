"""The documentation says what the code does: generated pages are fresh, links lead somewhere, no option is invented."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("CHANGELOG.d/*.md")])
GENERATED = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_page_is_fresh(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NEUROMATION_CONFIG", "COLUMNS"):  # help screens show neither
        monkeypatch.delenv(variable, raising=False)

    assert (ROOT / "docs" / name).read_text() == GENERATED[name](), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())

    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:neuro_sdk|neuro_cli|neuro_platform|tests|docs|bench)/[\w./-]+)`", page.read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_map_names_what_there_is() -> None:
    """Its tables give files by the end of their path."""
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "architecture.md").read_text()))
    there = [f"/{path.relative_to(ROOT)}" for path in ROOT.glob("*/**/*.py")]

    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []


def test_change_notes_are_of_a_known_kind() -> None:
    kinds = {path.name.split(".")[-2] for path in (ROOT / "CHANGELOG.d").glob("*.*.md")}

    assert kinds <= {"added", "changed", "fixed", "removed", "security"}
