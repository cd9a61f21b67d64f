"""Puts the server together: settings in, a running application out."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from aiohttp import web

from neuro_platform.engines.base import Engine
from neuro_platform.settings import Settings
from neuro_platform.web.errors import errors
from neuro_platform.web.http import BODY_BYTES
from neuro_platform.web.keys import settings_key

# each has `routes`, a web.RouteTableDef with full paths; security also has `middlewares`, outermost first
_MODULES = ("jobs", "config", "monitoring", "auth")


def make_app(settings: Settings, engines: Mapping[str, Engine] | None = None) -> web.Application:
    """The application; ``engines`` by cluster name take the place of the configured ones."""
    from neuro_platform.web import security

    app = web.Application(middlewares=[errors, *security.middlewares], client_max_size=BODY_BYTES)
    app[settings_key] = settings
    for name in _MODULES:
        app.add_routes(importlib.import_module(f"neuro_platform.web.{name}").routes)
    return app
