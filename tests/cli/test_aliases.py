"""Commands of the user's own: short forms of ours, and programs, which no word that is typed can turn into others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_cli.aliases import parse, words_of
from neuro_cli.main import run
from neuro_sdk import ConfigError
from tests.cli.conftest import Neuro

Wrote = Callable[[str], None]
SHOW = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"


@pytest.fixture
def wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wrote:
    """Writes ``user.toml``."""
    monkeypatch.setenv("NEUROMATION_CONFIG", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return lambda text: (tmp_path / "user.toml").write_text(text) and None


def external(line: str, **more: Any) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in {"exec": line, **more}.items())


# Internal


def test_the_words_of_the_alias_come_first(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote('[alias.gen]\ncmd = "completion generate"\n')

    assert run(["gen", "zsh"]) == 0
    assert "#compdef neuro" in capfd.readouterr().out


async def test_an_alias_does_what_its_command_does(neuro: Neuro) -> None:
    (neuro.config / "user.toml").write_text('[alias.mine]\ncmd = "job ls --all --format id"\nhelp = "All of mine."\n')
    job = await neuro.ok("-q", "run", "--detach", "host", "true")

    assert await neuro.ok("mine", "--owner", "ME") == await neuro.ok("ps", "--all", "--format", "id", "--owner", "ME")
    assert job.strip() in await neuro.ok("mine")
    done = await neuro("mine", "--odd")
    assert done.code == 2
    assert "No such option" in done.sentence


@pytest.mark.parametrize("ask", [["help", "mine"], ["mine", "--help"]], ids=" ".join)
def test_its_help_says_what_it_is(ask: list[str], wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote('[alias.mine]\ncmd = "ps --all"\nhelp = """All my jobs.\n\nOld ones too."""\n')

    assert run(ask) == 0
    text = capfd.readouterr().out
    assert "neuro mine [MORE]..." in text
    assert "All my jobs." in text
    assert "Short for: neuro ps --all" in text


def test_help_and_list_show_all_aliases(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote(f'[alias.mine]\ncmd = "ps --all"\n[alias.show]\n{external("echo hi", help="Says hi.")}\n')

    run(["--help"])
    section = capfd.readouterr().out.partition("Aliases:")[2].partition("Topics")[0]

    assert [line.split(maxsplit=1) for line in section.strip().splitlines()] == [
        ["mine", "Short for: ps --all"],
        ["show", "Says hi."],
    ]


async def test_the_shell_completes_them(stranger: Neuro) -> None:
    stranger.config.mkdir(mode=0o700)
    text = '[alias.mine]\ncmd = "ps"\n[alias.show]\n' + external("echo", options=["-d, --max-depth=N  Depth"])
    (stranger.config / "user.toml").write_text(text)

    async def complete(*words: str) -> list[str]:
        env = {"_NEURO_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words) - 1)}
        lines = (await stranger.ok(env=env, input="".join(f"{word}\n" for word in words).encode())).splitlines()
        return [line.split("\t")[1] for line in lines]

    assert await complete("neuro", "min") == ["mine"]
    assert "--all" in await complete("neuro", "mine", "--")
    assert await complete("neuro", "show", "--m") == ["--max-depth"]


def test_a_project_has_aliases_too(wrote: Wrote, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrote('[alias.gen]\ncmd = "completion generate zsh"\n')
    (tmp_path / ".neuro.toml").write_text('[alias.gen]\ncmd = "completion generate fish"\n')

    assert run(["gen"]) == 0
    assert "fish" in capfd.readouterr().out


def test_a_mistyped_alias_is_suggested(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote('[alias.mine]\ncmd = "ps"\n')

    assert run(["mien"]) == 2
    assert "Did you mean neuro mine?" in capfd.readouterr().err


def test_a_command_of_ours_wins(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote(f"[alias.help]\n{external('echo from-the-alias')}\n")

    assert run(["help", "output"]) == 0
    seen = capfd.readouterr()
    assert "from-the-alias" not in seen.out
    assert seen.err.count("the alias 'help' of yours is not used") == 1
    assert run(["-qq", "help", "output"]) == 0
    assert capfd.readouterr().err == ""


def test_what_cannot_be_read_is_no_obstacle_to_others(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote("[alias.broken]\n[alias.mine]\ncmd = 'ps'\n")

    assert run(["--help"]) == 0
    seen = capfd.readouterr()
    assert "mine" in seen.out
    assert "The alias 'broken' cannot be used" in seen.err
    wrote("not TOML")
    assert run(["--help"]) == 0
    assert "not valid TOML" in capfd.readouterr().err
    assert run(["anything"]) == 70


# External


def test_a_program_gets_what_was_typed(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote(f"[alias.show]\n{external(SHOW)}\n")

    assert run(["show", "a b", "$(id)", "; rm -rf /", "--flag", "-x", "*"]) == 0
    assert json.loads(capfd.readouterr().out) == ["a b", "$(id)", "; rm -rf /", "--flag", "-x", "*"]


PLACES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "an option with its name, an argument": (
        {"exec": "{depth} {path}", "args": "PATH", "options": ["-d, --depth=N  How deep"]},
        ["-d", "2", "x y"], ["--depth", "2", "x y"],
    ),
    "nothing for what is not given": (
        {"exec": "{depth} {all} {path}", "args": "[PATH]", "options": ["--depth=N", "-a, --all  All"]}, [], [],
    ),
    "a flag": ({"exec": "{all} end", "options": ["-a, --all  All"]}, ["-a"], ["--all", "end"]),
    "inside a word the value": (
        {"exec": "--depth={depth}:{path}", "args": "PATH", "options": ["--depth=N"]},
        ["--depth", "2", "x"], ["--depth=2:x"],
    ),
    "many words": ({"exec": "{src} to {dst}", "args": "SRC... DST"}, ["a", "b", "c"], ["a", "b", "to", "c"]),
    "brackets either way": ({"exec": "{a}", "args": "[A...]"}, ["1", "2"], ["1", "2"]),
    "hyphens and underscores": (
        {"exec": "{max_depth} {max-depth}", "options": ["--max-depth N"]}, ["--max-depth", "1"],
        ["--max-depth", "1"] * 2,
    ),
    "appended where there is no place": (
        {"exec": "first", "args": "[A]...", "options": ["-x  X", "--y=Y"]}, ["b", "--y", "1", "-x"],
        ["first", "-x", "--y", "1", "b"],
    ),
    "text in braces": ({"exec": "{{.Names}} '{{name}}' {name}", "args": "NAME"}, ["n"], ["{{.Names}}", "{name}", "n"]),
    "quotes in exec": ({"exec": "'a b' \"{x} c\"", "args": "X"}, ["1"], ["a b", "1 c"]),
    "a place in what is typed stays text": ({"exec": "{a} {b}", "args": "A B"}, ["{b}", "{{a}}"], ["{b}", "{{a}}"]),
}  # fmt: skip


@pytest.mark.parametrize(("table", "typed", "got"), PLACES.values(), ids=PLACES)
def test_places(
    table: dict[str, Any], typed: list[str], got: list[str], wrote: Wrote, capfd: pytest.CaptureFixture[str]
) -> None:
    table = {**table, "exec": f"{SHOW} {table['exec']}"}
    wrote("[alias.show]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items()))

    assert run(["show", *typed]) == 0
    assert json.loads(capfd.readouterr().out) == got


@given(value=st.text(), many=st.lists(st.text()))
def test_whatever_is_typed_stays_one_word(value: str, many: list[str]) -> None:
    alias = parse("a", {"exec": "run {one} x={one} {many}", "args": "ONE [MANY]..."})

    assert words_of(alias, {"one": value, "many": tuple(many)}) == ["run", value, f"x={value}", *many]


def test_its_help_has_its_parts(wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote(f"[alias.du]\n{external('du {d} {p}', args='[P]...', options=['-d, --d=N  How deep'], help='Sizes.')}\n")

    assert run(["help", "du"]) == 0
    text = capfd.readouterr().out
    for part in ("neuro du [OPTIONS] [P]...", "Sizes.", "Runs: du {d} {p}", "-d, --d N", "How deep"):
        assert part in text


CODES = {"exit 7": 7, "kill -15 $$": 143, "true": 0}


@pytest.mark.parametrize(("script", "code"), CODES.items(), ids=CODES)
def test_the_exit_code_is_that_of_the_program(script: str, code: int, wrote: Wrote) -> None:
    wrote(f"[alias.sh]\n{external(f'sh -c {json.dumps(script)}')}\n")

    assert run(["sh"]) == code


@pytest.mark.parametrize(("program", "code"), [("/no/such/program", 127), ("/etc", 126)])
def test_a_program_that_cannot_be_run(program: str, code: int, wrote: Wrote, capfd: pytest.CaptureFixture[str]) -> None:
    wrote(f"[alias.x]\n{external(program)}\n")

    assert run(["x"]) == code
    assert program in capfd.readouterr().err


async def test_one_that_runs_itself_is_stopped(stranger: Neuro) -> None:
    stranger.config.mkdir(mode=0o700)
    (stranger.config / "user.toml").write_text(
        f"[alias.a]\n{external(f'{Path(sys.executable).parent}/neuro b')}\n"
        f"[alias.b]\n{external(f'{Path(sys.executable).parent}/neuro a')}\n"
    )

    done = await stranger("a")

    assert done.code == 65
    assert "The alias 'a' runs itself: a -> b -> a" in done.sentence


# Mistakes

WRONG: dict[str, tuple[Mapping[str, Any], str]] = {
    "neither": ({"help": "x"}, "either cmd"),
    "both": ({"cmd": "ps", "exec": "ps"}, "either cmd"),
    "unknown key": ({"cmd": "ps", "opts": []}, "no key 'opts'"),
    "empty": ({"exec": " "}, "names nothing to run"),
    "empty after neuro": ({"cmd": "neuro"}, "begins with 'neuro'"),
    "quotes": ({"exec": "echo 'a"}, "cannot be split"),
    "type": ({"exec": ["ls"]}, "exec has to be text"),
    "options type": ({"exec": "ls", "options": "-a"}, "list of texts"),
    "another alias": ({"cmd": "other --all"}, "'other', which is no command of neuro; an alias cannot stand"),
    "global option": ({"cmd": "-v ps"}, "global options go before"),
    "args of cmd": ({"cmd": "ps", "args": "A"}, "args and options go with exec"),
    "argument": ({"exec": "ls", "args": "[A"}, "'[A' in args"),
    "two many": ({"exec": "ls", "args": "A... B..."}, "only one of its args"),
    "option": ({"exec": "ls", "options": ["all  All"]}, "'all  All' in options"),
    "help": ({"exec": "ls", "options": ["--help  Mine"]}, "--help in options is taken"),
    "twice": ({"exec": "ls", "args": "ALL", "options": ["--all  All"]}, "same name"),
    "unknown place": ({"exec": "ls {x}"}, "{x} in exec is neither"),
    "many in a word": ({"exec": "ls --x={a}", "args": "A..."}, "it has to stand alone"),
}


@pytest.mark.parametrize(("table", "said"), WRONG.values(), ids=WRONG)
def test_mistakes_are_named(table: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("mine", table)

    assert str(caught.value).startswith("The alias 'mine' cannot be used: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith("(neuro help aliases)")
