"""What help screens look like, and what is said to who mistypes."""

from __future__ import annotations

import pytest

from neuro_cli import exits, registry
from neuro_cli.main import run
from tests.cli.conftest import check_picture

SCREENS = [
    "",
    "job",
    "config",
    "platform",
    "run",
    "ps",
    "exec",
    "logs",
    "login",
    "platform up",
    "platform token create",
]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NEUROMATION_CONFIG")


@pytest.mark.parametrize("path", SCREENS, ids=lambda path: path or "neuro")
def test_help_screen(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = run([*path.split(), "--help"])

    assert code == 0
    check_picture(f"help {path}".strip().replace(" ", "-"), capfd.readouterr().out)


@pytest.mark.parametrize("path", registry.TREE)
def test_three_ways_to_the_same_help(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*path.split(), "--help"]) == 0
    asked = capfd.readouterr().out
    assert run(["help", *path.split()]) == 0

    assert capfd.readouterr().out == asked


def test_neuro_alone_prints_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    alone = capfd.readouterr().out
    run(["--help"])

    assert alone == capfd.readouterr().out


@pytest.mark.parametrize("topic", registry.TOPICS)
def test_topic(topic: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["help", topic]) == 0

    text = capfd.readouterr().out
    assert max(map(len, text.splitlines())) <= 120
    assert "{exit-codes}" not in text


def test_exit_codes_topic_has_the_whole_table(capfd: pytest.CaptureFixture[str]) -> None:
    run(["help", "exit-codes"])

    text = capfd.readouterr().out
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == [*(str(row.code) for row in exits.TABLE), "128 + n"]


MISTAKES = {
    ("rnu",): "Did you mean neuro run",
    ("job", "statsu"): "Did you mean neuro job status",
    ("nothing-like-it",): "neuro has no command 'nothing-like-it'",
    ("help", "confg"): "Did you mean neuro config",
    ("help", "run", "more"): "no commands below it",
    ("run", "--detahc", "host"): "Did you mean",
    ("--colour", "no", "ps"): "No such option",
    ("kill",): "Name the jobs",
    ("run",): "Missing argument 'IMAGE'",
    ("exec", "train"): "Missing argument 'CMD...'",
    ("exec", "train", "--"): "Missing argument 'CMD...'",
    ("ps", "--output", "xml"): "'xml' is not one of",
    ("ps", "--format", "id,colour"): "'colour' is no field",
    ("--hide-token", "ps"): "--trace",
    ("run", "--http", "0", "--no-http-auth", "host"): "--http 0",
    ("run", "--browse", "--no-wait-start", "host"): "--no-wait-start",
    ("run", "host", "echo 'a"): "quot",
    ("login", "--local", "--headless"): "choose one",
    ("login", "--local", "http://h/"): "needs no address",
    ("--network-timeout", "0", "ps"): "seconds",
    ("ps", "-h"): "No such option '-h'",
    ("port-forward", "train"): "Missing argument 'LOCAL:REMOTE...'",
    ("port-forward", "train", "80"): "'80' is not LOCAL:REMOTE, such as 8080:80, or :80 for",
    ("port-forward", "train", "a:80"): "'a:80' is not LOCAL:REMOTE",
    ("port-forward", "train", "80:"): "'80:' is not LOCAL:REMOTE",
    ("port-forward", "train", "-1:80"): "No such option '-1'",
    ("port-forward", "train", "80:0"): "'80:0' has a number that is no port",
    ("port-forward", "train", "80:65536"): "'80:65536' has a number that is no port",
    ("port-forward", "train", "8080:80", "8080:81"): "Local port 8080 is asked for twice",
    ("run", "--port-forward", "8080", "host"): "'8080' is not LOCAL:REMOTE",
    ("run", "--port-forward", "8080:80", "--detach", "host"): "neuro port-forward",
    ("attach", "--port-forward", "8080:80", "--port-forward", "8080:81", "train"): "asked for twice",
}


@pytest.mark.parametrize(("words", "said"), MISTAKES.items(), ids=[" ".join(words) for words in MISTAKES])
def test_mistake(words: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = run(words)

    seen = capfd.readouterr()
    assert code == 2
    assert seen.out == ""
    assert said in seen.err
    assert "--help' for help" in seen.err


UNUSABLE = {
    ("config", "show", "--energy"): "energy",
    ("run", "--energy-schedule", "night", "host"): "energy",
}


@pytest.mark.parametrize(("words", "said"), UNUSABLE.items(), ids=[" ".join(words) for words in UNUSABLE])
def test_option_that_nothing_can_be_done_with(
    words: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(words)

    assert code == 65
    assert said in capfd.readouterr().err


def test_usage_error_in_json(capfd: pytest.CaptureFixture[str]) -> None:
    import json

    code = run(["ps", "--status", "odd", "--json"])

    seen = capfd.readouterr()
    assert code == 2
    assert seen.out == ""
    assert json.loads(seen.err)["exit_code"] == 2


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    from neuro_sdk import __version__

    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"neuro {__version__}\n"


def test_hidden_options(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--options"]) == 0
    assert "--network-timeout" in capfd.readouterr().out
