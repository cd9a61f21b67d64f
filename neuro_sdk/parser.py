"""From what people write to what ``client.jobs`` takes: volumes, variables, images. Makes no request."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from yarl import URL

from neuro_sdk._private import NoPublicConstructor
from neuro_sdk.config import Config
from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.codec import ImageReader, Model
from neuro_sdk.wire.image_names import LocalImage, TagOption, parse_local_image, parse_remote_image
from neuro_sdk.wire.images import RemoteImage, registries_of
from neuro_sdk.wire.jobs import DiskVolume, SecretFile, Volume
from neuro_sdk.wire.names import ENV_NAME
from neuro_sdk.wire.uris import normalize_uri, uri_from_cli

_LONGEST_FILE = 16 * 2**20  # bytes, so that a file without an end has one
_READ_ONLY = {"ro": True, "rw": False}


class EnvParseResult(Model, frozen=True):
    """Variables with their values, and variables that are filled from secrets."""

    env: dict[str, str]
    secret_env: dict[str, URL]


class VolumeParseResult(Model, frozen=True):
    """Mounts, by kind, in the order in which they were first given."""

    volumes: Sequence[Volume]
    secret_files: Sequence[SecretFile]
    disk_volumes: Sequence[DiskVolume]

    def __len__(self) -> int:
        return len(self._as_pair())

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return iter(self._as_pair())

    @overload
    def __getitem__(self, index: int) -> Sequence[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Sequence[Any], ...]: ...

    def __getitem__(self, index: int | slice) -> Sequence[Any]:
        return self._as_pair()[index]

    def _as_pair(self) -> tuple[Sequence[Any], ...]:
        warnings.warn(
            "Using the result of Parser.volumes() as a tuple is deprecated: use its attributes",
            DeprecationWarning,
            stacklevel=3,
        )
        return self.volumes, self.secret_files


class Parser(metaclass=NoPublicConstructor):
    """``client.parse``."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def volume(self, volume: str) -> Volume:
        """Read ``storage:PATH:/MOUNT[:ro|:rw]``."""
        uri, path, read_only = self._mount(volume, "storage")
        return Volume(storage_uri=uri, container_path=path, read_only=read_only)

    def volumes(self, volume: Sequence[str]) -> VolumeParseResult:
        """Read mounts of all kinds: ``storage:``, ``secret:``, ``disk:``; one given twice counts once."""
        volumes: dict[Volume, None] = {}
        secrets: dict[SecretFile, None] = {}
        disks: dict[DiskVolume, None] = {}
        for text in volume:
            if text in ("HOME", "ALL"):
                raise IllegalArgumentError(
                    f"--volume={text} no longer exists: name what to mount, such as storage::/mnt/storage:rw"
                )
            if text.startswith("secret:"):
                uri, path, _ = self._mount(text, "secret", has_mode=False)
                secrets[SecretFile(secret_uri=uri, container_path=path)] = None
            elif text.startswith("disk:"):
                uri, path, read_only = self._mount(text, "disk")
                disks[DiskVolume(disk_uri=uri, container_path=path, read_only=read_only)] = None
            else:
                volumes[self.volume(text)] = None
        return VolumeParseResult(tuple(volumes), tuple(secrets), tuple(disks))

    def envs(self, env: Sequence[str], env_file: Sequence[str] = ()) -> EnvParseResult:
        """Read variables, first those of the files; the last definition of a name wins.

        ``NAME=VALUE`` as it stands, a bare ``NAME`` with its value here, ``NAME=secret:KEY`` from a secret. In a file
        empty lines and those that begin with ``#`` do not count.
        """
        plain: dict[str, str] = {}
        secret: dict[str, URL] = {}
        for line, where in [*_lines_of(env_file), *((text, "") for text in env)]:
            name, equals, value = line.partition("=")
            if not name:
                raise IllegalArgumentError(f"{where}A variable has no name in {line!r}: write NAME=VALUE")
            if not ENV_NAME.fullmatch(name) or "\0" in value:
                raise IllegalArgumentError(f"{where}{line!r} is neither NAME=VALUE nor NAME")
            if not equals:
                value = os.environ.get(name, "")
            plain.pop(name, None)
            secret.pop(name, None)
            if value.startswith("secret:"):
                secret[name] = self.uri(value, "secret")
            else:
                plain[name] = value
        return EnvParseResult(plain, secret)

    def env(self, env: Sequence[str], env_file: Sequence[str] = ()) -> tuple[dict[str, str], dict[str, URL]]:
        """The old form of :meth:`envs`."""
        warnings.warn("Parser.env() is deprecated: use Parser.envs()", DeprecationWarning, stacklevel=2)
        result = self.envs(env, env_file)
        return result.env, result.secret_env

    def local_image(self, image: str) -> LocalImage:
        """Read an image of this machine, ``name[:tag]``."""
        return parse_local_image(image)

    def remote_image(self, image: str, *, tag_option: TagOption = TagOption.DEFAULT) -> RemoteImage:
        """Read an image that the platform can start: ``image:`` URI, Docker reference, ``host``."""
        return parse_remote_image(
            image,
            user=self._config.username,
            cluster=self._config.cluster_name,
            registries={
                name: registry
                for name, cluster in self._config.clusters.items()
                for registry in registries_of([cluster])
            },
            tag_option=tag_option,
        )

    def uri(self, uri: URL | str, *schemes: str) -> URL:
        """The full form of a URI: with cluster and user. A wrong scheme is a ``ValueError``."""
        allowed = {"schemes": schemes} if schemes else {}
        return normalize_uri(uri, user=self._config.username, cluster=self._config.cluster_name, **allowed)

    def uri_or_path(self, text: str, *schemes: str) -> URL:
        """Like :meth:`uri`; text without a scheme is a path of this machine, ``~`` is the home folder."""
        return uri_from_cli(
            text,
            self._config.username,
            self._config.cluster_name,
            allowed_schemes=schemes or ("file", "storage"),
        )

    def image_reader(self) -> ImageReader:
        """Reads references as the platform sends them; never fails (an odd one is ``INVALID-IMAGE-NAME``)."""
        current = self._config.cluster_name  # last, so that it wins where clusters share a registry
        clusters = sorted(self._config.clusters.values(), key=lambda cluster: cluster.name == current)
        return partial(RemoteImage.from_docker, registries=registries_of(clusters))

    def _mount(self, text: str, scheme: str, *, has_mode: bool = True) -> tuple[URL, str, bool]:
        parts = text.split(":")
        if len(parts) not in ((3, 4) if has_mode else (3,)):
            mode = "[:ro|:rw]" if has_mode else ""
            raise IllegalArgumentError(
                f"Invalid volume specification {text!r}: write {scheme}:WHAT:/WHERE{mode}; a colon inside is %3A"
            )
        read_only = False
        if len(parts) == 4:
            if parts[3] not in _READ_ONLY:
                raise IllegalArgumentError(f"Wrong ReadWrite/ReadOnly mode spec {parts[3]!r} in {text!r}: ro or rw")
            read_only = _READ_ONLY[parts[3]]
        return self.uri(":".join(parts[:2]), scheme), parts[2], read_only


def _lines_of(files: Iterable[str]) -> list[tuple[str, str]]:
    """Lines with a variable, and how to begin a complaint about each."""
    lines: list[tuple[str, str]] = []
    for name in files:
        try:
            with Path(name).open("rb") as file:
                data = file.read(_LONGEST_FILE + 1)
            if len(data) > _LONGEST_FILE:
                raise IllegalArgumentError(
                    f"Cannot read the file of variables {name}: it has more than {_LONGEST_FILE >> 20} MiB"
                )
            text = data.decode("utf-8-sig")
        except OSError as exc:
            raise IllegalArgumentError(f"Cannot read the file of variables {name}: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise IllegalArgumentError(f"Cannot read the file of variables {name}: it is not UTF-8") from exc
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
            if (line := line.lstrip()) and not line.startswith("#"):
                lines.append((line, f"{name}, line {number}: "))
    return lines
