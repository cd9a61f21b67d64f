"""What handlers find in the application, and what the middlewares leave in the request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from neuro_platform.auth.service import Auth, User
    from neuro_platform.services.clusters import Clusters
    from neuro_platform.services.jobs import Jobs
    from neuro_platform.services.permissions import Permissions
    from neuro_platform.services.publishing import Publishing
    from neuro_platform.services.streams import Streams
    from neuro_platform.services.telemetry import Telemetry
    from neuro_platform.services.usage import Usage
    from neuro_platform.settings import Settings
    from neuro_platform.store.database import Database

settings_key: Final[web.AppKey[Settings]] = web.AppKey("settings")
database_key: Final[web.AppKey[Database]] = web.AppKey("database")
clusters_key: Final[web.AppKey[Clusters]] = web.AppKey("clusters")
jobs_key: Final[web.AppKey[Jobs]] = web.AppKey("jobs")
permissions_key: Final[web.AppKey[Permissions]] = web.AppKey("permissions")
publishing_key: Final[web.AppKey[Publishing]] = web.AppKey("publishing")
streams_key: Final[web.AppKey[Streams]] = web.AppKey("streams")
telemetry_key: Final[web.AppKey[Telemetry]] = web.AppKey("telemetry")
usage_key: Final[web.AppKey[Usage]] = web.AppKey("usage")
auth_key: Final[web.AppKey[Auth]] = web.AppKey("auth")
# commands (job, id) whose output goes to a client of v1, which may not have read all of it
unread_key: Final[web.AppKey[Counter[tuple[str, str]]]] = web.AppKey("unread")

label_key: Final[web.RequestKey[str]] = web.RequestKey("label")  # in a request to what a job publishes: whose address
user_key: Final[web.RequestKey[User]] = web.RequestKey(
    "user"
)  # in a request: who makes it, put there by ``web/security.py``
