"""The way in to what a job publishes, on the platform's side: from its login page, or from a command line."""

from __future__ import annotations

import html
import re
from typing import Final

from aiohttp import web
from yarl import URL

from neuro_platform.auth.oauth import OAuthError
from neuro_platform.auth.passes import CODE_LIFE, SHOWN_CODE_LIFE
from neuro_platform.auth.service import User
from neuro_platform.web.forms import (
    STALE,
    browser_user,
    by_password,
    form_is_ours,
    login_page,
    read_form,
    remember,
    see_other,
    user_of_browser,
)
from neuro_platform.web.http import API, answer, user_of
from neuro_platform.web.keys import auth_key, jobs_key, publishing_key, settings_key
from neuro_platform.web.page import Html, page
from neuro_platform.web.published import ENTRANCE
from neuro_sdk.errors import AuthenticationError, AuthorizationError, IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.jobs import JobOpening

routes = web.RouteTableDef()

_PATH: Final = re.compile(r"/(?![/\\])[!-~]*|/")  # on the job's own origin, whatever a browser makes of it
_LONGEST: Final = 4096


@routes.get("/open", allow_head=False)
async def open_(request: web.Request) -> web.Response:
    """A browser comes from a job's address, without a pass for it."""
    label, origin = _wanted(request)
    user = None if request.query.get("prompt") == "login" else await browser_user(request)
    if user is not None:
        return await _let_in(request, label, origin, user)
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and "again" not in request.query:
        # the browser keeps the cookie by which we would know it to itself, as another site has sent it here; when we
        # ask it ourselves, it does not
        again = str(request.rel_url.update_query(again="1"))
        return page("open-again", "One moment", refresh=again, again=again)
    return await login_page(request, lead=_lead(label), form_action=_form_action(origin))


@routes.post("/open")
async def log_in(request: web.Request) -> web.Response:
    label, origin = _wanted(request)
    try:
        form = await read_form(request)
    except OAuthError as exc:
        raise IllegalArgumentError(str(exc)) from exc
    lead, form_action = _lead(label), _form_action(origin)
    if not form_is_ours(request, form):
        return await login_page(request, lead=lead, form_action=form_action, sentence=STALE, status=403)
    if form.get("choice") == "cancel":
        return page("logged-out", "You are not logged in")
    name = await by_password(request, form, lead=lead, form_action=form_action)
    if isinstance(name, web.Response):
        return name
    secret = await request.app[auth_key].logins.remember_browser(name)
    user = await user_of_browser(request, secret)
    if user is None:
        raise AuthenticationError("The login has ended already: try again")
    onward = await _let_in(request, label, origin, user)
    remember(request, onward, secret)
    return onward


@routes.post(f"{API}/jobs/{{job}}/open")
async def opening(request: web.Request) -> web.Response:
    """An address that opens what the job publishes in any browser, once and for a short time; ours (`browse-1`)."""
    user = user_of(request)
    job = await request.app[jobs_key].get(user, request.match_info["job"])
    publishing, auth = request.app[publishing_key], request.app[auth_key]
    if job.container.http is None or not job.http_url:
        raise ResourceNotFound(f"{job.id} publishes no port: `neuro run --http PORT` does")
    label = publishing.addresses.label(job.http_url.host or "")
    if label is None:
        raise ResourceNotFound(f"{job.id} is not published any more")
    origin = _seen(request, job.http_url)
    if not job.container.http.requires_auth or user.session is None:
        return answer(JobOpening(url=origin))
    await publishing.admit(user, await publishing.find(label))
    code = auth.passes.code(user.name, user.session, label, life=SHOWN_CODE_LIFE)
    url = (origin.with_path(ENTRANCE)).with_query(code=code)
    return answer(JobOpening(url=url, expires_in=SHOWN_CODE_LIFE.total_seconds()))


def _wanted(request: web.Request) -> tuple[str, URL]:
    """Which job a browser wants to see, there or not, and its origin as that browser knows it."""
    addresses = request.app[publishing_key].addresses
    label = addresses.label(f"{request.query.get('job', '')}.{addresses.base.host}")
    if label is None:
        raise ResourceNotFound("No job can publish a port at this address")
    return label, _seen(request, addresses.url(label))


async def _let_in(request: web.Request, label: str, origin: URL, user: User) -> web.Response:
    publishing = request.app[publishing_key]
    if user.session is None:
        raise AuthenticationError("The login has ended already: try again")
    try:
        await publishing.admit(user, await publishing.find(label))
    except (AuthorizationError, ResourceNotFound) as exc:
        another = str(request.rel_url.update_query(prompt="login"))
        return page("not-yours", "Not for you", status=403, user=user.name, sentence=f"{exc}.", another=another)
    path = request.query.get("path", "/")
    path = path if len(path) <= _LONGEST and _PATH.fullmatch(path) else "/"
    code = request.app[auth_key].passes.code(user.name, user.session, label, path=path, life=CODE_LIFE)
    return see_other(origin.with_path(ENTRANCE).with_query(code=code))


def _seen(request: web.Request, url: URL) -> URL:
    """A job's address as this client can reach it: by a tunnel, the platform may have another port there."""
    settings = request.app[settings_key]
    if settings.public_url is not None or settings.jobs_url is not None:
        return url
    return url.with_port(request.url.port)


def _lead(label: str) -> Html:
    return Html(f"Log in to see what the job <b>{html.escape(label.partition('--')[0])}</b> shows.")


def _form_action(origin: URL) -> str:
    return f"'self' {origin.origin()}"
