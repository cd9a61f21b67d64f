"""What users may write into ``user.toml`` and ``.neuro.toml`` (SDK reference, chapter 19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuro_sdk import ConfigError, find_project_root
from neuro_sdk._settings import user_config


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The folder of ``user.toml``; the working directory is the project."""
    folder = tmp_path / "settings"
    folder.mkdir()
    return folder


def test_without_files_there_is_nothing(settings: Path) -> None:
    assert user_config(settings) == {}


def test_the_projects_values_win_table_by_table(settings: Path) -> None:
    (settings / "user.toml").write_text(
        '[job]\nps-format = "id"\nlife-span = "1d"\n[storage]\ncp-exclude = ["a", "b"]\n[alias.x]\ncmd = "ls"\n'
    )
    Path(".neuro.toml").write_text(
        '[job]\nlife-span = "2h"\ncluster-name = "lab"\n[storage]\ncp-exclude = ["c"]\n[disk]\ntimeout-unused = "1d"\n'
    )

    assert user_config(settings) == {
        "job": {"ps-format": "id", "life-span": "2h", "cluster-name": "lab"},
        "storage": {"cp-exclude": ["c"]},
        "alias": {"x": {"cmd": "ls"}},
        "disk": {"timeout-unused": "1d"},
    }


def test_files_are_read_anew(settings: Path) -> None:
    (settings / "user.toml").write_text('[job]\nps-format = "id"\n')
    assert user_config(settings) == {"job": {"ps-format": "id"}}

    (settings / "user.toml").write_text("")
    assert user_config(settings) == {}


WRONG = {
    "no TOML": ("[job", "not valid TOML"),
    "not UTF-8": (b"\xff", "not valid TOML"),
    "section": ("[jobs]\n", "unsupported config sections: jobs"),
    "no section": ("job = 1\n", "job should be a section"),
    "key": ("[job]\nx = 1\n", r"unknown parameters job\.x"),
    "type": ("[job]\nps-format = 1\n", r"invalid type for job\.ps-format, str is expected"),
    "no list": ('[storage]\ncp-exclude = "x"\n', r"invalid type for storage\.cp-exclude, list is expected"),
    "item": ("[storage]\ncp-exclude = [1]\n", r"invalid type for storage\.cp-exclude\[0\], str is expected"),
    "alias name": ("[alias.0x]\n", "invalid alias name '0x'"),
    "alias": ("[alias]\nx = 1\n", "invalid alias command type of 'x'"),
    "cluster": ('[job]\ncluster-name = "lab"\n', "cluster name is not allowed"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named_with_its_file(settings: Path, text: str | bytes, sentence: str) -> None:
    (settings / "user.toml").write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ConfigError, match=rf"user\.toml: .*{sentence}"):
        user_config(settings)


def test_a_folder_in_the_place_of_the_file(settings: Path) -> None:
    (settings / "user.toml").mkdir()

    with pytest.raises(ConfigError, match=r"user\.toml: not a regular file"):
        user_config(settings)


def test_the_project_is_found_from_below() -> None:
    here = Path.cwd()
    (here / ".neuro.toml").write_text("")
    (here / "a" / "b").mkdir(parents=True)

    assert find_project_root(here / "a" / "b") == here
    assert find_project_root() == here


def test_the_start_is_returned_as_it_was_given() -> None:
    Path(".neuro.toml").write_text("")

    assert find_project_root(Path()) == Path()


def test_no_project() -> None:
    with pytest.raises(ConfigError, match="Project root is not found"):
        find_project_root()
