"""The grammar of chapter 12.5 of the SDK reference, and the forms of 12.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.image_names import LocalImage, TagOption, parse_local_image, parse_remote_image
from neuro_sdk.wire.images import RemoteImage

REGISTRIES = {"default": "reg.example:5000", "other": "reg-other.example"}


def parse(text: str, tag_option: TagOption = TagOption.DEFAULT) -> RemoteImage:
    return parse_remote_image(text, user="user", cluster="default", registries=REGISTRIES, tag_option=tag_option)


def ours(name: str, tag: str | None = "latest", owner: str = "user", cluster: str = "default") -> RemoteImage:
    return RemoteImage.new_neuro_image(name, REGISTRIES[cluster], owner=owner, cluster_name=cluster, tag=tag)


def external(name: str, tag: str | None = "latest", registry: str | None = None) -> RemoteImage:
    return RemoteImage.new_external_image(name, registry, tag=tag)


TABLE = {
    "ubuntu": external("ubuntu"),
    "ubuntu:18.04": external("ubuntu", "18.04"),
    "library/ubuntu": external("library/ubuntu"),
    "gcr.io/x/y:z": external("gcr.io/x/y", "z"),
    "localhost:5000/x:y": external("x", "y", "localhost:5000"),
    "localhost:5000/a/b": external("a/b", "latest", "localhost:5000"),
    "host": external("host", None),
    "image:name": ours("name"),
    "image:dir/name:tag": ours("dir/name", "tag"),
    "image:/bob/name": ours("name", owner="bob"),
    "image:///bob/name": ours("name", owner="bob"),
    "image:////bob/name": ours("name", owner="bob"),
    "image://other/bob/dir/name:tag": ours("dir/name", "tag", "bob", "other"),
    "image:5000": ours("5000"),
    "image:latest:v1": ours("latest", "v1"),
    "image:name%23x:a%20b": ours("name#x", "a b"),
    "reg.example:5000/bob/name:tag": ours("name", "tag", "bob"),
    "reg-other.example/bob/dir/name": ours("dir/name", "latest", "bob", "other"),
}


@pytest.mark.parametrize(("text", "image"), TABLE.items())
def test_what_an_image_means(text: str, image: RemoteImage) -> None:
    assert parse(text) == image


@pytest.mark.parametrize(("text", "image"), TABLE.items())
def test_what_is_shown_means_the_same(text: str, image: RemoteImage) -> None:
    assert parse(str(image)) == image


@given(st.text(st.characters(blacklist_characters="/:", blacklist_categories=("Cs", "Cc", "Z")), min_size=1))
def test_any_name_comes_back(name: str) -> None:
    image = ours(f"x{name}", "v1", "bob")

    assert parse(str(image)) == image


WRONG = {
    "image:latest": "ambiguous",
    "image:///name": "no image name specified",
    "image://other/name": "no image name specified",
    "image://other/bob/": "no image name specified",
    "image:": "no image name specified",
    "reg.example:5000/name": "no image name specified",
    "": "empty string",
    "-x": "cannot start with dash",
    "name:": "empty tag",
    ":tag": "no image name",
    "a:b:c": "too many tags",
    "a:b/c": "invalid tag",
    "image:a:b:c": "too many tags",
    "image:a:b/c": "invalid tag",
    "image:a?": "query or a fragment",
    "image:a#b": "query or a fragment",
    "image://u@other/bob/a": "User, password and port",
    "image://other:5000/bob/a": "User, password and port",
    "two words": "blanks are not allowed",
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.items())
def test_what_is_no_image(text: str, sentence: str) -> None:
    with pytest.raises(IllegalArgumentError, match=f"^Invalid remote image '.*': .*{sentence}"):
        parse(text)


def test_an_image_of_an_unknown_cluster_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="cluster 'unknown' is not available"):
        parse("image://unknown/bob/name")


def test_clusters_may_share_a_registry() -> None:
    shared = {"slurm": "reg:80", "default": "reg:80"}

    images = [
        parse_remote_image(text, user="user", cluster="default", registries=shared)
        for text in ("reg:80/bob/x", "image:x", "image://slurm/bob/x")
    ]

    assert [image.cluster_name for image in images] == ["default", "default", "slurm"]


@pytest.mark.parametrize(
    ("text", "option", "tag"),
    [
        ("image:x", TagOption.ALLOW, None),
        ("image:x:v1", TagOption.ALLOW, "v1"),
        ("image:x", TagOption.DENY, None),
        ("image:x", TagOption.DEFAULT, "latest"),
        ("ubuntu", TagOption.ALLOW, "latest"),
        ("ubuntu:v1", TagOption.DENY, "v1"),
    ],
)
def test_the_tag_is_as_asked(text: str, option: TagOption, tag: str | None) -> None:
    assert parse(text, option).tag == tag


def test_a_tag_may_be_denied() -> None:
    with pytest.raises(ValueError, match="tag is not allowed"):
        parse("image:x:v1", TagOption.DENY)


def test_local_images() -> None:
    assert parse_local_image("name") == LocalImage("name", "latest")
    assert parse_local_image("dir/name:v1") == LocalImage("dir/name", "v1")
    assert (str(LocalImage("name")), str(LocalImage("name", "v1"))) == ("name", "name:v1")


@pytest.mark.parametrize("text", ["image:x", "", "a:b:c"])
def test_what_is_no_local_image(text: str) -> None:
    with pytest.raises(ValueError, match=r"^Invalid local image '"):
        parse_local_image(text)


def test_how_docker_writes_it() -> None:
    assert ours("a b", "v1", "bob").as_docker_url() == "reg.example:5000/bob/a b:v1"
    assert ours("x").as_docker_url(with_scheme=True) == "https://reg.example:5000/user/x:latest"
    assert external("x", "y", "localhost:5000").as_docker_url() == "localhost:5000/x:y"
    assert str(ours("a b", "v1", "bob")) == "image://default/bob/a%20b:v1"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"owner": "bob", "cluster_name": "c"}, "required registry"),
        ({"owner": "bob", "registry": "r"}, "required cluster name"),
        ({"cluster_name": "c", "registry": "r"}, "required owner"),
    ],
)
def test_an_image_is_all_ours_or_not_at_all(members: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RemoteImage("x", **members)
