"""The door to what jobs publish, an origin for each, apart from the platform: who may enter, what is said meanwhile."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from neuro_platform.auth.service import User
from neuro_platform.services.publishing import NotListening, NotStarted
from neuro_platform.web.errors import CLIENT_GONE, incident, refusal
from neuro_platform.web.http import is_websocket
from neuro_platform.web.keys import label_key, user_key
from neuro_platform.web.page import Html, standalone
from neuro_platform.web.proxy import Proxy, TooManyVisitors, check, forward_headers
from neuro_platform.web.security import bearer_token, host_name
from neuro_sdk.errors import AuthenticationError, AuthorizationError, NeuroError, ResourceNotFound, ServerNotAvailable

if TYPE_CHECKING:
    from neuro_platform.auth.service import Auth
    from neuro_platform.services.publishing import Publishing, Site
    from neuro_platform.settings import Settings
    from neuro_platform.web.guests import Guests

log = logging.getLogger(__name__)

ENTRANCE: Final = "/.neuro/enter"  # on a job's origin: the only path that is ours
_RELOAD: Final = 2  # seconds between two looks of a page that waits
_TITLES: Final = {
    NotStarted: "The job has not started yet",
    NotListening: "Nothing answers yet",
    ResourceNotFound: "There is nothing here",
    AuthenticationError: "You have to log in",
    AuthorizationError: "Not for you",
    ServerNotAvailable: "The job gave no answer",
}
_UNCACHED: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_LOOKS_AGAIN: Final = Html('<p class="hint">This page looks again by itself.</p>')
_START: Final = Html('<a class="button primary" href="/">Open the job</a>')


class Published:
    """Answers the requests whose ``Host`` is a job's; nothing of the platform's own is served there."""

    def __init__(self, settings: Settings, publishing: Publishing, auth: Auth, guests: Guests) -> None:
        self._settings = settings
        self._publishing = publishing
        self._auth = auth
        self._guests = guests
        self._proxy = Proxy()

    async def close(self) -> None:
        """Cut what is going on."""
        await self._proxy.close()

    def label(self, request: web.BaseRequest) -> str | None:
        """Which job's address is asked, by the label in its host's name; None when it is none of those."""
        hosts = request.headers.getall(hdrs.HOST, [])
        if len(hosts) != 1:
            return None
        # the request line may have a whole URL, with another host
        names = {host_name(host) for host in (hosts[0], request.host)}
        name = names.pop() if len(names) == 1 else None
        if name is None or name in (host.lower() for host in self._settings.allowed_hosts):
            return None
        return self._publishing.addresses.label(name)

    async def answer(self, request: web.Request, label: str) -> web.StreamResponse:
        """Let the job answer, or say why it does not."""
        request[label_key] = label
        try:
            return await self._guests.handle(request, partial(self._answer, label=label))
        except NeuroError as exc:
            return _refusal(request, exc)
        except ConnectionError:
            return web.Response(status=CLIENT_GONE)
        except Exception:  # noqa: BLE001  (whatever it is, the client gets an answer and the log the traceback)
            return refusal(request, 500, incident(request), "error")

    async def _answer(self, request: web.Request, label: str) -> web.StreamResponse:
        check(request)
        site = await self._publishing.find(label)
        http = None if site is None else site.job.container.http
        origin = self._origin(request)
        if site is None or http is None or http.requires_auth:  # a stranger does not learn which of these it is
            if request.raw_path.partition("?")[0] == ENTRANCE:
                return await self._enter(request, label)
            user = await self._user(request, label, origin)
            if user is None:
                return self._stranger(request, label)
            request[user_key] = user
            site = await self._publishing.admit(user, site)
        return await self._pass_on(request, site, origin)

    async def _pass_on(self, request: web.Request, site: Site, origin: URL) -> web.StreamResponse:
        address = await self._publishing.reach(site)
        headers = forward_headers(request, address, origin, behind_proxy=self._settings.jobs_url is not None)
        self._strip(headers)
        return await self._proxy.pass_on(request, address, headers, origin, keep_cookie=self._cookie)

    async def _user(self, request: web.Request, label: str, origin: URL) -> User | None:
        """Who asks: by a token of the API, or by the pass in the cookie, which browsers send unasked."""
        token = bearer_token(request.headers)
        if token is not None and self._auth.is_token(token):
            return await self._auth.authenticate(token)
        pass_ = request.cookies.get(self._cookie)
        holder = None if pass_ is None else await self._auth.passes.holder(pass_, label)
        if holder is None:
            return None
        _check_origin(request, origin)
        return User(holder.identity, holder.session)

    def _stranger(self, request: web.Request, label: str) -> web.Response:
        """A browser is sent to the platform's login page and comes back with a code; a program must bring a token."""
        if not _is_visit(request):
            raise AuthenticationError("This needs a login: open the page in a browser, or send `Authorization: Bearer`")
        where = (self._platform(request) / "open").with_query(job=label, path=request.raw_path)
        return web.Response(status=303, headers={"Location": str(where), **_UNCACHED})

    async def _enter(self, request: web.Request, label: str) -> web.Response:
        """Exchange a code for a pass in a cookie of this host alone, and go where it was made for."""
        if request.method != "GET":  # not one that only looks ahead: a code is good once
            raise AuthenticationError("This link is to be opened in a browser")
        entry = self._auth.passes.redeem(request.query.get("code", ""), label)
        issued = None if entry is None else await self._auth.passes.issue(entry)
        if entry is None or issued is None:
            raise AuthenticationError("This link was used already, or is too old: open the job again")
        pass_, until = issued
        answer = web.Response(status=303, headers={"Location": entry.path, **_UNCACHED})
        answer.set_cookie(
            self._cookie,
            pass_,
            expires=until.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            httponly=True,
            samesite="Lax",  # not Strict: the way here led over another site, the platform's
            secure=self._is_secure,
        )
        return answer

    def _strip(self, headers: CIMultiDict[str]) -> None:
        """Take out what is for us: a job must not get to see credentials of those who visit it."""
        token = bearer_token(headers)
        if token is not None and self._auth.is_token(token):
            headers.popall(hdrs.AUTHORIZATION)
        pairs = [pair.strip() for value in headers.popall(hdrs.COOKIE, []) for pair in value.split(";")]
        if kept := [pair for pair in pairs if pair and pair.partition("=")[0].strip() != self._cookie]:
            headers[hdrs.COOKIE] = "; ".join(kept)

    @property
    def _cookie(self) -> str:
        # browsers do not tell ports apart, and another platform of this machine may have a job of the same name
        return "__Host-neuro-job" if self._is_secure else f"neuro-job-{self._settings.port}"

    @property
    def _is_secure(self) -> bool:
        return self._publishing.addresses.base.scheme == "https"

    def _origin(self, request: web.Request) -> URL:
        """The job's origin as the client sees it: without settings a tunnel may have given it another port."""
        scheme = self._publishing.addresses.base.scheme
        return URL(f"{scheme}://{request.headers[hdrs.HOST]}").origin()

    def _platform(self, request: web.Request) -> URL:
        """The platform as the same client reaches it."""
        base = self._settings.base_url
        if self._settings.public_url is not None or self._settings.jobs_url is not None:
            return base
        return base.with_port(self._origin(request).port)


