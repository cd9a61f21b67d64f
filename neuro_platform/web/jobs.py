"""Submitting, listing, showing, stopping jobs (API v1, chapter 5)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from neuro_platform.services.jobs import Filter
from neuro_platform.web.errors import incident
from neuro_platform.web.generations import submission
from neuro_platform.web.http import API, answer, flag, read, read_json, time, user_of
from neuro_platform.web.keys import jobs_key
from neuro_sdk.errors import IllegalArgumentError, NeuroError
from neuro_sdk.wire.codec import Model, encode
from neuro_sdk.wire.jobs import JobStatus

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

NDJSON = "application/x-ndjson"


class LifeSpan(Model, frozen=True):
    """The body of ``PUT …/max_run_time_minutes``: one of the two."""

    additional_max_run_time_minutes: int | None = None
    max_run_time_minutes: int | None = None


@routes.post(f"{API}/jobs")
async def submit(request: web.Request) -> web.Response:
    """With ``Idempotency-Key``, sending the same submission again brings back the same job (5.2, 5.3)."""
    document = submission(request, await read_json(request))
    key = request.headers.get("Idempotency-Key")
    return answer(await request.app[jobs_key].submit(user_of(request), document, key=key), 202)


@routes.get(f"{API}/jobs", allow_head=False)
async def list_(request: web.Request) -> web.StreamResponse:
    """As lines for who accepts them, else as one document; either is sent while it is read (5.4)."""
    pages = request.app[jobs_key].list(user_of(request), _filter(request))
    lines = NDJSON in request.headers.get("Accept", "")
    response = web.StreamResponse(headers={"Content-Type": NDJSON if lines else "application/json"})
    await response.prepare(request)
    if lines:
        await _send_lines(request, response, pages)
    else:
        await _send_document(response, pages)
    await response.write_eof()
    return response


@routes.get(f"{API}/jobs/{{job}}")
async def get(request: web.Request) -> web.Response:
    return answer(await request.app[jobs_key].get(user_of(request), request.match_info["job"]))


@routes.delete(f"{API}/jobs/{{job}}")
async def kill(request: web.Request) -> web.Response:
    """Returns before the job is gone (5.10)."""
    await request.app[jobs_key].kill(user_of(request), request.match_info["job"])
    return web.Response(status=204)


@routes.put(f"{API}/jobs/{{job}}/max_run_time_minutes")
async def life_span(request: web.Request) -> web.Response:
    """Either more minutes or how many in all (5.11)."""
    asked = await read(request, LifeSpan)
    user, job, jobs = user_of(request), request.match_info["job"], request.app[jobs_key]
    match asked:
        case LifeSpan(additional_max_run_time_minutes=int() as more, max_run_time_minutes=None):
            await jobs.bump_life_span(user, job, more)
        case LifeSpan(additional_max_run_time_minutes=None, max_run_time_minutes=int() as minutes):
            await jobs.set_life_span(user, job, minutes)
        case _:
            raise IllegalArgumentError("Give either additional_max_run_time_minutes or max_run_time_minutes")
    return web.Response(status=204)


@routes.get(f"{API}/tags")
async def tags(request: web.Request) -> web.Response:
    return answer({"tags": await request.app[jobs_key].tags(user_of(request))})


def _filter(request: web.Request) -> Filter:
    query = request.query
    return Filter(
        statuses=[_status(text) for text in query.getall("status", [])],
        name=query.get("name", ""),
        owners=query.getall("owner", []),
        tags=query.getall("tag", []),
        clusters=query.getall("cluster_name", []),
        since=time(request, "since"),
        until=time(request, "until"),
        reverse=flag(request, "reverse"),
        limit=_limit(query.get("limit")),
    )


def _status(text: str) -> JobStatus:
    status = JobStatus(text)
    if status is JobStatus.UNKNOWN:
        known = ", ".join(sorted(JobStatus.items()))
        raise IllegalArgumentError(f"There is no job status {text!r}; there is {known}")
    return status


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise IllegalArgumentError("The limit must be a whole number, at least 1 and of at most 18 digits")
    return int(text)


async def _send_lines(
    request: web.Request, response: web.StreamResponse, pages: AsyncIterator[Sequence[bytes]]
) -> None:
    try:
        async for page in pages:
            await response.write(b"\n".join(page) + b"\n")
    except ConnectionError:
        raise
    except NeuroError as exc:
        await response.write(encode({"error": str(exc)}))
    except Exception:  # noqa: BLE001  (the header has gone out: this line is the only way left to say it)
        await response.write(encode({"error": incident(request)}))


async def _send_document(response: web.StreamResponse, pages: AsyncIterator[Sequence[bytes]]) -> None:
    separator = b'{"jobs":['
    async for page in pages:
        await response.write(separator + b",".join(page))
        separator = b","
    await response.write(b"]}" if separator == b"," else separator + b"]}")
