"""From an engine's report to the end of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuro_platform.services.outcome import tail


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"", ""),
        (b"one", "one"),
        (b"one\n\n", "one"),
        (b"".join(b"%d\n" % n for n in range(10)), "5\n6\n7\n8\n9"),
        (b"\xff\xfe\x00bad\x1b[0m\ttab\r\n", "\ufffd\ufffdbad[0m\ttab"),
        ("é".encode() * 2000, "é" * 500),
        (b"x" * 5000 + b"\nshort\n", "short"),
        (b"x" * 5000 + b"\n", "x" * 999),
    ],
)
def test_the_end_of_a_log_is_readable(tmp_path: Path, log: bytes, words: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(log)

    assert tail(path) == words


def test_no_log_has_no_end(tmp_path: Path) -> None:
    assert tail(tmp_path / "log") == ""
