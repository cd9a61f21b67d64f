"""Access tokens: only ours are read, whatever a token says of itself."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_platform.auth.tokens import Signer
from neuro_sdk.errors import AuthenticationError

KEY = "k" * 43
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def _issue(key: str = KEY) -> str:
    return Signer(key).issue("alice", session="login-1", now=NOW, expires_at=NOW + timedelta(hours=1))


def _claims() -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(_issue(), options={"verify_signature": False})
    return claims


def test_a_token_says_who_when_and_on_what_it_stands() -> None:
    claims = _claims()

    assert claims.keys() == {"identity", "sub", "aud", "iat", "exp", "jti", "sid"}
    assert (claims["identity"], claims["sub"], claims["sid"]) == ("alice", "alice", "login-1")
    assert claims["exp"] == claims["iat"] + 3600  # type: ignore[operator]


def test_what_was_issued_is_read_back_also_when_expired() -> None:
    claims = Signer(KEY).read(_issue())

    assert (claims.identity, claims.session, claims.expires_at) == ("alice", "login-1", NOW + timedelta(hours=1))


def test_a_token_signed_with_another_key_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="not issued by this platform"):
        Signer(KEY).read(_issue("x" * 43))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS512", "RS256", ""])
def test_a_token_does_not_choose_how_it_is_checked(algorithm: str) -> None:
    head = {"alg": algorithm, "typ": "JWT"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, _claims())]

    for signature in ("", _issue().rpartition(".")[2]):
        with pytest.raises(AuthenticationError):
            Signer(KEY).read(".".join([*parts, signature]))


def test_a_token_for_another_audience_is_refused() -> None:
    token = jwt.encode({**_claims(), "aud": "elsewhere"}, KEY, algorithm="HS256")

    with pytest.raises(AuthenticationError, match="not issued by this platform"):
        Signer(KEY).read(token)


@pytest.mark.parametrize("lacking", ["identity", "sub", "aud", "iat", "exp", "jti", "sid"])
def test_a_token_that_lacks_a_claim_is_refused(lacking: str) -> None:
    claims = {key: value for key, value in _claims().items() if key != lacking}

    with pytest.raises(AuthenticationError, match="malformed"):
        Signer(KEY).read(jwt.encode(claims, KEY, algorithm="HS256"))


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_anything_else_is_malformed_and_nothing_worse(text: str) -> None:
    with pytest.raises(AuthenticationError, match=r"malformed|not issued"):
        Signer(KEY).read(text)


@given(st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    token = _issue()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHabcdefgh0123456789-_.").filter(lambda c: c != token[place]))
    changed = token[:place] + letter + token[place + 1 :]
    # the last character of a part carries bits that stand for nothing
    if _decoded(changed) == _decoded(token):
        return

    with pytest.raises(AuthenticationError):
        Signer(KEY).read(changed)


def _decoded(token: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".") if len(part) % 4 != 1]
