"""Runs the ```console blocks of a page: lines after `$ ` are commands, what follows is what they print.

A line `...` stands for any lines. Ids, times, ports, folders and the user's name differ from run to run and are
compared as words that stand for them. `python -m tests.e2e.console README.md` writes what the commands really print
into the page.
"""

from __future__ import annotations

import getpass
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.place import Place, free_port

_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
_STAND_FOR = [
    (re.compile(r"job-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:?\d\d|Z)?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b(\d+(\.\d+)?\s*(ms|seconds?|minutes?|[smh])( ago)?|now|just now)\b"), "SPAN"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\bprocess \d+"), "process N"),
    (re.compile(r"\b\d+(\.\d+)?[KMGT]\b"), "SIZE"),
    (re.compile(r"eyJ[\w.-]+"), "TOKEN"),
    (re.compile(r"[-─━]{3,}"), "---"),
    (re.compile(r"\s+"), " "),
]
READER = "ada"  # how the page calls the user
PORT = str(free_port())  # 8080 may be taken here, which would be said


@dataclass
class Step:
    """A command and what the page says it prints."""

    command: str
    shown: list[str] = field(default_factory=list)


def steps(page: str) -> list[Step]:
    """All commands of all console blocks, in order."""
    found: list[Step] = []
    for block in _BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            elif line.startswith("> ") and not found[-1].shown:
                found[-1].command += "\n" + line[2:]
            else:
                found[-1].shown.append(line)
    return found


def run(command: str, place: Place) -> list[str]:
    """What the command prints, both streams, in the words of the page."""
    done = subprocess.run(
        ["bash", "-c", command],
        env={**place.env, "COLUMNS": "100", "NEURO_PLATFORM_PORT": PORT},
        cwd=place.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    text = done.stdout.replace(str(place.home), f"/home/{READER}").replace(f":{PORT}", ":8080")
    text = re.sub(rf"\b{re.escape(getpass.getuser())}\b", READER, text)
    return [line.rstrip() for line in text.splitlines()]


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are the shown ones, up to what differs from run to run."""
    parts = [".*" if line.strip() == "..." else re.escape(_plain(line)) + "\n" for line in shown]
    return re.fullmatch("".join(parts), "".join(_plain(line) + "\n" for line in printed), re.DOTALL) is not None


def _plain(line: str) -> str:
    for pattern, word in _STAND_FOR:
        line = pattern.sub(word, line)
    return line.strip()


def filled(page: str, place: Place) -> str:
    """The page with what the commands really print; what has a `...` and still fits stays."""

    def fill(match: re.Match[str]) -> str:
        lines = []
        for step in steps(f"```console\n{match[0]}```"):
            printed = run(step.command, place)
            keep = "..." in step.shown and matches(step.shown, printed)
            lines += ["$ " + step.command.replace("\n", "\n> "), *(step.shown if keep else printed)]
        return "\n".join(lines) + "\n"

    return _BLOCK.sub(fill, page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        home = Place(Path(folder) / "home", Path(folder) / "home" / ".local" / "share" / "neuro-platform")
        try:
            path.write_text(filled(path.read_text(), home))
        finally:
            home.neuro("platform", "down")
