"""How a size, a time, a status, an image or a URI looks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from yarl import URL

    from neuro_sdk import JobStatus, RemoteImage

_COLORS: Final = {
    "pending": "36",
    "suspended": "35",
    "running": "34",
    "succeeded": "32",
    "failed": "31",
    "cancelled": "33",
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Style:
    """What the user chose about looks, and whose point of view short names take."""

    color: bool = False
    iso_times: bool = False
    full_uris: bool = False
    cluster_name: str = ""
    username: str = ""
    now: datetime | None = None  # for tests: pictures that do not age

    def status(self, status: JobStatus) -> str:
        return self.paint(status.value, _COLORS.get(status.value))

    def paint(self, text: str, code: str | None) -> str:
        """The text in a colour (SGR parameters), when there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text

    def bold(self, text: str) -> str:
        return self.paint(text, "1")

    def dim(self, text: str) -> str:
        return self.paint(text, "2")

    def time(self, time: datetime | None) -> str:
        """A point in time."""
        if time is None:
            return ""
        if self.iso_times:
            return time.isoformat()
        return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    def ago(self, time: datetime | None) -> str:
        """A point in time as the distance from now, with the one or two units that matter."""
        if time is None or self.iso_times:
            return self.time(time)
        seconds = int(((self.now or datetime.now(UTC)) - time).total_seconds())
        if seconds < 1:
            return "now"
        return duration(seconds, units=1 if seconds < 600 or seconds >= 864000 else 2) + " ago"

    def uri(self, uri: URL) -> str:
        """A resource; short when it is on this cluster and of this user."""
        text = str(uri)
        if self.full_uris or not uri.scheme or uri.scheme == "role":  # which has no short form
            return text
        if text == f"{uri.scheme}://{self.cluster_name}/{self.username}":
            return f"{uri.scheme}:"
        for own, short in (
            (f"{uri.scheme}://{self.cluster_name}/{self.username}/", f"{uri.scheme}:"),
            (f"{uri.scheme}://{self.cluster_name}/", f"{uri.scheme}:/"),
        ):
            if text.startswith(own):
                return short + text.removeprefix(own)
        return text

    def image(self, image: RemoteImage) -> str:
        """An image; ``host`` for no container, whatever tag the platform put behind it."""
        if image.registry is None and image.name == "host" and image.tag in (None, "latest"):
            return "host"
        text = str(image)
        for own, short in (
            (f"image://{self.cluster_name}/{self.username}/", "image:"),
            (f"image://{self.cluster_name}/", "image:/"),
        ):
            if not self.full_uris and text.startswith(own):
                return short + text.removeprefix(own)
        return text


def duration(seconds: float, *, units: int = 4) -> str:
    """``1d2h3m4s``, from the largest unit down, as many of them as wanted; parts that are 0 are left out."""
    parts = []
    left = int(seconds)
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append(f"{count}{name}" if count else "")
    while len(parts) > 1 and not parts[0]:
        del parts[0]
    return "".join(parts[:units]) or "0s"


def memory(mebibytes: int) -> str:
    """``512M``, ``4G``: powers of 1024."""
    if mebibytes >= 1024 and mebibytes % 1024 == 0:
        return f"{mebibytes // 1024}G"
    return f"{mebibytes}M" if mebibytes < 10240 else f"{mebibytes / 1024:.1f}G"


def amount(mebibytes: float) -> str:
    """A measured amount of memory with two or three digits: ``9.5M``, ``412M``, ``1.2G``."""
    size, units = mebibytes * 1024, "KMGTPE"
    at = 0
    while at < len(units) - 1 and size >= 999.5:
        size, at = size / 1024, at + 1
    return f"{size:.1f}{units[at]}" if size < 9.95 and at else f"{size:.0f}{units[at]}"


def plain(text: str) -> str:
    """Text of others on one line, without anything that a terminal would obey."""
    return _CONTROL.sub(lambda match: " " if match[0] in "\n\t\r" else "�", text)
