"""Words to values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from yarl import URL

from neuro_cli import params


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1d2h3m4s", 93784), ("1d", 86400), ("90m", 5400), ("0", 0), ("0s", 0), ("2h5s", 7205), ("1000s", 1000)],
)
def test_duration(text: str, seconds: float) -> None:
    assert params.DURATION.convert(text, None, None) == seconds


WRONG = [
    (params.GIVEN, ["", " "]),
    (params.DURATION, ["", "1", "1y", "-1d", "1h1d", "1.5h", "d", " 1d"]),
    (params.ENV, ["", "=x", "a b=c", "A=\0"]),
    (params.JOB_NAME, ["ab", "Train", "a--b", "-abc", "abc-", "job-abc", "1abc", "a" * 41]),
    (params.JOB, ["", " train", "-x"]),
    (params.IMAGE, ["", "a b"]),
    (params.URL, ["127.0.0.1:8080", "localhost", "ftp://host/", "http://", "http://h:99999/", "x"]),
    (params.SECONDS, ["0", "-1", "soon", "nan", "inf"]),
    (params.COUNT, ["", "-1", "1.5", "many", "9" * 19]),
    (params.MOMENT, ["", "yesterday", "2026-13-01", "1", "999999d", "99999999999d", "0001-01-01"]),
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG for text in texts])
def test_refused(kind: Any, text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


def test_env_keeps_the_text() -> None:
    assert params.ENV.convert("A=b=c", None, None) == "A=b=c"
    assert params.ENV.convert("HOME", None, None) == "HOME"


def test_url() -> None:
    assert params.URL.convert("http://127.0.0.1:8080/api/v1", None, None) == URL("http://127.0.0.1:8080/api/v1")


def test_moment_is_a_date_or_an_age() -> None:
    assert params.MOMENT.convert("2026-01-31T12:00:00+00:00", None, None) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert params.MOMENT.convert("2026-01-31", None, None).tzinfo is not None
    assert params.MOMENT.convert("1d", None, None) == timedelta(days=1)


def test_one_word_is_a_line_and_several_are_the_words() -> None:
    assert params.command_of(("echo $HOME | wc",)) == "echo $HOME | wc"
    assert params.command_of(("echo", "a b", "$HOME")) == ("echo", "a b", "$HOME")
    assert params.command_of(()) is None


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [
        ("16M", 16), ("4G", 4096), ("1T", 1 << 20), ("2048K", 2), ("2048k", 2), ("1K", 1), ("1500kB", 2), ("1048kb", 1),
        ("1049kB", 2), ("16MB", 16), ("17MB", 17), ("1GB", 954), ("1Gb", 954), ("1P", 1 << 30), ("1E", 1 << 40),
    ],
)  # fmt: skip
def test_memory_in_powers_of_1024_and_with_a_b_of_1000_rounded_up(text: str, mebibytes: int) -> None:
    assert params.MEMORY.convert(text, None, None) == mebibytes


@pytest.mark.parametrize("text", ["", "512", "4 G", "-4G", "4g", "1KB", "1.5G", "G", "4GiB", "٤G", "9" * 5000 + "G"])
def test_other_amounts_are_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"512M or 4G .*powers of 1024.*4GB"):
        params.MEMORY.convert(text, None, None)


@pytest.mark.parametrize("text", ["0M", "8E", "999999Y"])
def test_amounts_that_nobody_can_have_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no amount of memory"):
        params.MEMORY.convert(text, None, None)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "two", "1,5"])
def test_cpus_are_a_number_above_0(text: str) -> None:
    assert params.CPUS.convert("0.5", None, None) == 0.5

    with pytest.raises(click.BadParameter, match=r"such as 2 or 0\.5"):
        params.CPUS.convert(text, None, None)


def test_a_time_with_thousands_of_digits_is_none() -> None:
    assert params.parse_duration("9" * 5000 + "d") is None


def test_an_unbalanced_quote_is_found_here() -> None:
    with pytest.raises(click.UsageError, match="quot"):
        params.command_of(("echo 'a",))
