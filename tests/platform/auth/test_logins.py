"""Codes, refresh tokens and revocation, by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from yarl import URL

from neuro_platform.auth.logins import GRACE, IDLE_LIFE, Grant
from neuro_platform.auth.oauth import AuthorizationRequest, OAuthError, challenge_of
from neuro_platform.auth.service import Auth, User
from neuro_platform.store.schema import codes, sessions, tokens
from neuro_platform.store.users import Kind
from neuro_sdk.errors import AuthenticationError
from tests.conftest import running_platform
from tests.platform.auth.door import CALLBACK, VERIFIER, Clock, add_alice, open_auth


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(tmp_path: Path, clock: Clock) -> AsyncIterator[Auth]:
    async with open_auth(tmp_path, clock) as auth:
        await add_alice(auth)
        yield auth


def _asked(*, headless: bool = False) -> AuthorizationRequest:
    return AuthorizationRequest(URL(CALLBACK), challenge_of(VERIFIER), None, headless)


async def _redeem(auth: Auth, code: str, *, verifier: str = VERIFIER, redirect_uri: str = CALLBACK) -> Grant:
    return await auth.logins.redeem(code, verifier=verifier, redirect_uri=redirect_uri)


async def test_a_code_gives_tokens(auth: Auth) -> None:
    grant = await _redeem(auth, await auth.logins.code("alice", _asked()), redirect_uri=CALLBACK + "/")

    assert await auth.authenticate(grant.access_token) == User("alice")
    assert grant.expires_in == 3600


async def test_a_code_used_twice_ends_what_it_gave(auth: Auth) -> None:
    code = await auth.logins.code("alice", _asked())
    grant = await _redeem(auth, code)
    assert await auth.authenticate(grant.access_token) == User("alice")

    with pytest.raises(OAuthError, match="used already"):
        await _redeem(auth, code)

    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(grant.access_token)
    with pytest.raises(OAuthError, match="revoked"):
        await auth.logins.refresh(grant.refresh_token, rotate=True)


async def test_of_many_who_use_a_code_at_once_one_at_most_gets_in(auth: Auth) -> None:
    code = await auth.logins.code("alice", _asked())

    results = await asyncio.gather(*(_redeem(auth, code) for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(result, Grant) for result in results) == 1
    assert sum(isinstance(result, OAuthError) for result in results) == 7


@pytest.mark.parametrize(
    "wrong", [{"verifier": "w" * 43}, {"verifier": ""}, {"redirect_uri": "http://127.0.0.1:1"}, {"redirect_uri": ""}]
)
async def test_a_code_shown_with_the_wrong_proof_is_spent(auth: Auth, wrong: dict[str, str]) -> None:
    code = await auth.logins.code("alice", _asked())
    with pytest.raises(OAuthError, match="another login"):
        await _redeem(auth, code, **wrong)

    with pytest.raises(OAuthError, match="used already"):
        await _redeem(auth, code)


@pytest.mark.parametrize(("headless", "seconds"), [(False, 60), (True, 300)])
async def test_a_code_is_good_for_a_short_time(auth: Auth, clock: Clock, headless: bool, seconds: int) -> None:
    late = await auth.logins.code("alice", _asked(headless=headless))
    in_time = await auth.logins.code("alice", _asked(headless=headless))

    clock.advance(seconds=seconds - 1)
    await _redeem(auth, in_time)
    clock.advance(seconds=1)
    with pytest.raises(OAuthError, match="expired"):
        await _redeem(auth, late)


async def test_an_unknown_code_gives_nothing(auth: Auth) -> None:
    with pytest.raises(OAuthError, match="not one of this platform"):
        await _redeem(auth, "x" * 43)


async def test_a_code_of_a_removed_user_gives_nothing(auth: Auth) -> None:
    code = await auth.logins.code("alice", _asked())
    await auth.remove_user("alice")

    with pytest.raises(OAuthError, match="not one of this platform"):
        await _redeem(auth, code)


async def test_refreshing_rotates_the_refresh_token(auth: Auth) -> None:
    first = await auth.logins.start("alice", Kind.LOGIN)

    second = await auth.logins.refresh(first.refresh_token, rotate=True)
    third = await auth.logins.refresh(second.refresh_token, rotate=True)

    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    for grant in (first, second, third):
        assert await auth.authenticate(grant.access_token) == User("alice")


async def test_in_the_grace_the_old_refresh_token_is_still_good(auth: Auth, clock: Clock) -> None:
    first = await auth.logins.start("alice", Kind.LOGIN)
    lost = await auth.logins.refresh(first.refresh_token, rotate=True)
    clock.advance(seconds=GRACE.total_seconds())

    again = await auth.logins.refresh(first.refresh_token, rotate=True)

    clock.advance(hours=1)
    for grant in (lost, again):
        assert await auth.logins.refresh(grant.refresh_token, rotate=True)


async def test_using_the_old_token_in_the_grace_does_not_make_the_grace_longer(auth: Auth, clock: Clock) -> None:
    first = await auth.logins.start("alice", Kind.LOGIN)
    for _ in range(3):
        await auth.logins.refresh(first.refresh_token, rotate=True)
        clock.advance(seconds=GRACE.total_seconds() / 2)

    clock.advance(seconds=1)
    with pytest.raises(OAuthError, match="used already"):
        await auth.logins.refresh(first.refresh_token, rotate=True)


async def test_an_old_refresh_token_after_the_grace_ends_the_login(auth: Auth, clock: Clock) -> None:
    first = await auth.logins.start("alice", Kind.LOGIN)
    other = await auth.logins.start("alice", Kind.LOGIN)
    second = await auth.logins.refresh(first.refresh_token, rotate=True)
    assert await auth.authenticate(second.access_token) == User("alice")
    clock.advance(seconds=GRACE.total_seconds() + 1)

    with pytest.raises(OAuthError, match="ends the login"):
        await auth.logins.refresh(first.refresh_token, rotate=True)

    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(second.access_token)
    with pytest.raises(OAuthError, match="revoked"):
        await auth.logins.refresh(second.refresh_token, rotate=True)
    assert await auth.authenticate(other.access_token) == User("alice")


async def test_earlier_clients_keep_their_refresh_token_while_they_use_it(auth: Auth, clock: Clock) -> None:
    first = await auth.logins.start("alice", Kind.LOGIN)

    for _ in range(20):
        clock.advance(days=80)
        grant = await auth.logins.refresh(first.refresh_token, rotate=False)
        assert grant.refresh_token == first.refresh_token
        assert await auth.authenticate(grant.access_token) == User("alice")


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_both(auth: Auth, which: str) -> None:
    grant = await auth.logins.start("alice", Kind.LOCAL)
    assert await auth.authenticate(grant.access_token) == User("alice")

    await auth.logins.revoke(getattr(grant, which))

    with pytest.raises(AuthenticationError, match="revoked"):
        await auth.authenticate(grant.access_token)
    with pytest.raises(OAuthError, match="revoked"):
        await auth.logins.refresh(grant.refresh_token, rotate=True)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "\udcff"])
async def test_revoking_what_means_nothing_is_no_error(auth: Auth, token: str) -> None:
    await auth.logins.revoke(token)


@pytest.mark.parametrize("rotate", [True, False])
@pytest.mark.parametrize("kind", [Kind.LOGIN, Kind.LOCAL])
async def test_a_login_lasts_as_long_as_it_is_used(auth: Auth, clock: Clock, kind: Kind, rotate: bool) -> None:
    grant = await auth.logins.start("alice", kind)
    for _ in range(5):
        clock.advance(days=60)
        await auth.drop_useless()
        grant = await auth.logins.refresh(grant.refresh_token, rotate=rotate)
        assert await auth.authenticate(grant.access_token) == User("alice")

    clock.advance(days=IDLE_LIFE.days)

    with pytest.raises(OAuthError, match="not being used for 90 days: run `neuro login`"):
        await auth.logins.refresh(grant.refresh_token, rotate=rotate)
    with pytest.raises(OAuthError, match="revoked or is not one"):
        await auth.logins.refresh(grant.refresh_token, rotate=rotate)


async def test_a_login_by_code_ends_when_it_is_not_used(auth: Auth, clock: Clock) -> None:
    grant = await _redeem(auth, await auth.logins.code("alice", _asked()))

    clock.advance(days=IDLE_LIFE.days)

    with pytest.raises(OAuthError, match="not being used"):
        await auth.logins.refresh(grant.refresh_token, rotate=True)


async def test_a_login_stored_without_an_end_gets_one(auth: Auth, clock: Clock) -> None:
    grant = await auth.logins.start("alice", Kind.LOGIN)
    async with auth._database.write() as conn:
        await conn.execute(update(sessions).values(expires_us=None))
    clock.advance(days=1000)

    await auth.drop_useless()

    grant = await auth.logins.refresh(grant.refresh_token, rotate=True)
    clock.advance(days=IDLE_LIFE.days)
    with pytest.raises(OAuthError, match="not being used"):
        await auth.logins.refresh(grant.refresh_token, rotate=True)


async def test_what_has_expired_does_not_pile_up(auth: Auth, clock: Clock) -> None:
    await _redeem(auth, await auth.logins.code("alice", _asked()))
    await auth.logins.remember_browser("alice")
    await auth.logins.code("alice", _asked())
    await auth.create_token(User("alice"), "ci", clock.now + timedelta(days=80))
    used = await auth.logins.start("alice", Kind.LOGIN)
    await auth.job_token(User("alice"), "job-1")
    for _ in range(2):
        clock.advance(days=45)
        used = await auth.logins.refresh(used.refresh_token, rotate=True)

    await auth.drop_useless()

    async with auth._database.read() as conn:
        left = [await conn.scalar(select(func.count()).select_from(table)) for table in (sessions, tokens, codes)]
    assert left == [2, 2, 0]  # the login in use, the job; that login's present secret and the one before
    assert await auth.logins.refresh(used.refresh_token, rotate=True)


async def test_what_has_expired_goes_when_the_platform_starts(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        await platform.parts.auth.logins.start(platform.user.name, Kind.LOGIN)
        async with platform.parts.database.write() as conn:
            await conn.execute(update(sessions).where(sessions.c.kind == "login").values(expires_us=1))

    async with running_platform(tmp_path) as platform, asyncio.timeout(20):
        kinds = ["login"]
        while "login" in kinds:
            async with platform.parts.database.read() as conn:
                kinds = list((await conn.execute(select(sessions.c.kind))).scalars())
        assert kinds == ["personal"]


async def test_a_browsers_cookie_is_no_refresh_token(auth: Auth) -> None:
    cookie = await auth.logins.remember_browser("alice")
    login = await auth.logins.start("alice", Kind.LOGIN)

    with pytest.raises(OAuthError):
        await auth.logins.refresh(cookie, rotate=True)
    await auth.logins.revoke(cookie)
    assert await auth.logins.browser_user(cookie) == "alice"
    assert await auth.logins.browser_user(login.refresh_token) is None
    await auth.logins.forget_browser(login.refresh_token)
    assert await auth.authenticate(login.access_token) == User("alice")


async def test_a_browser_is_forgotten_after_a_day(auth: Auth, clock: Clock) -> None:
    cookie = await auth.logins.remember_browser("alice")

    clock.advance(hours=23)
    assert await auth.logins.browser_user(cookie) == "alice"
    clock.advance(hours=1)
    assert await auth.logins.browser_user(cookie) is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 90)), max_size=8))
async def test_a_copied_refresh_token_never_lives_beside_its_owners(steps: list[tuple[int, int]]) -> None:
    """Whatever is shown whenever: an old token outside its grace ends everything, and nothing brings it back."""
    import tempfile

    clock = Clock()
    with tempfile.TemporaryDirectory() as data:
        async with open_auth(Path(data), clock) as auth:
            await add_alice(auth)
            tokens = [(await auth.logins.start("alice", Kind.LOGIN)).refresh_token]
            replaced: dict[str, float] = {}
            ended = False
            for which, seconds in steps:
                clock.advance(seconds=seconds)
                token = tokens[which % len(tokens)]
                late = token in replaced and clock.seconds - replaced[token] > GRACE.total_seconds()
                if ended or late:
                    ended = True
                    with pytest.raises(OAuthError):
                        await auth.logins.refresh(token, rotate=True)
                else:
                    tokens.append((await auth.logins.refresh(token, rotate=True)).refresh_token)
                    replaced.setdefault(token, clock.seconds)
