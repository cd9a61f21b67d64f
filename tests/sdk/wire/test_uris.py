"""The table of chapter 8 of the SDK reference, and what the command line reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.uris import Resource, local_uri, normalize_uri, path_of, uri_from_cli


def normalize(uri: URL | str) -> str:
    return str(normalize_uri(uri, user="user", cluster="default"))


TABLE = {
    "storage:": "storage://default/user",
    "storage:a/b": "storage://default/user/a/b",
    "storage:/bob/a": "storage://default/bob/a",
    "storage:///bob/a": "storage://default/bob/a",
    "storage:////bob/a": "storage://default/bob/a",
    "storage://other/bob/a": "storage://other/bob/a",
    "storage://other": "storage://other",
    "storage:/": "storage://default/",
    "storage:./~/a": "storage://default/user/~/a",
    "storage:.": "storage://default/user",
    "storage:a/": "storage://default/user/a/",
    "storage://other/bob/a/": "storage://other/bob/a/",
    "storage:a%23b": "storage://default/user/a%23b",
    "storage:a b": "storage://default/user/a%20b",
    "storage:a:b": "storage://default/user/a:b",
    "storage:256": "storage://default/user/256",
    "STORAGE:a": "storage://default/user/a",
    "image:name:tag": "image://default/user/name:tag",
    "job:train": "job://default/user/train",
    "secret:/bob/key": "secret://default/bob/key",
    "disk:disk-1": "disk://default/user/disk-1",
    "blob:bkt/k": "blob://default/bkt/k",
    "blob:/bkt/k": "blob://default/bkt/k",
    "blob:///bkt/k": "blob://default/bkt/k",
    "blob://other/bkt/k": "blob://other/bkt/k",
    "role://bob/reader": "role://bob/reader",
}


@pytest.mark.parametrize(("given", "expected"), TABLE.items())
def test_the_full_form(given: str, expected: str) -> None:
    assert normalize(given) == expected
    assert normalize(URL(given)) == expected


@pytest.mark.parametrize("given", TABLE)
def test_doing_it_twice_changes_nothing(given: str) -> None:
    assert normalize(normalize(given)) == normalize(given)


@given(st.text(st.characters(blacklist_characters="/?#~", blacklist_categories=("Cs", "Cc")), min_size=1))
def test_whatever_the_name_twice_is_as_good_as_once(name: str) -> None:
    once = normalize_uri("storage:" + URL.build(path="x/" + name).raw_path, user="user", cluster="default")

    assert normalize_uri(once, user="user", cluster="default") == once
    assert once.host == "default"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("storage:~/a", "Cannot expand user"),
        ("storage:/~/a", "Cannot expand user"),
        ("storage://~/a", "Cannot expand user"),
        ("blob:", "bucket is missing"),
        ("role:x", "Absolute URI required"),
        ("user:x", "Absolute URI required"),
        ("storage://user@c/x", "User, password and port"),
        ("storage://:@c/x", "User, password and port"),
        ("storage://c:80/x", "User, password and port"),
        ("storage://c:bad/x", "is not a URI"),
        ("storage:a?b=c", "query or a fragment"),
        ("storage:a?", "query or a fragment"),
        ("storage:a#b", "query or a fragment"),
        ("storage:a#", "query or a fragment"),
        ("a/b", "A scheme is missing"),
        ("file:a", "Unsupported scheme"),
    ],
)
def test_what_is_no_uri(given: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        normalize(given)


def test_a_wrong_scheme_names_the_right_ones() -> None:
    with pytest.raises(IllegalArgumentError, match=r"Unsupported scheme 'disk:' .*use storage:, blob:"):
        normalize_uri("disk:x", user="user", cluster="default", schemes=("storage", "blob"))


def from_cli(text: str) -> str:
    return str(uri_from_cli(text, "user", "default"))


def test_text_without_a_scheme_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")

    assert from_cli("a/b") == f"file://{tmp_path}/a/b"
    assert from_cli("256") == f"file://{tmp_path}/256"
    assert from_cli("a/") == f"file://{tmp_path}/a/"
    assert from_cli("a b#c?") == f"file://{tmp_path}/a%20b%23c%3F"
    assert from_cli("~/x") == "file:///home/me/x"
    assert from_cli("file:a") == f"file://{tmp_path}/a"
    assert from_cli("file:///a/b") == from_cli("file:////a/b") == "file:///a/b"
    assert from_cli("file:/~/x") == "file:///~/x"
    assert from_cli("storage:a") == "storage://default/user/a"


def test_a_url_of_a_relative_path_stays_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert normalize_uri(URL("file:a"), user="u", cluster="c", schemes=("file",)) == URL(f"file://{tmp_path}/a")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("file:~/x", "Cannot expand user"), ("file://host/x", "A host is not allowed"), ("disk:x", "Unsupported scheme")],
)
def test_what_the_command_line_refuses(given: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_cli(given)


def test_a_path_needs_a_scheme_where_only_storage_is_allowed() -> None:
    with pytest.raises(ValueError, match="A scheme is missing"):
        uri_from_cli("a", "user", "default", allowed_schemes=("storage",))


@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1))
def test_a_path_comes_back(name: str) -> None:
    path = Path("/", name)

    assert path_of(local_uri(path)) == Path("/" if name == ".." else path)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("job://local/alice/train", "job://local/alice/train"),
        ("JOB://local/alice/train/", "job://local/alice/train"),
        ("job://local/alice/tr%61in", "job://local/alice/train"),
        ("job://local", "job://local"),
        ("job://local/", "job://local"),
        ("role://alice/team/inner", "role://alice/team/inner"),
        ("storage://local/alice/a%20b%23c", "storage://local/alice/a%20b%23c"),
        ("storage://local/alice/a%2523", "storage://local/alice/a%2523"),
        ("storage://local/alice/é", "storage://local/alice/%C3%A9"),
    ],
)
def test_a_resource_has_one_spelling(given: str, stored: str) -> None:
    assert str(Resource.parse(given)) == stored
    assert Resource.parse(stored) == Resource.parse(given)


@pytest.mark.parametrize(
    "given",
    ["", "job", "job:", "job:/local", "job:///alice", "job://", "job://LOCAL/x", "job://a_b/x", "job://-a/x",
     "job://l/a//b", "job://l/a/../b", "job://l/./b", "job://l/%2e%2e/b", "job://l/a%2Fb", "job://l/a%00",
     "job://l/a%0a", "job://l/a?b", "job://l/a#b", "job://u@l/a", "job://l:80/a", "job://l/\udc80"],
)  # fmt: skip
def test_what_is_no_resource(given: str) -> None:
    with pytest.raises(IllegalArgumentError):
        Resource.parse(given)


def test_a_resource_lies_in_what_its_path_begins_with() -> None:
    job = Resource.parse("job://local/alice/train")

    assert job.covering == ["job://local", "job://local/alice", "job://local/alice/train"]
    assert all(Resource.parse(uri).covers(job) for uri in job.covering)
    for other in ("job://local/alic", "job://local/alice/trai", "job://other/alice", "role://local/alice", f"{job}/x"):
        assert not Resource.parse(other).covers(job)


@pytest.mark.parametrize(
    ("uri", "owner"),
    [("job://local/alice/x", "alice"), ("job://local", None), ("role://alice", "alice"), ("blob://local/bucket", None)],
)
def test_whose_a_resource_is(uri: str, owner: str | None) -> None:
    assert Resource.parse(uri).owner == owner


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"), min_size=1)))
def test_a_resource_reads_back_whatever_its_names(names: list[str]) -> None:
    resource = Resource("storage", "local", tuple(name for name in names if name not in (".", "..")))

    assert Resource.parse(str(resource)) == resource
