"""Resource URIs: from what people write to the one form that is sent (SDK reference, chapter 8; API v1, chapter 2).

``storage: image: job: secret: disk:`` are ``scheme://<cluster>/<user>/<rest>``, ``blob:`` is
``blob://<cluster>/<bucket>/<key>``. Percent-escapes and trailing slashes stay as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from yarl import URL

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.names import is_utf8

CLUSTER_SCHEMES: Final = ("storage", "image", "job", "secret", "disk", "blob")

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_HOST: Final = re.compile(r"[a-z0-9](-?[a-z0-9])*")
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f]")


class Resource(NamedTuple):
    """A full URI taken apart, for permissions: it stands for the thing that it names, and for all below it.

    ``str()`` is the one form in which it is stored and compared: no trailing slash, escapes only where they must be.
    """

    scheme: str
    host: str  # the cluster; of a role the user whose it is
    path: tuple[str, ...] = ()  # decoded; but for roles and buckets the first segment is the user

    @classmethod
    def parse(cls, text: str) -> Resource:
        """Read a full URI; raise :class:`IllegalArgumentError` saying what is wrong with it."""
        scheme, rest = split_scheme(text)
        _check_plain(text)
        host, _, path = rest.removeprefix("//").partition("/")
        if not rest.startswith("//") or not _HOST.fullmatch(host) or not is_utf8(text):
            raise IllegalArgumentError(f"{text!r} is not a full URI, such as job://CLUSTER/USER/NAME")
        segments = tuple(unquote(segment) for segment in path.rstrip("/").split("/")) if path.strip("/") else ()
        # encoded slashes and dots would be a second spelling of another path
        if any(name in ("", ".", "..") or "/" in name or _UNFIT.search(name) for name in segments):
            raise IllegalArgumentError(
                f"The path of {text!r} has an empty part, '.' or '..', or a character unfit for it"
            )
        return cls(scheme, host, segments)

    @property
    def owner(self) -> str | None:
        """The user whose it is; ``None`` when it is not of one user."""
        if self.scheme == "role":
            return self.host
        return self.path[0] if self.path and self.scheme != "blob" else None

    @property
    def covering(self) -> list[str]:
        """The URIs whose permissions are good for this one: its own, and of all that it lies in."""
        return [str(self._replace(path=self.path[:depth])) for depth in range(len(self.path) + 1)]

    def covers(self, other: Resource) -> bool:
        """Whether the other is this one or lies in it."""
        return self[:2] == other[:2] and other.path[: len(self.path)] == self.path

    def __str__(self) -> str:
        return "/".join((f"{self.scheme}://{self.host}", *(quote(name, safe="!$&'()*+,;=:@") for name in self.path)))


def normalize_uri(uri: URL | str, *, user: str, cluster: str, schemes: Collection[str] = CLUSTER_SCHEMES) -> URL:
    """The full form of a URI; what has a cluster keeps it. Doing it twice changes nothing."""
    text = uri if isinstance(uri, str) else _written(uri)
    scheme, rest = split_scheme(text)
    _check_scheme(text, scheme, schemes)
    _check_plain(text)
    if scheme == "file":
        return _normalize_file(text, rest)
    url = _parse(text)
    if scheme not in CLUSTER_SCHEMES:
        if not url.raw_host:
            raise IllegalArgumentError(f"Absolute URI required, such as {scheme}://…: {text!r}")
        return url
    host, path = url.raw_host, url.raw_path
    if (host or path.lstrip("/")).startswith("~"):
        raise IllegalArgumentError(f"Cannot expand user in {text!r}: write the user's name")
    if scheme == "blob":
        if not path.strip("/") and not host:
            raise IllegalArgumentError(f"A bucket is missing in {text!r}")
        if host:
            return url
        return _build(scheme, cluster, path.lstrip("/"))
    if host:
        return url
    if path.startswith("/"):
        return _build(scheme, cluster, path.lstrip("/"))
    path = re.sub(r"^(\./+)+", "", path)
    return _build(scheme, cluster, f"{quote(user)}/{path}" if path not in ("", ".") else quote(user))


def uri_from_cli(text: str, user: str, cluster: str, *, allowed_schemes: Collection[str] = ("file", "storage")) -> URL:
    """Read what was typed: as :func:`normalize_uri`, but text without a scheme is a local path where one may be.

    A leading ``~`` of such a path is the home folder, and ``256`` is a file name, not a port.
    """
    if "file" in allowed_schemes and _SCHEME.match(text) is None:
        return _file_uri(os.path.expanduser(text))  # noqa: PTH111
    return normalize_uri(text, user=user, cluster=cluster, schemes=allowed_schemes)


def local_uri(path: Path) -> URL:
    """A path of this machine as a ``file:`` URI, absolute; a trailing slash is not kept."""
    return _file_uri(str(path))


def path_of(uri: URL) -> Path:
    """The path that a normalized ``file:`` URI means."""
    return Path(unquote(uri.raw_path))


def split_scheme(text: str) -> tuple[str, str]:
    """The scheme in lower case and what follows it; an error when there is none."""
    found = _SCHEME.match(text)
    if found is None:
        raise IllegalArgumentError(f"A scheme is missing in {text!r}, such as {' or '.join(CLUSTER_SCHEMES[:2])}:")
    return found.group().lower(), text[found.end() + 1 :]


def _written(url: URL) -> str:
    """As it was written: ``str()`` of yarl makes a relative ``file:`` path absolute."""
    return f"file:{url.raw_path}" if url.scheme == "file" and not url.raw_host else str(url)


def _check_scheme(text: str, scheme: str, schemes: Collection[str]) -> None:
    if scheme in schemes or (schemes is CLUSTER_SCHEMES and scheme != "file"):
        return
    raise IllegalArgumentError(
        f"Unsupported scheme {scheme + ':'!r} in {text!r}: use {', '.join(name + ':' for name in schemes)}"
    )


def _check_plain(text: str) -> None:
    if "?" in text or "#" in text:
        raise IllegalArgumentError(f"A query or a fragment is not allowed in {text!r}: write %3F for ?, %23 for #")


def _parse(text: str) -> URL:
    try:
        url = URL(text)
        unfit = url.raw_user is not None or url.raw_password is not None or url.explicit_port is not None
    except ValueError as exc:
        raise IllegalArgumentError(f"{text!r} is not a URI: {exc}") from exc
    authority = re.match(r"[^:]*://([^/]*)", text)
    if unfit or (authority is not None and re.search(r"[@:]", authority[1])):
        raise IllegalArgumentError(f"User, password and port are not allowed in {text!r}")
    return url


def _normalize_file(text: str, rest: str) -> URL:
    found = re.match(r"//([^/]*)", rest)
    if found is not None:
        if found[1]:
            raise IllegalArgumentError(f"A host is not allowed in {text!r}: a file is on this machine")
        rest = rest[2:]
    if rest.startswith("~"):
        raise IllegalArgumentError(f"Cannot expand user in {text!r}: write the path without file:")
    return _file_uri(unquote(rest))


def _file_uri(path: str) -> URL:
    trail = "/" if path.endswith("/") and path.strip("/") else ""
    absolute = "/" + os.path.abspath(path).lstrip("/")  # noqa: PTH100
    return URL.build(scheme="file", path=quote(absolute + trail), encoded=True)


def _build(scheme: str, cluster: str, path: str) -> URL:
    return URL(
        f"{scheme}://{cluster}/{path}"
    )  # not URL.build, which leaves the dots of ``x/..`` to whoever reads it next
