"""How a failure is said."""

from __future__ import annotations

import json

import pytest

import neuro_sdk
from neuro_cli import failures
from neuro_cli.output import Output
from neuro_cli.root import Root


def test_failure_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code = failures.report(neuro_sdk.ResourceNotFound("No job 'x'"), Root())

    assert (code, capsys.readouterr().err) == (72, "neuro: No job 'x'\n")


def test_failure_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    root = Root()
    root.output = Output.JSON

    failures.report(neuro_sdk.ResourceNotFound("No job 'x'"), root)

    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err) == {"error": "No job 'x'", "code": "not_found", "exit_code": 72}


def test_a_mistake_of_ours_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    failures.report(KeyError("x"), Root())

    assert "--show-traceback" in capsys.readouterr().err


def test_traceback_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    root = Root()
    root.show_traceback = True
    try:
        {}["x"]
    except KeyError as exc:
        failures.report(exc, root)

    assert "Traceback" in capsys.readouterr().err
