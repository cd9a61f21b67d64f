"""Passwords are checked by argon2, whether the user exists or not."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from neuro_platform.auth import passwords
from neuro_platform.auth.passwords import Passwords
from neuro_sdk.errors import IllegalArgumentError


async def test_only_the_right_password_fits() -> None:
    ours = Passwords()
    stored = await ours.hash("correct horse")

    assert stored.startswith("$argon2id$")
    assert await ours.check(stored, "correct horse")
    assert not await ours.check(stored, "correct horse ")
    assert not await ours.check(stored, "x" * 5000)


async def test_an_unknown_user_costs_as_much_as_a_wrong_password() -> None:
    ours = Passwords()
    hasher = passwords._hasher()

    with patch.object(type(hasher), "verify", autospec=True, side_effect=type(hasher).verify) as verify:
        assert not await ours.check(None, "nobody's password")

    (_, checked, _) = verify.call_args.args
    assert checked.startswith(f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}$")


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
async def test_a_password_of_unfit_length_is_refused(password: str) -> None:
    with pytest.raises(IllegalArgumentError, match="6 to 1024"):
        await Passwords().hash(password)


async def test_a_damaged_hash_lets_nobody_in() -> None:
    assert not await Passwords().check("no hash at all", "correct horse")
