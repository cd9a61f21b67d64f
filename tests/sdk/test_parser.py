"""Volumes, variables and images as people write them (SDK reference, chapter 16)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

import neuro_sdk
from neuro_sdk import DiskVolume, IllegalArgumentError, LocalImage, Parser, SecretFile, TagOption, Volume
from tests.sdk.foreign import Foreign, token_of


@pytest.fixture
async def parse(foreign: Foreign, folder: Path) -> AsyncIterator[Parser]:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        foreign.seen.clear()
        yield client.parse
    assert foreign.seen == []


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("storage:dir:/mnt", Volume(URL("storage://default/user/dir"), "/mnt", False)),
        ("storage::/mnt", Volume(URL("storage://default/user"), "/mnt", False)),
        ("storage:dir:/mnt:ro", Volume(URL("storage://default/user/dir"), "/mnt", True)),
        ("storage://other/bob/a:/mnt:rw", Volume(URL("storage://other/bob/a"), "/mnt", False)),
        ("storage:a%3Ab:/mnt", Volume(URL("storage://default/user/a%3Ab"), "/mnt", False)),
    ],
)
def test_a_volume(parse: Parser, text: str, volume: Volume) -> None:
    assert parse.volume(text) == volume


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("storage:dir", "Invalid volume specification"),
        ("storage:a:/b:ro:x", "Invalid volume specification"),
        ("secret:a:/b:ro", "Invalid volume specification"),
        ("storage:a:/b:wo", "Wrong ReadWrite/ReadOnly mode spec 'wo'"),
        ("file:a:/b", "Unsupported scheme"),
        ("HOME", "no longer exists"),
        ("ALL", "no longer exists"),
    ],
)
def test_what_is_no_volume(parse: Parser, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse.volumes([text])


def test_volumes_of_all_kinds_in_order_and_once(parse: Parser) -> None:
    result = parse.volumes(
        ["storage:b:/b", "secret:key:/key", "disk:d:/d:ro", "storage:a:/a", "storage:/user/b:/b", "secret:key:/key"]
    )

    assert result.volumes == (
        Volume(URL("storage://default/user/b"), "/b"),
        Volume(URL("storage://default/user/a"), "/a"),
    )
    assert result.secret_files == (SecretFile(URL("secret://default/user/key"), "/key"),)
    assert result.disk_volumes == (DiskVolume(URL("disk://default/user/d"), "/d", True),)


def test_the_old_pair_still_works(parse: Parser) -> None:
    result = parse.volumes(["storage:b:/b", "secret:key:/key"])

    with pytest.deprecated_call():
        volumes, secrets = result
    with pytest.deprecated_call():
        assert len(result) == 2
    with pytest.deprecated_call():
        assert (result[0], result[1]) == (volumes, secrets)
    with pytest.deprecated_call(), pytest.raises(IndexError):
        _ = result[2]


def test_variables(parse: Parser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes("\ufeffA=file\n\n  # comment\n  B= 'x' \r\nC=secret:old\n".encode())
    second.write_text("D=1=2\nHERE\n")
    monkeypatch.setenv("HERE", "from here")
    monkeypatch.delenv("NOWHERE", raising=False)

    result = parse.envs(["A=last", "NOWHERE", "E=", "C=now plain", "S=secret:/bob/key"], [str(first), str(second)])

    assert result.env == {
        "A": "last",
        "B": " 'x' ",
        "D": "1=2",
        "HERE": "from here",
        "NOWHERE": "",
        "E": "",
        "C": "now plain",
    }
    assert result.secret_env == {"S": URL("secret://default/bob/key")}


def test_the_old_form_of_variables(parse: Parser) -> None:
    with pytest.deprecated_call():
        assert parse.env(["A=1", "S=secret:k"]) == ({"A": "1"}, {"S": URL("secret://default/user/k")})


def test_a_variable_needs_a_name(parse: Parser) -> None:
    with pytest.raises(ValueError, match="has no name"):
        parse.envs(["=x"])


def test_a_file_of_variables_that_cannot_be_read(parse: Parser, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Cannot read the file of variables"):
        parse.envs([], [str(tmp_path / "none")])
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="it is not UTF-8"):
        parse.envs([], [str(tmp_path / "binary")])


@pytest.mark.parametrize("line", ["B = 2", "export C=3", "bad line", "=x", "A=\0"])
def test_a_line_that_is_no_variable(parse: Parser, tmp_path: Path, line: str) -> None:
    (tmp_path / "env").write_text(f"A=1\n\n{line}\n")

    with pytest.raises(IllegalArgumentError, match=r"env, line 3: .*NAME=VALUE"):
        parse.envs([], [str(tmp_path / "env")])
    with pytest.raises(IllegalArgumentError, match="NAME=VALUE"):
        parse.envs([line])


def test_a_file_of_variables_without_an_end(parse: Parser) -> None:
    with pytest.raises(IllegalArgumentError, match="/dev/zero: it has more than 16 MiB"):
        parse.envs([], ["/dev/zero"])


def test_images(parse: Parser, foreign: Foreign) -> None:
    registry = f"{foreign.base.host}:{foreign.base.port}"

    assert parse.local_image("x") == LocalImage("x", "latest")
    assert parse.remote_image("image:x").as_docker_url() == f"{registry}/user/x:latest"
    assert parse.remote_image(f"{registry}/bob/x", tag_option=TagOption.ALLOW).owner == "bob"
    assert parse.remote_image("image://another/bob/x").registry == "registry-another.example:5000"


def test_uris(parse: Parser) -> None:
    assert parse.uri("storage:a") == URL("storage://default/user/a")
    assert parse.uri_or_path("a") == URL(f"file://{Path.cwd()}/a")
    with pytest.raises(ValueError, match="Unsupported scheme"):
        parse.uri("storage:a", "disk")
