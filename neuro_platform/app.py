"""Puts the server together: settings in, a running platform out."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from neuro_platform.auth.service import Auth
from neuro_platform.engines.base import Engine
from neuro_platform.reconciler import Reconciler
from neuro_platform.services.clusters import Clusters
from neuro_platform.services.jobs import Jobs, utc_now
from neuro_platform.services.permissions import Permissions
from neuro_platform.services.publishing import Addresses, Publishing
from neuro_platform.services.streams import Streams
from neuro_platform.services.tasks import JobLogins
from neuro_platform.services.telemetry import Telemetry
from neuro_platform.services.usage import Usage
from neuro_platform.settings import EngineSettings, Settings
from neuro_platform.store.database import Database, open_database
from neuro_platform.store.jobs import JobStore
from neuro_platform.store.permissions import PermissionStore
from neuro_platform.web import (
    attach,
    auth,
    channels,
    commands,
    config,
    jobs,
    logs,
    monitoring,
    opening,
    passing,
    ports,
    security,
    stats,
    telemetry,
    users,
)
from neuro_platform.web.errors import errors
from neuro_platform.web.guests import Guests, guests_key, watch_guests, watching
from neuro_platform.web.http import API, BODY_BYTES
from neuro_platform.web.keys import (
    auth_key,
    clusters_key,
    database_key,
    jobs_key,
    permissions_key,
    publishing_key,
    settings_key,
    streams_key,
    telemetry_key,
    unread_key,
    usage_key,
)
from neuro_platform.web.published import Published
from neuro_platform.web.runner import Runner
from neuro_sdk.errors import NeuroError, PlatformError

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0  # that a connection may stay open without a complete request, the first one included
_TIDY_SECONDS = 24 * 3600.0  # between two removals of what has expired
_GOODBYE_SECONDS = 3.0  # that requests have to end when the server is stopped
_LINGER_SECONDS = 1.0  # that the rest of a refused body is read, so that its sender sees the refusal


@dataclass(frozen=True)
class Platform:
    """The parts of a platform that is ready to serve."""

    settings: Settings
    database: Database
    auth: Auth
    clusters: Clusters
    permissions: Permissions
    jobs: Jobs
    publishing: Publishing
    streams: Streams
    telemetry: Telemetry
    reconciler: Reconciler
    usage: Usage


@asynccontextmanager
async def open_platform(
    settings: Settings, engines: Mapping[str, Engine] | None = None, clock: Callable[[], datetime] = utc_now
) -> AsyncIterator[Platform]:
    """Everything but the web server; ``engines`` by cluster name take the place of the configured ones."""
    async with AsyncExitStack() as stack:
        settings.jobs.mkdir(mode=0o700, exist_ok=True)
        database = await open_database(settings)
        stack.push_async_callback(database.close)
        auth_service = Auth(database, keys=settings.keys)
        chosen = engines or {name: _engine(name, engine, settings.data) for name, engine in settings.engines.items()}
        clusters = Clusters(chosen, settings.engines)
        stack.push_async_callback(clusters.close)
        await clusters.open()
        store = JobStore(database)
        logins = JobLogins(auth_service, settings.base_url / API.strip("/"))
        reconciler = Reconciler(store, clusters, settings.jobs, logins, clock)
        stack.push_async_callback(reconciler.close)
        await reconciler.open()
        permissions = Permissions(PermissionStore(database), store, clusters, clock)
        addresses = Addresses(settings.published_url)
        publishing = Publishing(store, clusters, permissions, addresses)
        await publishing.open()
        jobs_service = Jobs(store, clusters, permissions, settings.jobs, clock, addresses)
        streams = Streams(jobs_service, clock)
        telemetry_service = Telemetry(jobs_service)
        stack.push_async_callback(telemetry_service.close)
        stack.push_async_callback(_end, asyncio.create_task(_tidy_for_ever(auth_service)))
        yield Platform(
            settings,
            database,
            auth_service,
            clusters,
            permissions,
            jobs_service,
            publishing,
            streams,
            telemetry_service,
            reconciler,
            Usage(store, clusters, clock),
        )


def make_app(platform: Platform) -> web.Application:
    """The web application in front of a platform."""
    app = web.Application(middlewares=[errors, *security.middlewares, watch_guests], client_max_size=BODY_BYTES)
    app[settings_key] = platform.settings
    app[database_key] = platform.database
    app[auth_key] = platform.auth
    app[clusters_key] = platform.clusters
    app[permissions_key] = platform.permissions
    app[guests_key] = Guests(platform.permissions, platform.auth)
    app[jobs_key] = platform.jobs
    app[publishing_key] = platform.publishing
    app[streams_key] = platform.streams
    app[telemetry_key] = platform.telemetry
    app[unread_key] = Counter()
    app[usage_key] = platform.usage
    app.on_response_prepare.append(security.harden)
    app.on_shutdown.append(monitoring.cut_streams)
    app.cleanup_ctx.append(watching)
    for module in (
        config,
        auth,
        opening,
        users,
        jobs,
        logs,
        attach,
        commands,
        ports,
        monitoring,
        channels,
        telemetry,
        stats,
        passing,
    ):
        app.add_routes(module.routes)
    return app


@asynccontextmanager
async def serve(platform: Platform, listening: socket.socket) -> AsyncIterator[None]:
    """Answer requests on the socket until the end of the block."""
    app = make_app(platform)
    runner = Runner(
        app,
        published=Published(platform.settings, platform.publishing, platform.auth, app[guests_key]),
        access_log_class=security.AccessLogger,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=_GOODBYE_SECONDS,
        lingering_time=_LINGER_SECONDS,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening, backlog=512).start()
        yield
    finally:
        await runner.cleanup()


async def _tidy_for_ever(auth_service: Auth) -> None:
    while True:
        try:
            await auth_service.drop_useless()
        except (NeuroError, SQLAlchemyError) as exc:
            log.warning("Cannot remove what has expired, trying again tomorrow: %s", exc)
        await asyncio.sleep(_TIDY_SECONDS)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _engine(name: str, settings: EngineSettings, data: Path) -> Engine:
    match settings.kind:
        case "local":
            from neuro_platform.engines.local import LocalEngine

            # not the user's runtime folder: that goes when the user logs out, and the platform and its jobs stay
            return LocalEngine(runtime_dir=data / "run")
        case _:
            raise PlatformError(f"The engine {name!r} is of an unknown kind {settings.kind!r}; there is 'local'")
