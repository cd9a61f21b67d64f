"""How sizes, times, images and URIs look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from yarl import URL

from neuro_cli.render._style import Style, duration, memory, plain
from neuro_sdk import JobStatus, RemoteImage

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
STYLE = Style(now=NOW, cluster_name="local", username="alice")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (0.4, "now"), (-5, "now"), (5, "5s ago"), (65, "1m ago"), (3700, "1h1m ago"), (90000, "1d1h ago"),
     (864000, "10d ago")],
)  # fmt: skip
def test_ago(seconds: float, text: str) -> None:
    assert STYLE.ago(NOW - timedelta(seconds=seconds)) == text


def test_iso_times() -> None:
    assert Style(iso_times=True).ago(NOW) == "2026-01-31T12:00:00+00:00"
    assert Style(iso_times=True).time(NOW) == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (3600, "1h"), (93784, "1d2h3m4s"), (86460, "1d1m")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("mebibytes", "text"), [(512, "512M"), (1024, "1G"), (1500, "1500M"), (14720, "14.4G")])
def test_memory(mebibytes: int, text: str) -> None:
    assert memory(mebibytes) == text


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("storage://local/alice/data", "storage:data"),
        ("storage://local/bob/data", "storage:/bob/data"),
        ("storage://other/alice/data", "storage://other/alice/data"),
        ("http://127.0.0.1:4080/", "http://127.0.0.1:4080/"),
    ],
)
def test_uri(uri: str, text: str) -> None:
    assert STYLE.uri(URL(uri)) == text
    assert Style(full_uris=True, cluster_name="local", username="alice").uri(URL(uri)) == uri


OURS = RemoteImage.new_neuro_image("mine", "registry.local", owner="alice", cluster_name="local", tag="v1")


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (RemoteImage("host"), "host"),
        (RemoteImage("host", "latest"), "host"),
        (RemoteImage("host", "v2"), "host:v2"),
        (RemoteImage("ubuntu", "24.04"), "ubuntu:24.04"),
        (OURS, "image:mine:v1"),
    ],
)
def test_image(image: RemoteImage, text: str) -> None:
    assert STYLE.image(image) == text


def test_colours_only_when_wanted() -> None:
    assert STYLE.status(JobStatus.RUNNING) == "running"
    assert Style(color=True).status(JobStatus.RUNNING) == "\x1b[34mrunning\x1b[0m"
    assert Style(color=True).status(JobStatus.UNKNOWN) == "unknown"


def test_text_of_others_cannot_drive_the_terminal() -> None:
    assert plain("a\nb\x1b[2Jc\x07") == "a b�[2Jc�"
