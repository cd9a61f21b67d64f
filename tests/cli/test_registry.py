"""The tree of commands is what the files are."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import pytest

import neuro_cli
from neuro_cli import registry
from neuro_cli.command import Group, load, split_examples

LEAVES = [path for path in registry.TREE if not registry.is_group(path)]


def test_every_file_is_a_command_and_every_command_a_file() -> None:
    folder = Path(neuro_cli.__file__).parent
    files = {
        str(file.relative_to(folder.parent).with_suffix("")).replace("/", ".")
        for file in (folder / "commands").rglob("*.py")
        if file.name != "__init__.py"
    }

    assert {registry.module(path) for path in LEAVES} == files


@pytest.mark.parametrize("path", LEAVES)
def test_help_line_is_that_of_the_command(path: str) -> None:
    command = load(path)

    assert command is not None
    text, _ = split_examples(command.help or "")
    assert text.partition("\n")[0] == registry.TREE[path].help


@pytest.mark.parametrize("path", LEAVES)
def test_help_ends_in_examples_that_are_commands(path: str) -> None:
    command = load(path)

    assert command is not None
    _, examples = split_examples(command.help or "")
    lines = [line for line in examples.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all("neuro" in line for line in lines)


@pytest.mark.parametrize("path", LEAVES)
def test_every_parameter_is_explained(path: str) -> None:
    command = load(path)

    assert command is not None
    silent = [param.name for param in command.params if not (getattr(param, "help", "") or getattr(param, "about", ""))]
    assert [name for name in silent if not _hidden(command, name)] == []


@pytest.mark.parametrize("path", [path for path, entry in registry.TREE.items() if entry.shortcut_of])
def test_shortcut_is_the_command_itself(path: str) -> None:
    assert load(path) is load(registry.TREE[path].shortcut_of or "")


def test_groups_are_lazy() -> None:
    assert isinstance(load("job"), Group)
    assert load("no such command") is None


def test_every_topic_has_a_text() -> None:
    topics = Path(inspect.getfile(neuro_cli)).parent / "topics"

    assert {file.stem for file in topics.glob("*.md")} == set(registry.TOPICS)


def _hidden(command: click.Command, name: str | None) -> bool:
    return any(isinstance(param, click.Option) and param.hidden for param in command.params if param.name == name)
