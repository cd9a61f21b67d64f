"""Who gets past the door: checks that every request passes before its handler, and headers on every answer."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from yarl import URL

from neuro_platform.settings import LOOPBACK, Settings
from neuro_platform.web.errors import refusal
from neuro_platform.web.http import API, is_websocket
from neuro_platform.web.keys import auth_key, label_key, settings_key, user_key
from neuro_sdk.errors import AuthenticationError, AuthorizationError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# All that answers without a credential. `tests/platform/web/test_route_census.py` holds every other route to its 401.
PUBLIC: Final = frozenset(
    {
        "/",
        "/ping",
        f"{API}/ping",
        "/authorize",
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/show-code",
        "/logged-in",
        "/logout",
        "/open",
        "/pages/{name}",
    }
)
# Answers everybody, and more to those with a good credential; a bad one counts as none (API v1, 3.1).
SOFT: Final = frozenset({f"{API}/config"})

QUERY_TOKEN: Final = "neuro-auth-token"  # noqa: S105  (the name of a query parameter)
_HOST: Final = re.compile(r"(\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(:(?P<port>[0-9]{1,5}))?")
_WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  (not a bind)


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse names that are not ours: a page that points its own name at this address must get nothing."""
    hosts = request.headers.getall("Host", [])
    # `request.host` is another one when the request line has a whole URL; all that is built from it must be ours too
    names = [host_name(host) for host in (*hosts, request.host)]
    if len(hosts) != 1 or None in names:
        return refusal(request, 400, "The request needs one Host header, with the platform's name", "illegal_argument")
    if not all(name is not None and _is_ours(name, request.app[settings_key]) for name in names):
        return refusal(
            request,
            421,
            "The platform does not answer to this host name: use its own address, or add the name to allowed_hosts in "
            "platform.toml (or NEURO_PLATFORM_ALLOWED_HOSTS) and restart it",
            "illegal_argument",
        )
    return await handler(request)


@web.middleware
async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse WebSockets and changes that a web page of another origin asks for; programs send no Origin."""
    if request.method in ("GET", "HEAD", "OPTIONS") and not is_websocket(request):
        return await handler(request)
    origin = request.headers.get("Origin")
    if origin is not None:
        ours = _same_origin(origin, request)
    else:
        ours = request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
    if not ours:
        raise AuthorizationError("A web page of another site asked for this: only the platform's own pages may")
    return await handler(request)


@web.middleware
async def check_credential(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who asks; everything that is not on the lists above needs that."""
    resource = request.match_info.route.resource
    if resource is None or request.match_info.http_exception is not None:
        return await handler(request)  # nothing is served there: the answer is a 404 or a 405
    if resource.canonical in PUBLIC:
        return await handler(request)
    try:
        request[user_key] = await request.app[auth_key].authenticate(_token(request))
    except AuthenticationError:
        if resource.canonical not in SOFT:
            raise
    return await handler(request)


middlewares: Final = (check_host, check_origin, check_credential)  # outermost first


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """For ``on_response_prepare``: headers that keep browsers from doing anything clever with an answer."""
    headers = response.headers
    headers["Server"] = "neuro-platform"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # not no-referrer: that would make browsers send `Origin: null` with our own forms
    headers["Referrer-Policy"] = "same-origin"
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.setdefault("Cache-Control", "no-store")
    if response.status == 401 and request.path.startswith(API):
        headers.setdefault("WWW-Authenticate", 'Bearer realm="neuro"')


class AccessLogger(AbstractAccessLogger):
    """One line for a request, without its query: codes and tokens travel there. What a job answers has its address."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        user, label = request.get(user_key), request.get(label_key)
        self.logger.info(
            "%s %s %s %s %d %dB %.0fms",
            request.remote,
            user.name if user is not None else "-",
            request.method,
            request.rel_url.raw_path if label is None else f"{label}:{request.rel_url.raw_path}",
            response.status,
            response.body_length,
            time * 1000,
        )

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)


def host_name(header: str) -> str | None:
    """The name in a ``Host`` header, without port and brackets; None when it is no such thing."""
    found = _HOST.fullmatch(header)
    if found is None or int(found["port"] or 0) > 65535:
        return None
    return (found["address"] or found["name"]).lower()


def _is_ours(name: str, settings: Settings) -> bool:
    if name in LOOPBACK or name in (host.lower() for host in (*settings.allowed_hosts, settings.base_url.host or "")):
        return True
    if settings.host in _WILDCARDS:
        return _is_address(name)  # no name can be pointed at us when there is no name
    return name == settings.host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(origin: str, request: web.Request) -> bool:
    try:
        url = URL(origin).origin()
    except ValueError:
        return False
    if url == request.app[settings_key].base_url.origin():
        return True
    # by what the browser calls us, whichever way it came: a proxy before us may speak TLS
    return origin.lower() in (f"{scheme}://{request.headers['Host'].lower()}" for scheme in ("http", "https"))


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token that a request brings, if it brings one and nothing else."""
    match headers.get("Authorization", "").split(maxsplit=1):
        case [scheme, token] if scheme.lower() == "bearer":
            return token.strip()
    return None


def _token(request: web.Request) -> str:
    match request.headers.getall("Authorization", []):
        case []:
            tokens = request.query.getall(QUERY_TOKEN, []) if request.method == "GET" else []
            if not tokens:
                raise AuthenticationError("The request carries no credential: run `neuro login`")
            return tokens[0]
        case [header]:
            scheme, _, token = header.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
    raise AuthenticationError("The Authorization header is malformed: it must be `Bearer TOKEN`")
