"""The forms of data: each is what readers of that form take it for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neuro_cli.output import Output, document, documents, to_yaml

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(values)
def test_yaml_is_read_as_what_was_written(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


TRICKY = [
    "", " ", "yes", "No", "null", "~", "1", "1e5", "0x1f", "1_000", "2026-01-31", "12:30:45", "- x", "a: b", "a #b",
    "'", '"', "\\", "\n", "a\nb\n", "\t", "é", "日本", "😀", "\x85", "\u2028", "\ufeff", "\x7f", "@x", "`x", "%x", "&a",
    "*a", "!t", "|", ">", "{", "[", ",", "?", "=", "<<", ".", "-", "---", "...", "inf", ".inf", "y", "on",
]  # fmt: skip


@pytest.mark.parametrize("text", TRICKY)
def test_yaml_strings_stay_strings(text: str) -> None:
    assert yaml.safe_load(to_yaml({text: text})) == {text: text}
    assert yaml.safe_load(to_yaml([text, [text], {"a": [text]}])) == [text, [text], {"a": [text]}]


def test_yaml_is_block_style() -> None:
    value = {
        "name": "train",
        "tags": ["a", "b"],
        "container": {"env": {}, "volumes": []},
        "steps": [{"at": 1, "of": 2}],
    }

    assert to_yaml(value) == (
        "name: train\ntags:\n  - a\n  - b\ncontainer:\n  env: {}\n  volumes: []\nsteps:\n  - at: 1\n    of: 2"
    )


async def items(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


async def joined(output: Output, *values: Any) -> str:
    return "".join([part async for part in documents(items(*values), output)])


@pytest.mark.parametrize("values", [(), ({"a": 1},), ({"a": 1}, {"a": "é\n"})])
async def test_a_list_in_every_form(values: tuple[Any, ...]) -> None:
    assert json.loads(await joined(Output.JSON, *values)) == list(values)
    assert [json.loads(line) for line in (await joined(Output.JSONL, *values)).splitlines()] == list(values)
    assert yaml.safe_load(await joined(Output.YAML, *values)) == list(values)


def test_one_thing_in_every_form() -> None:
    value = {"a": [1, 2], "b": "é"}

    assert json.loads(document(value, Output.JSON)) == value
    assert "\n" not in document(value, Output.JSONL)
    assert yaml.safe_load(document(value, Output.YAML)) == value
