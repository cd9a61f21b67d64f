"""The login page, and the OAuth endpoints where clients get, renew and give back their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from yarl import URL

from neuro_platform.auth.logins import Grant
from neuro_platform.auth.oauth import (
    GRANT_LOCAL,
    AuthorizationRequest,
    OAuthError,
    authorization_request,
    check_client,
    redirect_of,
    state_of,
)
from neuro_platform.web.config import base_url
from neuro_platform.web.forms import (
    OPAQUE,
    STALE,
    browser_user,
    by_password,
    cookie_name,
    drop_cookie,
    form_is_ours,
    form_page,
    login_page,
    read_form,
    remember,
    see_other,
)
from neuro_platform.web.generations import generation_of
from neuro_platform.web.http import API, answer
from neuro_platform.web.keys import auth_key, settings_key
from neuro_platform.web.page import Html, page, static

routes = web.RouteTableDef()

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
        form = await read_form(request)
    except OAuthError as exc:
        return _broken(exc)
    try:
        asked = authorization_request(request.query, redirect_uri)
    except OAuthError as exc:
        return _refuse(request, redirect_uri, exc)
    if not form_is_ours(request, form):
        return await _login_page(request, asked, sentence=STALE, status=403)
    match form.get("choice"):
        case "cancel":
            return see_other(asked.back(error="access_denied", error_description="The login was cancelled"))
        case "continue":
            user = await _browser_user(request)
            if user is None:
                return await _login_page(request, asked, sentence="Please log in again.", status=401)
            return see_other(asked.back(code=await request.app[auth_key].logins.code(user, asked)))
        case _:
            return await _by_password(request, asked, form)


@routes.get("/logged-in", allow_head=False)
async def logged_in(_request: web.Request) -> web.Response:
    return page("logged-in", "You are logged in")


@routes.get("/oauth/show-code", allow_head=False)
async def show_code(request: web.Request) -> web.Response:
    # only what can be a code of ours is shown: the page must not say what a stranger's link wants it to say
    code = request.query.get("code", "")
    if OPAQUE.fullmatch(code):
        return page("code", "Your code", code=code)
    sentence = _REFUSALS.get(request.query.get("error", ""), "There is no code in this link.")
    return page("problem", "Not logged in", status=400, sentence=sentence)


@routes.get("/logout", allow_head=False)
async def logout_page(request: web.Request) -> web.Response:
    # `none`: a person or a program opened this address, no page linked to it, so nobody tricked anybody
    if request.headers.get("Sec-Fetch-Site") == "none" or await _browser_user(request) is None:
        return await _logged_out(request)
    return form_page(request, "logout", "Log out")


@routes.post("/logout")
async def logout(request: web.Request) -> web.Response:
    try:
        form = await read_form(request)
    except OAuthError as exc:
        return _broken(exc)
    if not form_is_ours(request, form):
        return form_page(request, "logout", "Log out", status=403, sentence=STALE)
    return await _logged_out(request)


@routes.post("/oauth/token")
async def token(request: web.Request) -> web.Response:
    try:
        grant = await _grant(request, await read_form(request))
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
        form = await read_form(request)
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
    user = await by_password(request, form, lead=_lead(asked), form_action=_form_action(request, asked))
    if isinstance(user, web.Response):
        return user
    redirect = see_other(asked.back(code=await request.app[auth_key].logins.code(user, asked)))
    remember(request, redirect, await request.app[auth_key].logins.remember_browser(user))
    return redirect


async def _login_page(
    request: web.Request, asked: AuthorizationRequest, *, sentence: str = "", status: int = 200
) -> web.Response:
    form_action = _form_action(request, asked)
    return await login_page(request, lead=_lead(asked), form_action=form_action, sentence=sentence, status=status)


async def _continue_page(request: web.Request, asked: AuthorizationRequest, user: str) -> web.Response:
    return form_page(
        request,
        "continue",
        "Log in",
        form_action=_form_action(request, asked),
        lead=_lead(asked),
        user=user,
        initial=user[0].upper(),
        another=str(request.rel_url.update_query(prompt="login")),
    )


async def _browser_user(request: web.Request) -> str | None:
    user = await browser_user(request)
    return None if user is None else user.name


async def _logged_out(request: web.Request) -> web.Response:
    secret = request.cookies.get(cookie_name(request, "login"))
    if secret is not None:
        await request.app[auth_key].logins.forget_browser(secret)
    answer_ = page("logged-out", "You are logged out")
    drop_cookie(request, answer_, "login")
    return answer_


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
    return see_other(redirect_uri.with_query(refusal if state is None else {**refusal, "state": state}))


def _origins(request: web.Request) -> frozenset[URL]:
    # by what the browser calls us too: a tunnel may have given us another port
    return frozenset({request.app[settings_key].base_url.origin(), request.url.origin()})


def _lead(asked: AuthorizationRequest) -> Html:
    return _ASKS_FOR_CODE if asked.headless else _ASKS


def _form_action(request: web.Request, asked: AuthorizationRequest) -> str:
    # The browser is sent on to the client, which sends it back to us, perhaps by another name of ours. There is no way
    # to write an IPv6 address in a policy.
    if asked.redirect_uri.host == "::1":
        return "'self' http:"
    return f"'self' http://127.0.0.1:* http://localhost:* {request.app[settings_key].base_url.origin()}"
