"""What the operator may set: ``platform.toml`` in the data folder, then the environment, then arguments; the last wins.

host = "127.0.0.1"          # where to listen
port = 8080                 # absent: 8080, or on the first start a free one
allowed_hosts = []          # names by which clients may call, besides `host` and the loopback ones
public_url = "https://…"    # how clients reach the platform, when that differs, as behind a proxy
jobs_url = "https://jobs.…" # jobs publish their ports at names below this one, which must all lead here
database_url = "sqlite+aiosqlite:////…/platform.db"   # SQLite, on a disk of this machine

[log]
level = "INFO"
max_mb = 10                 # then a new file is begun; `files` old ones are kept
files = 3

[engines.local]             # the table's name is the cluster's name
kind = "local"
cpu = 4                     # to share out; absent: what the machine has
memory_mb = 8192
gpu = 0
grace = 10.0                # seconds between asking a job to end and forcing it
jobs_per_user = 20          # unfinished ones, others wait or are refused; absent: any number

[[engines.local.presets]]   # in place of those made from the machine; the first is the default
name = "small"
cpu = 0.5
memory_mb = 512
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from yarl import URL

from neuro_sdk.errors import IllegalArgumentError, PlatformError
from neuro_sdk.wire.codec import Model, convert, field, fields, replace
from neuro_sdk.wire.names import CLUSTER_NAME

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
FILE: Final = "platform.toml"


class PresetSettings(Model, frozen=True, forbid_unknown_fields=True):
    """A preset as the operator writes it."""

    name: str
    cpu: float
    memory_mb: int
    gpu: int | None = None
    gpu_model: str | None = None
    credits_per_hour: str = "0"


class EngineSettings(Model, frozen=True, forbid_unknown_fields=True):
    """One engine, that is, one cluster."""

    kind: str = "local"
    cpu: float | None = None
    memory_mb: int | None = None
    gpu: int | None = None
    grace: float = 10.0
    jobs_per_user: int | None = None
    presets: Sequence[PresetSettings] = ()


class LogSettings(Model, frozen=True, forbid_unknown_fields=True):
    """The server's own log."""

    level: str = "INFO"
    max_mb: int = 10
    files: int = 3


class Chosen(Model, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be written in the file."""

    host: str = DEFAULT_HOST
    port: int | None = None  # None: not chosen yet
    allowed_hosts: Sequence[str] = ()
    public_url: str | None = None
    jobs_url: str | None = None
    database_url: str | None = None
    log: LogSettings = field(default_factory=LogSettings)
    engines: Mapping[str, EngineSettings] = field(default_factory=lambda: {"local": EngineSettings()})


class Settings(Chosen, frozen=True, kw_only=True):
    """All settings of one server."""

    data: Path

    @property
    def base_url(self) -> URL:
        """How clients reach the platform, without the API's path."""
        if self.public_url is not None:
            return URL(self.public_url)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  (not a bind)
        return URL.build(scheme="http", host=host, port=self.port or DEFAULT_PORT)

    @property
    def published_url(self) -> URL | None:
        """Below this name jobs publish their ports; None where there is none that would lead here.

        On loopback that is `localhost`: browsers and curl resolve every name below it by themselves, and take each for
        a site of its own.
        """
        if self.jobs_url is not None:
            return URL(self.jobs_url)
        return self.base_url.with_host("localhost").origin() if self.base_url.host in LOOPBACK else None

    @property
    def keys(self) -> Path:
        """Where the secrets that sign tokens are."""
        return self.data / "keys"

    @property
    def jobs(self) -> Path:
        """Where jobs leave their output."""
        return self.data / "jobs"

    @property
    def server_log(self) -> Path:
        """What the server has to say to its operator."""
        return self.data / "server.log"


def load_settings(
    data: Path, *, environ: Mapping[str, str] = os.environ, host: str | None = None, port: int | None = None
) -> Settings:
    """Gather the settings for a data folder; PlatformError naming the file and the member that is wrong."""
    values = {**_from_file(data / FILE), **_from_environment(environ)}
    try:
        chosen = convert(values, Chosen)
    except IllegalArgumentError as exc:
        raise PlatformError(f"Cannot use the settings in {data / FILE}: {exc}") from exc
    settings = Settings(data=data, **{member.name: getattr(chosen, member.name) for member in fields(Chosen)})
    if host is not None:
        settings = replace(settings, host=host)
    if port is not None:
        settings = replace(settings, port=port)
    _check(settings)
    return settings


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PlatformError(f"Cannot read the settings in {path}: {exc}") from exc


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in ("host", "database_url", "public_url", "jobs_url"):
        if value := environ.get(f"NEURO_PLATFORM_{name.upper()}"):
            values[name] = value
    if hosts := environ.get("NEURO_PLATFORM_ALLOWED_HOSTS"):
        values["allowed_hosts"] = [host.strip() for host in hosts.split(",") if host.strip()]
    if port := environ.get("NEURO_PLATFORM_PORT"):
        if not (port.isascii() and port.isdigit()):
            raise PlatformError(f"NEURO_PLATFORM_PORT must be a port number, not {port!r}")
        values["port"] = int(port)
    return values


def _check(settings: Settings) -> None:
    if settings.port is not None and not 0 <= settings.port <= 65535:
        raise PlatformError(f"The port must be between 0 and 65535, not {settings.port}")
    if settings.public_url is not None and not _is_address(settings.public_url):
        raise PlatformError(
            f"The public_url must be an address such as https://neuro.example, not {settings.public_url!r}"
        )
    if settings.jobs_url is not None:
        _check_jobs_url(settings.jobs_url, settings)
    if not settings.engines:
        raise PlatformError(f"{settings.data / FILE} names no engine: at least one is needed")
    for name, engine in settings.engines.items():
        try:
            CLUSTER_NAME.check(name)
        except IllegalArgumentError as exc:
            raise PlatformError(f"{settings.data / FILE}: {exc}") from exc
        if problem := _problem_of(engine):
            raise PlatformError(f"{settings.data / FILE}: the engine {name!r} {problem}")


def _check_jobs_url(text: str, settings: Settings) -> None:
    url = URL(text) if _is_address(text) else None
    if url is None or url.host is None or url.path_qs not in ("", "/") or _is_ip(url.host):
        raise PlatformError(f"The jobs_url must be an address such as https://jobs.neuro.example, not {text!r}")
    for name in (*settings.allowed_hosts, settings.host, settings.base_url.host or ""):
        if name.lower().endswith(f".{url.host}"):
            raise PlatformError(
                f"The platform's own name {name!r} is below the jobs_url {text!r}, where the names of jobs are: choose"
                " another one for jobs"
            )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        url = URL(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _problem_of(engine: EngineSettings) -> str | None:
    names = [preset.name for preset in engine.presets]
    if len(set(names)) != len(names):
        return "has two presets with the same name"
    if engine.jobs_per_user is not None and engine.jobs_per_user < 1:
        return "has jobs_per_user that is not above 0"
    amounts: list[EngineSettings | PresetSettings] = [engine, *engine.presets]
    if any(amount is not None and not amount > 0 for has in amounts for amount in (has.cpu, has.memory_mb)):
        return "or a preset of it has a cpu or memory_mb that is not above 0"
    if any(amount is not None and not amount >= 0 for amount in (engine.grace, *(has.gpu for has in amounts))):
        return "or a preset of it has a grace or gpu that is below 0"
    for preset in engine.presets:
        try:
            Decimal(preset.credits_per_hour)
        except InvalidOperation:
            return f"has a preset with credits_per_hour = {preset.credits_per_hour!r}, which is no number"
    return None