def _is_visit(request: web.BaseRequest) -> bool:
    """Whether a person opens a page, rather than a page or a program asking for a part of something."""
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    wants_page = "text/html" in request.headers.get(hdrs.ACCEPT, "")
    return request.method in ("GET", "HEAD") and mode == "navigate" and wants_page and not is_websocket(request)


def _check_origin(request: web.Request, origin: URL) -> None:
    """Refuse what a page of another origin asks for in the name of a visitor, but for opening the job's own page."""
    sender = request.headers.get(hdrs.ORIGIN)
    site = request.headers.get("Sec-Fetch-Site", "none")
    if sender is not None:
        ours = sender.lower() == str(origin)
    else:
        opened = _is_visit(request) and request.headers.get("Sec-Fetch-Dest", "document") == "document"
        ours = site in ("none", "same-origin") or opened
    if not ours:
        raise AuthorizationError("A web page of another site asked for this: only the job's own pages may")


def _refusal(request: web.Request, exc: NeuroError) -> web.Response:
    if not _is_visit(request):
        answer = refusal(request, exc.status, str(exc), exc.code)
    else:
        title = next((title for kind, title in _TITLES.items() if isinstance(exc, kind)), "That did not work")
        waits = isinstance(exc, NotStarted | NotListening)
        again = _LOOKS_AGAIN if waits else _START if isinstance(exc, AuthenticationError) else Html("")
        sentence, reload = f"{exc}.", _RELOAD if waits else None
        answer = standalone("job", title, exc.status, reload=reload, sentence=sentence, again=again)
    if isinstance(exc, AuthenticationError):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="neuro"'
    if isinstance(exc, TooManyVisitors):
        answer.force_close()
    if isinstance(exc, NotStarted | NotListening):
        answer.headers["Retry-After"] = str(_RELOAD)
    answer.headers.update({"Server": "neuro-platform", "X-Content-Type-Options": "nosniff", **_UNCACHED})
    return answer
