"""Turns whatever a handler raises into the one form of error that clients know."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from neuro_platform.web.http import is_websocket
from neuro_sdk.errors import AuthorizationError, NeuroError
from neuro_sdk.wire.codec import encode

log = logging.getLogger(__name__)

CLIENT_GONE: Final = 499  # for the log; nobody else hears it

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ours with their own status and sentence; anything else as 500 with an incident number and nothing more.

    A body never repeats what the request held beyond what an error of ours says, and a refused WebSocket says the same
    in the header ``X-Error`` (API v1, chapter 1.6).
    """
    try:
        return await handler(request)
    except NeuroError as exc:
        more = {"missing": exc.missing} if isinstance(exc, AuthorizationError) and exc.missing else {}
        return refusal(request, exc.status, str(exc), exc.code, **more)
    except web.HTTPException as exc:
        if exc.status < 400 or exc.content_type == "application/json":
            raise
        answer = refusal(request, exc.status, _sentence(exc), "http")
        if "Allow" in exc.headers:
            answer.headers["Allow"] = exc.headers["Allow"]
        return answer
    except (ConnectionError, TimeoutError):
        if request.transport is None or request.transport.is_closing():
            return web.Response(status=CLIENT_GONE)  # what is raised, aiohttp takes for a fault, and logs at length
        return refusal(request, 500, incident(request), "error")
    except Exception:  # noqa: BLE001  (whatever it is, the client gets an answer and the log the traceback)
        return refusal(request, 500, incident(request), "error")


def refusal(request: web.Request, status: int, sentence: str, code: str, **more: object) -> web.Response:
    """The error document, in the body and for a WebSocket in the header too."""
    document = {"error": sentence, "code": code, **more}
    answer = web.Response(body=encode(document), status=status, content_type="application/json")
    if is_websocket(request):
        answer.headers["X-Error"] = json.dumps(document)
    if not request.content.is_eof():
        answer.force_close()  # what is left of the body would be taken for the next request
    return answer


def incident(request: web.Request) -> str:
    """Write the exception that is being handled to the log, and return the sentence for the client."""
    number = uuid.uuid4().hex[:12]
    log.exception("Incident %s in %s %s", number, request.method, request.rel_url.raw_path)
    return f"The platform failed on this request; its log has the details under incident {number}"


def _sentence(exc: web.HTTPException) -> str:
    match exc.status:
        case 404:
            return "Nothing is served at this address"
        case 405:
            return "This address does not answer that method"
        case 413:
            return "The request's body is too large"
        case _:
            phrase = HTTPStatus(exc.status).phrase
            return exc.text if exc.text and not exc.text.startswith(str(exc.status)) else phrase
