"""Names: what is allowed, and that a refusal says the rule."""

from __future__ import annotations

import pytest

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.names import JOB_NAME, TAG, USER_NAME, is_job_id


@pytest.mark.parametrize("name", ["abc", "a-b", "train-17", "a" * 40])
def test_job_names(name: str) -> None:
    assert JOB_NAME.check(name) == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 41, "Train", "1ab", "a--b", "-ab", "ab-", "a_b", "job-x1", "abc\n"])
def test_bad_job_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(IllegalArgumentError, match="lowercase letters") as caught:
        JOB_NAME.check(name)

    assert repr(name) in str(caught.value)


def test_user_names_may_begin_with_a_digit() -> None:
    assert USER_NAME.check("7of9") == "7of9"


def test_tags_have_no_blanks() -> None:
    assert TAG.check("run:17") == "run:17"
    with pytest.raises(IllegalArgumentError):
        TAG.check("a b")


def test_job_ids() -> None:
    assert is_job_id("job-1f6b2a10-0c5e-4a55-8b66-0d9f1c7f2a77")
    assert not is_job_id("job-1")
