"""What a client has to know to begin: how to log in, and which clusters there are (API v1, chapter 3)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from yarl import URL

from neuro_platform.auth.oauth import CLIENT_ID
from neuro_platform.auth.tokens import AUDIENCE
from neuro_platform.web.generations import Machine, config_document, generation_of
from neuro_platform.web.http import API, answer
from neuro_platform.web.keys import clusters_key, settings_key, user_key
from neuro_sdk.wire import frames, jobs, reasons
from neuro_sdk.wire.cluster import AuthSettings, ServerConfig, server_config_document

routes = web.RouteTableDef()

FEATURES: Final = (
    frames.FEATURE,
    frames.LOGS_FEATURE,
    jobs.STDIN_FEATURE,
    jobs.ARGV_FEATURE,
    jobs.WAIT_FEATURE,
    jobs.AGES_FEATURE,
    frames.FORWARD_FEATURE,
    jobs.BROWSE_FEATURE,
    reasons.WHY_FEATURE,
    reasons.DRY_RUN_FEATURE,
)


@routes.get(f"{API}/config")
async def config(request: web.Request) -> web.Response:
    """The clusters only for those who are logged in; a bad token is answered like none."""
    base = base_url(request)
    user = request.get(user_key)
    document = server_config_document(
        ServerConfig(
            auth=AuthSettings(
                auth_url=base / "authorize",
                token_url=base / "oauth/token",
                logout_url=base / "logout",
                client_id=CLIENT_ID,
                audience=AUDIENCE,
                headless_callback_url=base / "oauth/show-code",
                success_redirect_url=base / "logged-in",
            ),
            admin_url=base / "apis/admin/v1" if user is not None else None,
            clusters=request.app[clusters_key].describe(base) if user is not None else (),
            features=FEATURES,
            authorized=user is not None,
        )
    )
    if user is not None and (generation := generation_of(request)) is not None:
        document = config_document(generation, document, user=user.name, machines=_machines(request))
    return answer(document)


@routes.get("/ping")
@routes.get(f"{API}/ping")
async def ping(_request: web.Request) -> web.Response:
    return web.Response(text="pong")


def base_url(request: web.Request) -> URL:
    """The platform as this client reaches it; its name has been checked already."""
    settings = request.app[settings_key]
    return settings.base_url if settings.public_url is not None else request.url.origin()


def _machines(request: web.Request) -> Mapping[str, Machine]:
    clusters = request.app[clusters_key]
    disk = shutil.disk_usage(request.app[settings_key].data).total
    return {name: Machine(clusters.capacity(name), disk) for name in clusters.names}
