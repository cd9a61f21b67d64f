"""Users and tokens: who may come in, until when, and that an end is an end at once."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.auth.oauth import OAuthError
from neuro_platform.auth.service import Auth, User, fit_user_name
from neuro_platform.store.database import Database, sqlite_url
from neuro_sdk.errors import AuthenticationError, Conflict, IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.names import USER_NAME
from tests.platform.auth.door import PASSWORD, Clock, add_alice, open_auth

ALICE = User("alice")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(tmp_path: Path, clock: Clock) -> AsyncIterator[Auth]:
    async with open_auth(tmp_path, clock) as auth:
        await add_alice(auth)
        yield auth


def _local_key(data: Path) -> str:
    return (data / "local.key").read_text()


async def test_the_local_key_logs_in_the_account_that_runs_the_platform(auth: Auth, tmp_path: Path) -> None:
    grant = await auth.local_grant(_local_key(tmp_path) + "\n")

    user = await auth.authenticate(grant.access_token)
    assert user.name == fit_user_name(pwd.getpwuid(os.geteuid()).pw_name)
    assert user == await auth.local_user()
    assert stat.S_IMODE((tmp_path / "local.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["", "wrong", "x" * 43, "ü", "\udcff"])
async def test_another_key_logs_nobody_in(auth: Auth, key: str) -> None:
    with pytest.raises(OAuthError, match="local key"):
        await auth.local_grant(key)

    assert await auth.users() == [ALICE]


@given(st.text())
def test_any_account_name_becomes_a_user_name(account: str) -> None:
    assert USER_NAME.check(fit_user_name(account))


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("alice", "alice"),
        ("Alice.Smith", "alice-smith"),
        ("me", "me-user"),
        ("", "user"),
        ("_apt", "apt"),
        ("DOMAIN\\someone-with-a-long-name", "domain-someone-with-a"),
    ],
)
def test_an_account_name_stays_recognisable(account: str, name: str) -> None:
    assert fit_user_name(account) == name


async def test_an_expired_token_says_so(auth: Auth, clock: Clock) -> None:
    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))

    assert await auth.authenticate(token) == ALICE
    clock.advance(days=1)
    with pytest.raises(AuthenticationError, match="expired on 2026-05-05 12:00 UTC: run `neuro login`"):
        await auth.authenticate(token)


async def test_a_revoked_token_is_refused_at_once(auth: Auth, clock: Clock) -> None:
    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))
    assert await auth.authenticate(token) == ALICE
    (listed,) = await auth.tokens(ALICE)
    assert (listed.name, listed.user, listed.expires_at) == ("ci", "alice", clock.now + timedelta(days=1))

    await auth.revoke_token(listed.id)

    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(token)
    assert await auth.tokens() == []
    with pytest.raises(ResourceNotFound, match=listed.id):
        await auth.revoke_token(listed.id)


async def test_a_token_that_another_process_revokes_is_refused_at_once(
    auth: Auth, clock: Clock, tmp_path: Path
) -> None:
    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))
    assert await auth.authenticate(token) == ALICE
    database = await Database.open(sqlite_url(tmp_path / "platform.db"))
    other = Auth(database, keys=tmp_path / "keys", clock=clock)

    await other.revoke_token((await other.tokens(ALICE))[0].id)
    await database.close()

    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(token)


class Dying(Database):
    """Its process dies as soon as something is stored, and before anything else."""

    last: Callable[[], Awaitable[object]]  # what somebody else does just before the commit

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with super().write() as conn:
            yield conn
            await self.last()
        raise KeyboardInterrupt


async def test_a_token_stays_revoked_when_the_revoking_process_dies_at_once(
    auth: Auth, clock: Clock, tmp_path: Path
) -> None:
    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))
    assert await auth.authenticate(token) == ALICE
    database = await Database.open(sqlite_url(tmp_path / "platform.db"))
    dying = Dying(database._engine, database._folder)
    dying.last = lambda: auth.authenticate(token)  # and it is remembered at the wrong moment
    other = Auth(dying, keys=tmp_path / "keys", clock=clock)

    with pytest.raises(KeyboardInterrupt):
        await other.revoke_token((await other.tokens(ALICE))[0].id)
    await database.close()

    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(token)


async def test_a_token_that_cannot_be_announced_as_revoked_is_not(auth: Auth, clock: Clock, tmp_path: Path) -> None:
    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))
    (listed,) = await auth.tokens(ALICE)
    revocations = tmp_path / "keys" / "revocations"
    revocations.unlink()
    revocations.mkdir()  # as a full disk would, it refuses to be written to

    with pytest.raises(OSError, match="directory"):
        await auth.revoke_token(listed.id)

    revocations.rmdir()
    revocations.touch()
    assert await auth.tokens(ALICE) == [listed]
    assert await auth.authenticate(token) == ALICE


async def test_tokens_outlive_the_server(tmp_path: Path, clock: Clock) -> None:
    async with open_auth(tmp_path, clock) as auth:
        await auth.add_user("alice", PASSWORD)
        token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))

    async with open_auth(tmp_path, clock) as auth:
        assert await auth.authenticate(token) == ALICE


async def test_another_platforms_token_is_refused(auth: Auth, clock: Clock, tmp_path: Path) -> None:
    async with open_auth(tmp_path / "other", clock) as other:
        await other.add_user("alice", PASSWORD)
        token = await other.create_token(ALICE, "ci", clock.now + timedelta(days=1))

    with pytest.raises(AuthenticationError, match="not issued by this platform"):
        await auth.authenticate(token)


async def test_two_tokens_of_a_user_have_different_names(auth: Auth, clock: Clock) -> None:
    expires = clock.now + timedelta(days=1)
    await auth.add_user("bob", PASSWORD)
    await auth.create_token(ALICE, "ci", expires)
    await auth.create_token(User("bob"), "ci", expires)

    with pytest.raises(Conflict, match="'ci'"):
        await auth.create_token(ALICE, "ci", expires)

    clock.advance(days=2)
    await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))


async def test_a_token_needs_a_user_a_name_and_a_future(auth: Auth, clock: Clock) -> None:
    tomorrow = clock.now + timedelta(days=1)
    with pytest.raises(ResourceNotFound, match="nobody"):
        await auth.create_token(User("nobody"), "ci", tomorrow)
    with pytest.raises(IllegalArgumentError, match="name"):
        await auth.create_token(ALICE, "", tomorrow)
    with pytest.raises(IllegalArgumentError, match="past"):
        await auth.create_token(ALICE, "ci", clock.now)


async def test_a_job_token_is_good_until_its_job_has_ended(auth: Auth) -> None:
    first, second = await auth.job_token(ALICE, "job-1"), await auth.job_token(ALICE, "job-1")
    assert await auth.authenticate(first) == await auth.authenticate(second) == ALICE
    assert await auth.tokens() == []

    await auth.end_job_token("job-1")
    await auth.end_job_token("job-1")

    for token in (first, second):
        with pytest.raises(AuthenticationError, match="revoked"):
            await auth.authenticate(token)


async def test_removing_a_user_ends_all_their_tokens(auth: Auth, clock: Clock) -> None:
    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))
    assert await auth.authenticate(token) == ALICE

    await auth.remove_user("alice")

    assert await auth.users() == []
    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(token)
    await auth.add_user("alice", PASSWORD)
    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(token)
    with pytest.raises(ResourceNotFound, match="bob"):
        await auth.remove_user("bob")


@pytest.mark.parametrize("name", ["ali\0ce", "\0", "\udcff"])
async def test_a_name_that_nobody_can_have_is_refused_like_any_other(auth: Auth, clock: Clock, name: str) -> None:
    with pytest.raises(AuthenticationError, match="wrong"):
        await auth.logins.by_password(name, PASSWORD, address="127.0.0.1")
    with pytest.raises(IllegalArgumentError, match="user name"):
        await auth.add_user(name, PASSWORD)
    for asked in (auth.set_password(name, PASSWORD), auth.remove_user(name)):
        with pytest.raises(ResourceNotFound, match="No user named"):
            await asked
    with pytest.raises(ResourceNotFound, match="No user named"):
        await auth.create_token(User(name), "ci", clock.now + timedelta(days=1))
    with pytest.raises(ResourceNotFound, match="No token with the id"):
        await auth.revoke_token(name)
    assert await auth.tokens(User(name)) == []


async def test_users_have_names_of_their_own(auth: Auth) -> None:
    with pytest.raises(Conflict, match="passwd alice"):
        await auth.add_user("alice", PASSWORD)
    with pytest.raises(IllegalArgumentError, match="user name"):
        await auth.add_user("Alice Smith", PASSWORD)


async def test_a_local_user_can_be_given_a_password(auth: Auth) -> None:
    user = await auth.local_user()
    with pytest.raises(AuthenticationError, match="wrong"):
        await auth.logins.by_password(user.name, PASSWORD, address="127.0.0.1")

    await auth.add_user(user.name, PASSWORD)

    assert await auth.logins.by_password(user.name, PASSWORD, address="127.0.0.1") == user.name


async def test_a_new_password_ends_logins_but_no_tokens(auth: Auth, clock: Clock) -> None:
    from neuro_platform.store.users import Kind

    token = await auth.create_token(ALICE, "ci", clock.now + timedelta(days=1))
    login = await auth.logins.start("alice", Kind.LOGIN)
    cookie = await auth.logins.remember_browser("alice")
    assert await auth.authenticate(login.access_token) == ALICE

    await auth.set_password("alice", "another horse")

    assert await auth.authenticate(token) == ALICE
    assert await auth.logins.browser_user(cookie) is None
    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(login.access_token)
    with pytest.raises(AuthenticationError, match="wrong"):
        await auth.logins.by_password("alice", PASSWORD, address="127.0.0.1")
    assert await auth.logins.by_password("alice", "another horse", address="127.0.0.1") == "alice"
    with pytest.raises(ResourceNotFound, match="nobody"):
        await auth.set_password("nobody", PASSWORD)


async def test_no_secret_is_stored_in_the_clear(auth: Auth, tmp_path: Path) -> None:
    grant = await auth.local_grant(_local_key(tmp_path))
    cookie = await auth.logins.remember_browser("alice")
    token = await auth.create_token(ALICE, "ci", auth._clock() + timedelta(days=1))

    stored = b"".join(path.read_bytes() for path in tmp_path.glob("platform.db*"))

    assert b"alice" in stored
    for secret in (PASSWORD, grant.refresh_token, grant.access_token, cookie, token, _local_key(tmp_path)):
        assert secret.encode() not in stored


async def test_only_the_owner_can_read_what_signs_tokens(auth: Auth, tmp_path: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}

    assert modes == {"access-tokens.key": 0o600, "revocations": 0o600}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
