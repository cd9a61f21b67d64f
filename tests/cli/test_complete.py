"""Completion: the answers, and the stored code in every real shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pytest

from neuro_cli import complete, registry

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TOP = [name for name, entry in registry.children("") if not entry.hidden]


@pytest.mark.parametrize("shell", complete.CODE)
def test_stored_code_is_fresh(shell: str) -> None:
    stored = ROOT / "completions" / complete.FILES[shell]

    assert stored.read_text() == complete.CODE[shell], "run `make completions`"


def answers(*words: str) -> list[str]:
    done = subprocess.run(
        [BIN / "neuro"],
        input="".join(f"{word}\n" for word in words),
        env={**os.environ, "_NEURO_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words) - 1)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return [line.split("\t")[1] for line in done.stdout.splitlines()]


ANSWERS: Mapping[tuple[str, ...], list[str]] = {
    ("neuro", ""): TOP,
    ("neuro", "ru"): ["run"],
    ("neuro", "job", ""): [name for name, entry in registry.children("job") if not entry.hidden],
    ("neuro", "-v", "--color", "no", "plat"): ["platform"],
    ("neuro", "platform", "token", ""): ["create", "ls", "revoke"],
    ("neuro", "--co"): ["--config-path", "--color"],
    ("neuro", "--color", "n"): ["no"],
    ("neuro", "run", "h"): ["host"],
    ("neuro", "run", "--det"): ["--detach"],
    ("neuro", "ps", "--output", "json"): ["json", "jsonl"],
    ("neuro", "ps", "--status", "f"): ["failed"],
    ("neuro", "completion", "generate", ""): ["bash", "zsh", "fish"],
    ("neuro", "ps", "--format", "st"): ["status", "started"],
    ("neuro", "top", "--format", "id,gpu"): ["id,gpu", "id,gpu_memory"],
    ("neuro", "ps", "--format", "gpu"): [],
    ("neuro", "top", "--sort", "name,-c"): ["name,-created", "name,-cluster_name", "name,-command", "name,-cpu"],
    ("neuro", "help", "p"): ["platform", "ps", "port-forward", "ps-format"],
    ("neuro", "help", "platform", "token", ""): ["create", "ls", "revoke"],
    ("neuro", "nonsense", ""): [],
    ("neuro", "ps", "--output", "--json", ""): [],
}


@pytest.mark.parametrize(("words", "expected"), ANSWERS.items(), ids=[" ".join(words) for words in ANSWERS])
def test_answer(words: tuple[str, ...], expected: list[str]) -> None:
    assert answers(*words) == expected


def environment(home: Path) -> dict[str, str]:
    return {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb"}


def test_bash(tmp_path: Path) -> None:
    script = """
    source {code}
    COMP_WORDS=(neuro "") COMP_CWORD=1
    _neuro_complete neuro
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """.format(code=ROOT / "completions" / "neuro.bash")

    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )

    assert (done.stderr, done.stdout.split()) == ("", TOP)


def test_fish(tmp_path: Path) -> None:
    script = f"source {ROOT / 'completions' / 'neuro.fish'}; complete -C 'neuro '"

    done = subprocess.run(
        ["fish", "--no-config", "-c", script], env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )

    assert done.stderr == ""
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == TOP


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_pressing_tab(shell: str, tmp_path: Path) -> None:
    """The stored code in the real shell, with a real key."""
    start = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}[shell]
    folder = tmp_path / "completions"
    shutil.copytree(ROOT / "completions", folder)
    child = pexpect.spawn(
        shell,
        start,
        env={**environment(tmp_path), "TERM": "xterm", "fish_greeting": ""},
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 200),
    )
    try:
        setup = "autoload -U compinit && compinit -u -D; " if shell == "zsh" else ""
        child.sendline(f"{setup}source {folder / complete.FILES[shell]}; echo rea''dy")
        child.expect("ready")
        child.send("neuro completion gener\t")
        child.expect("gener.*ate")
        child.send("f\t")
        child.sendline("")
        child.expect("complete --no-files --keep-order")  # what `neuro completion generate fish` prints
    finally:
        child.close(force=True)


def test_code_for_an_unknown_shell_is_refused() -> None:
    done = subprocess.run([BIN / "neuro"], env={**os.environ, "_NEURO_COMPLETE": "csh_complete"}, timeout=60)

    assert done.returncode == 1
