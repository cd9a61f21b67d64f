"""What README.md shows is what happens: its commands run in order, their output compared with the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import kill_all, stop
from tests.e2e.console import matches, run, steps
from tests.e2e.place import Place

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Place]:
    """Somebody who has just installed it."""
    home = tmp_path / "home"
    place = Place(home, home / ".local" / "share" / "neuro-platform")
    yield place
    kill_all(place)
    stop(place)


def test_readme_shows_what_happens(reader: Place) -> None:
    todo = steps((ROOT / "README.md").read_text())
    assert len(todo) > 15

    wrong = []
    for step in todo:
        printed = run(step.command, reader)
        if not matches(step.shown, printed):
            wrong.append("\n".join([f"$ {step.command}", *step.shown, "--- printed", *printed]))

    assert not wrong, "\n\n".join(wrong)


def test_sdk_example_of_readme_runs(reader: Place) -> None:
    reader.login()
    example = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], env=reader.env, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout


def test_demo_leaves_nothing_and_works_twice(reader: Place) -> None:
    for _ in range(2):
        done = subprocess.run(
            ["bash", str(ROOT / "docs" / "demo.sh")],
            env={**reader.env, "TMPDIR": str(reader.home)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

        assert done.returncode == 0, done.stdout + done.stderr
        assert "hello from a job" in done.stdout
        assert list(reader.home.iterdir()) == []
