"""Keys of the TOML files that other packages declare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neuro_sdk import ConfigBuilder, ConfigError, ConfigScope, PluginManager, read_user_config
from neuro_sdk.plugins import known_keys


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package with an entry point ``flow`` whose function has the given body."""
    site = tmp_path / "site"
    info = site / "neuro_flow-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: neuro-flow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neuro_api]\nflow = neuro_flow_plugin:declare\n")
    monkeypatch.syspath_prepend(str(site))
    known_keys.cache_clear()

    def write(body: str) -> None:
        sys.modules.pop("neuro_flow_plugin", None)
        (site / "neuro_flow_plugin.py").write_text(f"def declare(manager):\n    {body}\n")

    yield write
    known_keys.cache_clear()
    sys.modules.pop("neuro_flow_plugin", None)


@pytest.fixture
def user_toml(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Writes ``user.toml`` and reads it."""
    folder = tmp_path / "nmrc"
    folder.mkdir()

    def read(text: str) -> dict[str, Any]:
        (folder / "user.toml").write_text(text)
        return read_user_config(folder)

    return read


def test_a_plugin_brings_sections_and_keys(
    install: Callable[[str], None], user_toml: Callable[[str], dict[str, Any]]
) -> None:
    install("manager.config.define_str('flow', 'project'); manager.config.define_bool('job', 'quiet')")

    read = user_toml('[flow]\nproject = "lab"\n[job]\nquiet = true\n')

    assert read == {"flow": {"project": "lab"}, "job": {"quiet": True}}


def test_without_the_plugin_they_are_unknown(user_toml: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"user\.toml: unsupported config sections: flow"):
        user_toml('[flow]\nproject = "lab"\n')
    with pytest.raises(ConfigError, match=r"user\.toml: unknown parameters job\.quiet"):
        user_toml("[job]\nquiet = true\n")


GOOD = {
    "int": ["1", "-1", "true"], "bool": ["true"], "str": ['""'], "float": ["1.5", "1", "inf"],
    "int_list": ["[]", "[1, 2]"], "bool_list": ["[true]"], "str_list": ['["a"]'], "float_list": ["[1, 2.5]"],
}  # fmt: skip
BAD = {
    "int": [("1.5", "int is expected"), ('"1"', "int is expected"), ("[1]", "int is expected")],
    "bool": [("1", "bool is expected")],
    "str": [("1", "str is expected")],
    "float": [('"1"', "float is expected")],
    "int_list": [("1", "flow.key, list is expected"), ("[1, 1.5]", r"flow.key\[1\], int is expected")],
    "bool_list": [("[0]", r"flow.key\[0\], bool is expected")],
    "str_list": [('"a"', "list is expected"), ('["a", 1]', r"flow.key\[1\], str is expected")],
    "float_list": [('["1"]', r"flow.key\[0\], float is expected")],
}


@pytest.mark.parametrize("kind", GOOD)
def test_types_are_checked(
    kind: str, install: Callable[[str], None], user_toml: Callable[[str], dict[str, Any]]
) -> None:
    install(f"manager.config.define_{kind}('flow', 'key')")

    for value in GOOD[kind]:
        assert "key" in user_toml(f"[flow]\nkey = {value}\n")["flow"]
    for value, said in BAD[kind]:
        with pytest.raises(ConfigError, match=f"user.toml: invalid type for .*{said}"):
            user_toml(f"[flow]\nkey = {value}\n")


def test_a_key_may_be_for_one_file_only(
    install: Callable[[str], None],
    user_toml: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(
        "from neuro_sdk import ConfigScope as S; c = manager.config; "
        "c.define_str('flow', 'mine', scope=S.GLOBAL); c.define_str('flow', 'ours', scope=S.LOCAL)"
    )
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    file = project / ".neuro.toml"

    file.write_text('[flow]\nours = "x"\n')
    assert user_toml('[flow]\nmine = "y"\n') == {"flow": {"mine": "y", "ours": "x"}}
    with pytest.raises(ConfigError, match=r"user\.toml: flow\.ours is not allowed here, only in the \.neuro\.toml"):
        user_toml('[flow]\nours = "x"\n')
    file.write_text('[flow]\nmine = "y"\n')
    with pytest.raises(ConfigError, match=r"\.neuro\.toml: flow\.mine is not allowed here, only in user\.toml"):
        user_toml("")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("manager.config.define_str('alias', 'x')", "'alias' is for the user's commands"),
        ("manager.config.define_int('job', 'ps-format')", "job.ps-format has been declared already"),
        ("[manager.config.define_int('flow', 'x') for _ in 'ab']", "flow.x has been declared already"),
        ("raise LookupError('no flow')", "LookupError: no flow"),
        ("import neuro_flow_of_another_version", "ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named(
    body: str, said: str, install: Callable[[str], None], user_toml: Callable[[str], dict[str, Any]]
) -> None:
    install(body)

    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"The plugin flow \(neuro_flow_plugin:declare\).*{said}"):
            user_toml('[job]\nlife-span = "1d"\n')


def test_plugins_are_not_asked_when_there_is_no_file(install: Callable[[str], None], tmp_path: Path) -> None:
    install("raise LookupError('asked')")

    assert read_user_config(tmp_path / "nowhere") == {}


def test_the_builder_refuses_without_a_file_too() -> None:
    builder = ConfigBuilder()
    builder.define_str("flow", "x", scope=ConfigScope.LOCAL)

    with pytest.raises(ConfigError):
        builder.define_bool_list("flow", "x")
    assert ConfigScope.ALL == ConfigScope.GLOBAL | ConfigScope.LOCAL


def test_versions_are_looked_up_for_nobody() -> None:
    PluginManager().version_checker.register("neuro-flow", lambda old, new: "", exclusive=True, delay=1.0)
