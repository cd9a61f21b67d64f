"""Settings from the file, the environment and arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from neuro_platform.daemon import data_folder
from neuro_platform.settings import Settings, load_settings
from neuro_sdk.errors import PlatformError


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "platform.toml").write_text(text)
    return tmp_path


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})

    assert (settings.host, settings.port, list(settings.engines)) == ("127.0.0.1", None, ["local"])
    assert str(settings.base_url) == "http://127.0.0.1:8080"


def test_arguments_win_over_the_environment_over_the_file(tmp_path: Path) -> None:
    written(tmp_path, 'host = "a"\nport = 1\ndatabase_url = "sqlite+aiosqlite:///x"\nallowed_hosts = ["one"]')
    environ = {"NEURO_PLATFORM_HOST": "b", "NEURO_PLATFORM_PORT": "2", "NEURO_PLATFORM_ALLOWED_HOSTS": "two, three,"}

    from_file = load_settings(tmp_path, environ={})
    from_environment = load_settings(tmp_path, environ=environ)
    from_arguments = load_settings(tmp_path, environ=environ, host="c", port=3)

    assert (from_file.host, from_file.port, list(from_file.allowed_hosts)) == ("a", 1, ["one"])
    assert (from_environment.host, from_environment.port) == ("b", 2)
    assert list(from_environment.allowed_hosts) == ["two", "three"]
    assert from_environment.database_url == "sqlite+aiosqlite:///x"
    assert (from_arguments.host, from_arguments.port) == ("c", 3)


def test_engines_and_their_presets(tmp_path: Path) -> None:
    written(
        tmp_path,
        """
        [engines.big]
        cpu = 4.5
        grace = 2
        jobs_per_user = 3
        [[engines.big.presets]]
        name = "small"
        cpu = 0.5
        memory_mb = 64
        """,
    )

    engine = load_settings(tmp_path, environ={}).engines["big"]

    assert (engine.kind, engine.cpu, engine.memory_mb, engine.grace, engine.jobs_per_user) == ("local", 4.5, None, 2, 3)
    assert [(preset.name, preset.memory_mb) for preset in engine.presets] == [("small", 64)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = ", "Cannot read the settings"),
        ('port = "x"', r"Expected `int.*\$\.port"),
        ("prot = 1", "unknown field `prot`"),
        ("port = 70000", "between 0 and 65535"),
        ("[engines]", "names no engine"),
        ("[engines.X]", "Invalid cluster name 'X'"),
        ("[engines.abc]\ncpus = 1", "unknown field `cpus`"),
        ('[[engines.abc.presets]]\nname="a"\ncpu=1\nmemory_mb=1\n[[engines.abc.presets]]\nname="a"\ncpu=1\nmemory_mb=1',
         "same name"),
        ('[[engines.abc.presets]]\nname="a"\ncpu=0\nmemory_mb=1', "not above 0"),
        ('[[engines.abc.presets]]\nname="a"\ncpu=1\nmemory_mb=1\ngpu=-1', "below 0"),
        ('[[engines.abc.presets]]\nname="a"\ncpu=1\nmemory_mb=1\ncredits_per_hour="x"', "credits_per_hour = 'x'"),
        ("[engines.abc]\nmemory_mb = 0", "not above 0"),
        ("[engines.abc]\ngrace = -1.0", "below 0"),
        ('public_url = "neuro.example"', "must be an address"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    written(tmp_path, text)

    with pytest.raises(PlatformError, match=sentence) as caught:
        load_settings(tmp_path, environ={})

    assert "\n" not in str(caught.value)
    assert any(place in str(caught.value) for place in ("platform.toml", "port", "public_url"))


def test_a_port_in_the_environment_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="NEURO_PLATFORM_PORT"):
        load_settings(tmp_path, environ={"NEURO_PLATFORM_PORT": "http"})


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("0.0.0.0", "http://127.0.0.1:81"),
        ("::", "http://[::1]:81"),
        ("::1", "http://[::1]:81"),
        ("box.example", "http://box.example:81"),
    ],
)
def test_clients_are_told_an_address_that_they_can_reach(tmp_path: Path, host: str, base: str) -> None:
    assert str(load_settings(tmp_path, environ={}, host=host, port=81).base_url) == base


def test_behind_a_proxy_clients_are_told_its_address(tmp_path: Path) -> None:
    environ = {"NEURO_PLATFORM_PUBLIC_URL": "https://neuro.example/"}

    assert str(load_settings(tmp_path, environ=environ, port=81).base_url) == "https://neuro.example/"


def test_the_data_folder(tmp_path: Path) -> None:
    assert data_folder({"NEURO_PLATFORM_DATA": str(tmp_path)}) == tmp_path
    assert data_folder({"XDG_DATA_HOME": str(tmp_path)}).parent in (
        tmp_path,
        Path.home() / "Library/Application Support",
    )


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://localhost:8080"),
        ({"host": "::1"}, "http://localhost:8080"),
        ({"host": "0.0.0.0"}, "http://localhost:8080"),
        ({"host": "gpu-box"}, None),
        ({"public_url": "https://neuro.example"}, None),
        ({"public_url": "http://localhost:9000"}, "http://localhost:9000"),
        ({"public_url": "https://neuro.example", "jobs_url": "https://jobs.example"}, "https://jobs.example"),
    ],
)
def test_jobs_publish_below_a_name_that_leads_here(tmp_path: Path, settings: dict[str, str], url: str | None) -> None:
    published = Settings(data=tmp_path, **settings).published_url

    assert published == (None if url is None else URL(url))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("jobs.example", "must be an address"),
        ("ftp://jobs.example", "must be an address"),
        ("https://192.0.2.1", "must be an address"),
        ("https://jobs.example/path", "must be an address"),
        ("https://example", "neuro.example' is below"),
        ("https://lab", "a.lab' is below"),
    ],
)
def test_a_name_for_jobs_must_be_one_of_its_own(tmp_path: Path, url: str, words: str) -> None:
    environ = {
        "NEURO_PLATFORM_JOBS_URL": url,
        "NEURO_PLATFORM_PUBLIC_URL": "https://neuro.example",
        "NEURO_PLATFORM_ALLOWED_HOSTS": "a.lab",
    }
    with pytest.raises(PlatformError, match=words):
        load_settings(tmp_path, environ=environ)
