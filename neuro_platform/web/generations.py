"""What the platform's earlier clients mean by what they send; services know nothing of generations."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from neuro_platform.web.http import is_old_client

_UNASKED_HTTP = {"port": 80, "requires_auth": True}


def submission(request: web.Request, document: Any) -> Any:  # Any: JSON has no narrower type
    """A submission as its user meant it.

    Earlier clients ask for a published port 80 although nobody told them to; an engine that publishes none would have
    to refuse every one of their jobs.
    """
    if not (is_old_client(request) and isinstance(document, dict)):
        return document
    container = document.get("container")
    if isinstance(container, dict):
        return {**document, "container": _without_unasked_http(container)}
    return _without_unasked_http(document)


def _without_unasked_http(members: dict[str, Any]) -> dict[str, Any]:
    if members.get("http") != _UNASKED_HTTP:
        return members
    return {key: value for key, value in members.items() if key != "http"}
