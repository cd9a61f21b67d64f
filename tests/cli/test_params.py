"""Words to values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    now = datetime.now(UTC)

    assert params.MOMENT.convert("2026-01-31T12:00:00+00:00", None, None) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert params.MOMENT.convert("2026-01-31", None, None).tzinfo is not None
    assert now - params.MOMENT.convert("1d", None, None) < timedelta(days=1, seconds=60)


def test_one_word_is_sent_as_it_is_and_several_are_quoted() -> None:
    assert params.command_line(("echo $HOME | wc",)) == "echo $HOME | wc"
    assert params.command_line(("echo", "a b", "$HOME")) == "echo 'a b' '$HOME'"
    assert params.command_line(()) is None


def test_an_unbalanced_quote_is_found_here() -> None:
    with pytest.raises(click.UsageError, match="quot"):
        params.command_line(("echo 'a",))


@given(st.lists(st.text(min_size=1), min_size=2))
def test_several_words_come_back_as_they_were(words: list[str]) -> None:
    import shlex

    assert shlex.split(params.command_line(tuple(words)) or "") == words
