"""Access tokens: JWTs signed by the platform's own key, good as long as the session they name."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import jwt

from neuro_sdk.errors import AuthenticationError

AUDIENCE: Final = "neuro-platform"
_ALGORITHM: Final = "HS256"
_CLAIMS: Final = ("identity", "sub", "aud", "iat", "exp", "jti", "sid")


@dataclass(frozen=True)
class Claims:
    """What a token says, once its signature and its form are known to be good."""

    identity: str
    session: str
    expires_at: datetime


class Signer:
    """Issues and reads access tokens."""

    def __init__(self, key: str) -> None:
        self._key = key

    def issue(
        self, identity: str, *, session: str, now: datetime, expires_at: datetime, audience: str = AUDIENCE
    ) -> str:
        """A new token; ``identity`` is the claim in which clients look for the user's name (API v1, 4.1).

        It is good for nothing but its ``audience``, which is the API when nothing else is said.
        """
        claims = {
            "identity": identity,
            "sub": identity,
            "aud": audience,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": secrets.token_urlsafe(12),
            "sid": session,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read(self, token: str, *, audience: str = AUDIENCE) -> Claims:
        """The claims of a token that we signed for this audience, also of an expired one; anything else raises."""
        if not token.isascii():
            raise AuthenticationError("The token is malformed: run `neuro login`")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],  # exactly one: a token does not choose how it is checked
                audience=audience,
                # times are the caller's: whether a token has expired depends on a clock, what it says does not
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAudienceError, jwt.InvalidAlgorithmError) as exc:
            raise AuthenticationError(
                "The token was not issued by this platform: run `neuro login` with this platform's URL"
            ) from exc
        except jwt.InvalidTokenError as exc:
            raise AuthenticationError("The token is malformed: run `neuro login`") from exc
        match claims:
            case {"identity": str(identity), "sid": str(session), "exp": int(exp)}:
                return Claims(identity, session, datetime.fromtimestamp(exp, UTC))
            case _:
                raise AuthenticationError("The token is malformed: run `neuro login`")
