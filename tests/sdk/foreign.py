"""A small platform that is not ours: it speaks API v1, does as told and remembers what it was asked."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from aiohttp import web
from yarl import URL


def token_of(user: str, **claims: object) -> str:
    """A token with the structure of a JSON web token; foreign ones are signed with keys that nobody here knows."""
    parts = [{"alg": "HS256"}, {"identity": user, **claims}]
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.c2ln"


JOB_ID = "job-1f6b2a10-0c5e-4a55-8b66-0d9f1c7f2a77"


def job_document(**members: object) -> dict[str, Any]:
    time = "2026-02-03T04:05:06.000001+00:00"
    return {
        "id": JOB_ID,
        "owner": "user",
        "cluster_name": "default",
        "status": "pending",
        "statuses": [{"status": "pending", "transition_time": time, "reason": "Creating", "description": None}],
        "history": {"status": "pending", "reason": "Creating", "description": None, "created_at": time},
        "container": {"image": "ubuntu:latest", "resources": {"memory_mb": 16, "cpu": 0.1}},
        "scheduler_enabled": False,
        "pass_config": False,
        "uri": f"job://default/user/{JOB_ID}",
        **members,
    }


class Seen(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]


class Foreign:
    """Start it with ``async with``; ``answers`` replaces what it does for ``METHOD /path``."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.answers: dict[str, Answer] = {}
        self.document: dict[str, Any] = {}  # members of /config that differ
        self.clusters = ["default", "another"]
        self.good_tokens: set[str] | None = None  # none: any
        self.user = "user"
        self.expires_in = 3600.0
        self.rotates = False
        self.refreshes = 0
        self.refresh_token = "refresh-0"
        self.challenges: dict[str, str] = {}  # code to challenge
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.base = URL()

    @property
    def url(self) -> URL:
        return self.base / "api/v1"

    def asked(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    async def __aenter__(self) -> Foreign:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base = URL.build(scheme="https" if self._tls else "http", host=host, port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def stop(self) -> None:
        await self.__aexit__()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        query: dict[str, list[str]] = {}
        for key, value in request.query.items():
            query.setdefault(key, []).append(value)
        self.seen.append(Seen(request.method, request.path, query, dict(request.headers), body))
        answer = self.answers.get(f"{request.method} {request.path}")
        if answer is not None:
            made = answer(request)
            return made if isinstance(made, web.StreamResponse) else await made
        match request.method, request.path:
            case "GET", "/api/v1/config":
                return web.json_response(self.config_document(request.headers.get("Authorization", "")))
            case "POST", "/oauth/token":
                return self.token(dict(await request.post()))
            case "POST", "/api/v1/jobs":
                return web.json_response(job_document(), status=202)
            case "GET", "/api/v1/jobs":
                return web.json_response({"jobs": [job_document()]})
            case "GET", path if path == f"/api/v1/jobs/{JOB_ID}":
                return web.json_response(job_document())
            case "DELETE" | "PUT", _:
                return web.Response(status=204)
        return web.json_response({"error": f"Nothing at {request.path}"}, status=404)

    def config_document(self, authorization: str) -> dict[str, Any]:
        base = str(self.base)
        document: dict[str, Any] = {
            "auth_url": f"{base}/authorize",
            "token_url": f"{base}/oauth/token",
            "logout_url": f"{base}/v2/logout",
            "client_id": "client",
            "audience": "audience",
            "headless_callback_url": f"{base}/show-code",
            "callback_urls": ["http://127.0.0.1:54540", "http://127.0.0.1:54541", "http://127.0.0.1:54542"],
        }
        token = authorization.removeprefix("Bearer ")
        if token and (self.good_tokens is None or token in self.good_tokens):
            document["admin_url"] = f"{base}/apis/admin/v1"
            document["clusters"] = [self._cluster(name) for name in self.clusters]
        return document | self.document

    def grant_code(self, challenge: str, code: str = "good-code") -> str:
        """Do what the login page does: remember for which login the code is."""
        self.challenges[code] = challenge
        return code

    def token(self, form: dict[str, Any]) -> web.Response:
        match form.get("grant_type"):
            case "authorization_code":
                digest = hashlib.sha256(form["code_verifier"].encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                good = self.challenges.pop(form["code"], None) == challenge
            case "refresh_token":
                good = form["refresh_token"] == self.refresh_token
            case _:
                good = False
        if not good:
            return web.json_response({"error": "invalid_grant", "error_description": "It is wrong"}, status=400)
        if form["grant_type"] == "refresh_token":
            self.refreshes += 1
            if self.rotates:
                self.refresh_token = f"refresh-{self.refreshes}"
        reply = {"access_token": token_of(self.user, n=self.refreshes), "expires_in": self.expires_in}
        if form["grant_type"] != "refresh_token" or self.rotates:
            reply["refresh_token"] = self.refresh_token
        return web.json_response(reply)

    def _cluster(self, name: str) -> dict[str, Any]:
        base = str(self.base)
        registry = f"{base}" if name == "default" else f"http://registry-{name}.example:5000"
        services = ("storage", "blob_storage", "users", "monitoring", "secrets", "disks")
        presets = [{"name": "small", "cpu": 0.5, "memory_mb": 128, "credits_per_hour": "0.5"}]
        urls = {f"{service}_url": f"{base}/{name}/{service}" for service in services}
        return {"name": name, "registry_url": registry, **urls, "resource_presets": presets}
