"""The login page, and the OAuth endpoints where clients get, renew and give back their tokens."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from yarl import URL

from neuro_platform.auth.logins import BROWSER_LIFE, Grant
from neuro_platform.auth.oauth import (
    GRANT_LOCAL,
    AuthorizationRequest,
    OAuthError,
    authorization_request,
    check_client,
    redirect_of,
    state_of,
)
from neuro_platform.auth.throttle import TooManyTries
from neuro_platform.web.config import base_url
from neuro_platform.web.generations import generation_of
from neuro_platform.web.http import API, BODY_SECONDS, answer
from neuro_platform.web.keys import auth_key, settings_key
from neuro_platform.web.page import Html, notice, page, static
from neuro_sdk.errors import AuthenticationError

routes = web.RouteTableDef()

_FORM_BYTES: Final = 64 * 1024  # anybody may send a form, and to take apart megabytes of one holds up all others
_OPAQUE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_STALE: Final = "This page was open for too long, or your browser refuses cookies. Please try again."
_ASKS: Final = Html("The <code>neuro</code> command on your machine asks to work in your name.")
_ASKS_FOR_CODE: Final = Html(
    "You will get a code for <code>neuro login</code>. Go on only if you started it yourself: whoever has the code "
    "works in your name."
)
_REFUSALS: Final = {
    "access_denied": "You cancelled the login.",
    "unauthorized": "The platform did not let you in.",
}


@routes.get("/", allow_head=False)
async def home(request: web.Request) -> web.Response:
    return page("home", "Neuro platform", url=str(base_url(request) / API.strip("/")))


@routes.get("/pages/{name}")
async def file(request: web.Request) -> web.Response:
    return static(request.match_info["name"])


@routes.get("/authorize", allow_head=False)
async def authorize(request: web.Request) -> web.Response:
    try:
        redirect_uri = redirect_of(request.query, _origins(request))
    except OAuthError as exc:
        return _broken(exc)
    try:
        asked = authorization_request(request.query, redirect_uri)
    except OAuthError as exc:
        return _refuse(request, redirect_uri, exc)
    user = None if request.query.get("prompt") == "login" else await _browser_user(request)
    return await (_login_page(request, asked) if user is None else _continue_page(request, asked, user))


@routes.post("/authorize")
async def log_in(request: web.Request) -> web.Response:
    try:
        redirect_uri = redirect_of(request.query, _origins(request))
        form = await _form(request)
    except OAuthError as exc:
        return _broken(exc)
    try:
        asked = authorization_request(request.query, redirect_uri)
    except OAuthError as exc:
        return _refuse(request, redirect_uri, exc)
    if not _form_is_ours(request, form):
        return await _login_page(request, asked, sentence=_STALE, status=403)
    match form.get("choice"):
        case "cancel":
            return _see_other(asked.back(error="access_denied", error_description="The login was cancelled"))
        case "continue":
            user = await _browser_user(request)
            if user is None:
                return await _login_page(request, asked, sentence="Please log in again.", status=401)
            return _see_other(asked.back(code=await request.app[auth_key].logins.code(user, asked)))
        case _:
            return await _by_password(request, asked, form)


@routes.get("/logged-in", allow_head=False)
async def logged_in(_request: web.Request) -> web.Response:
    return page("logged-in", "You are logged in")


@routes.get("/oauth/show-code", allow_head=False)
async def show_code(request: web.Request) -> web.Response:
    # only what can be a code of ours is shown: the page must not say what a stranger's link wants it to say
    code = request.query.get("code", "")
    if _OPAQUE.fullmatch(code):
        return page("code", "Your code", code=code)
    sentence = _REFUSALS.get(request.query.get("error", ""), "There is no code in this link.")
    return page("problem", "Not logged in", status=400, sentence=sentence)


@routes.get("/logout", allow_head=False)
async def logout_page(request: web.Request) -> web.Response:
    # `none`: a person or a program opened this address, no page linked to it, so nobody tricked anybody
    if request.headers.get("Sec-Fetch-Site") == "none" or await _browser_user(request) is None:
        return await _logged_out(request)
    return _with_form(request, "logout", "Log out")


@routes.post("/logout")
async def logout(request: web.Request) -> web.Response:
    try:
        form = await _form(request)
    except OAuthError as exc:
        return _broken(exc)
    if not _form_is_ours(request, form):
        return _with_form(request, "logout", "Log out", status=403, sentence=_STALE)
    return await _logged_out(request)


@routes.post("/oauth/token")
async def token(request: web.Request) -> web.Response:
    try:
        grant = await _grant(request, await _form(request))
    except OAuthError as exc:
        return _oauth_error(exc)
    return answer(
        {
            "access_token": grant.access_token,
            "token_type": "Bearer",
            "expires_in": grant.expires_in,
            "refresh_token": grant.refresh_token,
        }
    )


@routes.post("/oauth/revoke")
async def revoke(request: web.Request) -> web.Response:
    try:
        form = await _form(request)
        check_client(form)
        await request.app[auth_key].logins.revoke(_member(form, "token"))
    except OAuthError as exc:
        return _oauth_error(exc)
    return answer({})


async def _grant(request: web.Request, form: Mapping[str, str]) -> Grant:
    auth = request.app[auth_key]
    check_client(form)
    match form.get("grant_type"):
        case "authorization_code":
            return await auth.logins.redeem(
                _member(form, "code").strip(),  # pasted by hand, perhaps with a blank
                verifier=_member(form, "code_verifier"),
                redirect_uri=_member(form, "redirect_uri"),
            )
        case "refresh_token":
            # earlier clients drop a new refresh token and come back with the first one for ever (API v1, 4.5)
            return await auth.logins.refresh(_member(form, "refresh_token"), rotate=generation_of(request) is None)
        case grant_type if grant_type == GRANT_LOCAL:
            return await auth.local_grant(_member(form, "local_key"))
        case _:
            raise OAuthError(
                "unsupported_grant_type", f"grant_type is authorization_code, refresh_token or {GRANT_LOCAL}"
            )


async def _by_password(request: web.Request, asked: AuthorizationRequest, form: Mapping[str, str]) -> web.Response:
    logins = request.app[auth_key].logins
    name = form.get("name", "").strip().lower()
    try:
        user = await logins.by_password(name, form.get("password", ""), address=request.remote or "")
    except TooManyTries as exc:
        page_ = await _login_page(request, asked, name=name, sentence=f"{exc}.", status=exc.status)
        page_.headers["Retry-After"] = str(exc.retry_after)
        return page_
    except AuthenticationError as exc:
        return await _login_page(request, asked, name=name, sentence=f"{exc}.", status=exc.status)
    redirect = _see_other(asked.back(code=await logins.code(user, asked)))
    _set_cookie(request, redirect, "login", await logins.remember_browser(user), life=int(BROWSER_LIFE.total_seconds()))
    return redirect


async def _login_page(
    request: web.Request, asked: AuthorizationRequest, *, name: str = "", sentence: str = "", status: int = 200
) -> web.Response:
    if not await request.app[auth_key].logins.any_password():
        return page("first-user", "Nobody can log in yet", status=status)
    return _with_form(
        request,
        "login",
        "Log in",
        status=status,
        sentence=sentence,
        form_action=_form_action(request, asked),
        lead=_ASKS_FOR_CODE if asked.headless else _ASKS,
        name=name,
        focus_name=Html("" if name else "autofocus"),
        focus_password=Html("autofocus" if name else ""),
    )


async def _continue_page(request: web.Request, asked: AuthorizationRequest, user: str) -> web.Response:
    return _with_form(
        request,
        "continue",
        "Log in",
        form_action=_form_action(request, asked),
        lead=_ASKS_FOR_CODE if asked.headless else _ASKS,
        user=user,
        initial=user[0].upper(),
        another=str(request.rel_url.update_query(prompt="login")),
    )


def _with_form(
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
    nonce = request.cookies.get(_cookie(request, "form"), "")
    fresh = not _OPAQUE.fullmatch(nonce)
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
        _set_cookie(request, answer_, "form", nonce)
    return answer_


def _form_is_ours(request: web.Request, form: Mapping[str, str]) -> bool:
    nonce = request.cookies.get(_cookie(request, "form"), "")
    expected = request.app[auth_key].logins.form_token(nonce)
    shown = form.get("form_token", "").encode("utf-8", "surrogatepass")
    return bool(_OPAQUE.fullmatch(nonce)) and hmac.compare_digest(shown, expected.encode("ascii"))


async def _browser_user(request: web.Request) -> str | None:
    secret = request.cookies.get(_cookie(request, "login"), "")
    return await request.app[auth_key].logins.browser_user(secret) if _OPAQUE.fullmatch(secret) else None


async def _logged_out(request: web.Request) -> web.Response:
    secret = request.cookies.get(_cookie(request, "login"))
    if secret is not None:
        await request.app[auth_key].logins.forget_browser(secret)
    answer_ = page("logged-out", "You are logged out")
    answer_.del_cookie(_cookie(request, "login"))
    return answer_


async def _form(request: web.Request) -> Mapping[str, str]:
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


def _member(form: Mapping[str, str], name: str) -> str:
    if not (value := form.get(name)):
        raise OAuthError("invalid_request", f"The form lacks {name}")
    return value


def _oauth_error(exc: OAuthError) -> web.Response:
    return answer({"error": exc.error, "error_description": str(exc)}, status=exc.status)


def _broken(exc: OAuthError) -> web.Response:
    sentence = f"The program that opened this page made a mistake: {exc}."
    return page("problem", "This link does not work", status=400, sentence=sentence)


def _refuse(request: web.Request, redirect_uri: URL, exc: OAuthError) -> web.Response:
    refusal = {"error": exc.error, "error_description": str(exc)}
    try:
        state = state_of(request.query)
    except OAuthError:
        state = None
    return _see_other(redirect_uri.with_query(refusal if state is None else {**refusal, "state": state}))


def _see_other(url: URL) -> web.Response:
    return web.Response(status=303, headers={"Location": str(url), "Cache-Control": "no-store"})


def _origins(request: web.Request) -> frozenset[URL]:
    # by what the browser calls us too: a tunnel may have given us another port
    return frozenset({request.app[settings_key].base_url.origin(), request.url.origin()})


def _form_action(request: web.Request, asked: AuthorizationRequest) -> str:
    # The browser is sent on to the client, which sends it back to us, perhaps by another name of ours. There is no way
    # to write an IPv6 address in a policy.
    if asked.redirect_uri.host == "::1":
        return "'self' http:"
    return f"'self' http://127.0.0.1:* http://localhost:* {request.app[settings_key].base_url.origin()}"


def _cookie(request: web.Request, name: str) -> str:
    # Browsers do not tell the ports of a host apart: without the port two platforms would log each other out. The name
    # stays clear of NEURO_*_SESSION, which earlier clients store.
    return f"neuro-{name}-{request.url.port}"


def _set_cookie(
    request: web.Request, response: web.Response, name: str, value: str, *, life: int | None = None
) -> None:
    response.set_cookie(
        _cookie(request, name),
        value,
        max_age=life,
        httponly=True,
        samesite="Strict",
        secure=request.app[settings_key].base_url.scheme == "https" or request.scheme == "https",
    )
