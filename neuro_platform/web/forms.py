"""Pages with a form: who sees them, proof that a form came from a page of ours, the cookies for both."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from yarl import URL

from neuro_platform.auth.logins import BROWSER_LIFE
from neuro_platform.auth.oauth import OAuthError
from neuro_platform.auth.service import User
from neuro_platform.auth.throttle import TooManyTries
from neuro_platform.web.http import BODY_SECONDS
from neuro_platform.web.keys import auth_key, settings_key
from neuro_platform.web.page import Html, notice, page
from neuro_sdk.errors import AuthenticationError

OPAQUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
STALE: Final = "This page was open for too long, or your browser refuses cookies. Please try again."
_FORM_BYTES: Final = 64 * 1024  # anybody may send a form, and to take apart megabytes of one holds up all others


async def login_page(
    request: web.Request, *, lead: Html, form_action: str, name: str = "", sentence: str = "", status: int = 200
) -> web.Response:
    """Where a user name and a password can be typed in; what else to do, when nobody has a password."""
    if not await request.app[auth_key].logins.any_password():
        return page("first-user", "Nobody can log in yet", status=status)
    return form_page(
        request,
        "login",
        "Log in",
        status=status,
        sentence=sentence,
        form_action=form_action,
        lead=lead,
        name=name,
        focus_name=Html("" if name else "autofocus"),
        focus_password=Html("autofocus" if name else ""),
    )


async def by_password(
    request: web.Request, form: Mapping[str, str], *, lead: Html, form_action: str
) -> str | web.Response:
    """The user whose name and password are in the form of a :func:`login_page`, or that page again."""
    name = form.get("name", "").strip().lower()
    try:
        return await request.app[auth_key].logins.by_password(
            name, form.get("password", ""), address=request.remote or ""
        )
    except (TooManyTries, AuthenticationError) as exc:
        again = await login_page(
            request, lead=lead, form_action=form_action, name=name, sentence=f"{exc}.", status=exc.status
        )
        if isinstance(exc, TooManyTries):
            again.headers["Retry-After"] = str(exc.retry_after)
        return again


def remember(request: web.Request, response: web.Response, secret: str) -> None:
    """Have the browser keep for a day what :meth:`Logins.remember_browser` gave."""
    set_cookie(request, response, "login", secret, life=int(BROWSER_LIFE.total_seconds()))


async def browser_user(request: web.Request) -> User | None:
    """Whose browser this is, if it is known."""
    secret = request.cookies.get(cookie_name(request, "login"), "")
    return await user_of_browser(request, secret) if OPAQUE.fullmatch(secret) else None


async def user_of_browser(request: web.Request, secret: str) -> User | None:
    """Whose browser has this secret."""
    session = await request.app[auth_key].logins.browser_session(secret)
    return None if session is None else User(session.user, session.id)


def form_page(
    request: web.Request,
    name: str,
    title: str,
    /,
    *,
    sentence: str = "",
    status: int = 200,
    form_action: str = "'self'",
    **values: str,
) -> web.Response:
    """A page with a form, and in it the proof that the form is ours."""
    nonce = request.cookies.get(cookie_name(request, "form"), "")
    fresh = not OPAQUE.fullmatch(nonce)
    if fresh:
        nonce = secrets.token_urlsafe(32)
    form_token = request.app[auth_key].logins.form_token(nonce)
    answer_ = page(
        name,
        title,
        status=status,
        form_action=form_action,
        notice=notice(sentence),
        form_token=form_token,
        action=str(request.rel_url),
        **values,
    )
    if fresh:  # an old one is kept, so that two open tabs both work
        set_cookie(request, answer_, "form", nonce)
    return answer_


def form_is_ours(request: web.Request, form: Mapping[str, str]) -> bool:
    """Whether a form came from a :func:`form_page` that this browser was shown."""
    nonce = request.cookies.get(cookie_name(request, "form"), "")
    expected = request.app[auth_key].logins.form_token(nonce)
    shown = form.get("form_token", "").encode("utf-8", "surrogatepass")
    return bool(OPAQUE.fullmatch(nonce)) and hmac.compare_digest(shown, expected.encode("ascii"))


async def read_form(request: web.Request) -> Mapping[str, str]:
    """The members of a form; OAuthError for what is none."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "The body must be a form, application/x-www-form-urlencoded")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            # a clone, because there is no other way to choose its limit
            form = await request.clone(client_max_size=_FORM_BYTES).post()
    except TimeoutError as exc:
        raise web.HTTPRequestTimeout(text="The request's body did not arrive in time") from exc
    except (UnicodeDecodeError, LookupError) as exc:
        raise OAuthError("invalid_request", "The form is not in UTF-8") from exc
    if len(set(form)) != len(form):
        raise OAuthError("invalid_request", "A member of the form is there twice")
    return {key: value for key, value in form.items() if isinstance(value, str)}


def see_other(url: URL) -> web.Response:
    """Send the browser on with a GET."""
    return web.Response(status=303, headers={"Location": str(url), "Cache-Control": "no-store"})


def cookie_name(request: web.Request, name: str) -> str:
    """What a cookie of ours is called here."""
    # Browsers do not tell the ports of a host apart: without the port two platforms would log each other out. The name
    # stays clear of NEURO_*_SESSION, which earlier clients store.
    # `__Host-` has browsers refuse such a cookie from any other host, as one below ours; they take it over TLS only.
    return f"{'__Host-' if _is_secure(request) else ''}neuro-{name}-{request.url.port}"


def drop_cookie(request: web.Request, response: web.Response, name: str) -> None:
    """Have the browser forget a cookie of ours."""
    response.del_cookie(cookie_name(request, name), secure=_is_secure(request))


def set_cookie(request: web.Request, response: web.Response, name: str, value: str, *, life: int | None = None) -> None:
    """Set a cookie of ours: for this host alone, out of reach of scripts, not sent along from other sites."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=life,
        httponly=True,
        samesite="Strict",
        secure=_is_secure(request),
    )


def _is_secure(request: web.Request) -> bool:
    return request.app[settings_key].base_url.scheme == "https" or request.scheme == "https"
