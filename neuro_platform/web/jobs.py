"""Submitting, listing, showing, stopping jobs (API v1, chapter 5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

from aiohttp import web

from neuro_platform.services.jobs import Filter
from neuro_platform.services.streams import HEARTBEAT
from neuro_platform.web.errors import incident
from neuro_platform.web.generations import (
    ORG,
    check_place,
    generation_of,
    job_document,
    job_documents,
    submission,
)
from neuro_platform.web.http import API, answer, flag, moment, number, read, read_json, user_of
from neuro_platform.web.keys import jobs_key, streams_key
from neuro_platform.web.relay import first
from neuro_sdk.errors import IllegalArgumentError, NeuroError
from neuro_sdk.wire.codec import Model, encode, to_plain
from neuro_sdk.wire.jobs import JobDescription, JobStatus

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

T = TypeVar("T")

NDJSON = "application/x-ndjson"

_LONGEST_WAIT: Final = 300  # seconds


class LifeSpan(Model, frozen=True):
    """The body of ``PUT …/max_run_time_minutes``: one of the two."""

    additional_max_run_time_minutes: int | None = None
    max_run_time_minutes: int | None = None


@routes.post(f"{API}/jobs")
async def submit(request: web.Request) -> web.Response:
    """With ``Idempotency-Key``, sending the same submission again brings back the same job (5.2, 5.3)."""
    user = user_of(request)
    document = submission(generation_of(request), await read_json(request), user=user.name)
    key = request.headers.get("Idempotency-Key")
    return _answer_job(request, await request.app[jobs_key].submit(user, document, key=key), 202)


@routes.post(f"{API}/jobs/dry-run")
async def dry_run(request: web.Request) -> web.Response:
    """The body and query of a submission; the answer says what it would come to. Ours: ``dry-run-1``."""
    user = user_of(request)
    document = submission(generation_of(request), await read_json(request), user=user.name)
    return answer(await request.app[jobs_key].plan(user, document))


@routes.get(f"{API}/jobs/{{job}}/why")
async def why(request: web.Request) -> web.Response:
    """Why the job waits or how it ended. Ours: ``why-1``."""
    return answer(await request.app[jobs_key].why(user_of(request), request.match_info["job"]))


@routes.get(f"{API}/jobs", allow_head=False)
async def list_(request: web.Request) -> web.StreamResponse:
    """As lines for who accepts them, else as one document; either is sent while it is read (5.4)."""
    user, only = user_of(request), _filter(request)
    found = _nothing() if only is None else request.app[jobs_key].list(user, only)
    pages = job_documents(generation_of(request), found)
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
async def get(request: web.Request) -> web.StreamResponse:
    """The job as it is, or with ``wait`` as soon as it is as somebody waits for it to be."""
    if "wait" in request.query:
        return await _get_later(request)
    return _answer_job(request, await request.app[jobs_key].get(user_of(request), request.match_info["job"]))


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


async def _get_later(request: web.Request) -> web.StreamResponse:
    """The job once it has one of the statuses ``for`` or is finished, at the latest after ``wait`` seconds.

    The answer begins at once, with blanks as signs of life, so that nobody in between takes the line for dead.
    """
    jobs, streams = request.app[jobs_key], request.app[streams_key]
    statuses = {*JobStatus.finished_items(), *(_status(text) for text in request.query.getall("for", []))}
    seconds = min(number(request, "wait") or 0, _LONGEST_WAIT)
    job = await jobs.get(user_of(request), request.match_info["job"])
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
    await response.prepare(request)

    async def settle() -> None:
        nonlocal job
        deadline = asyncio.get_running_loop().time() + seconds
        while job.status not in statuses and (left := deadline - asyncio.get_running_loop().time()) > 0:
            job = await jobs.wait_change(job.id, job, min(left, HEARTBEAT))
            await response.write(b" ")

    with suppress(ConnectionError):  # the client went away, which is its right
        await first(settle(), streams.closed())
        await response.write_eof(_job_body(request, job))
    return response


def _answer_job(request: web.Request, job: JobDescription, status: int = 200) -> web.Response:
    return web.Response(body=_job_body(request, job), status=status, content_type="application/json")


def _job_body(request: web.Request, job: JobDescription) -> bytes:
    generation = generation_of(request)
    return encode(job if generation is None else job_document(generation, to_plain(job)))


def _filter(request: web.Request) -> Filter | None:
    """What a listing asks for; ``None`` when that is surely nothing."""
    query = request.query
    statuses = _both([_status(text) for text in query.getall("status", [])], _by_materialized(request))
    owners = _both(query.getall("owner", []), query.getall("project_name", []))  # a user's project has the user's name
    organisations = query.getall("org_name", [ORG])
    if generation_of(request) is None:  # earlier clients send the place that they were told, or another's
        for org in organisations:
            check_place(org, None, "")
        for project in query.getall("project_name", []):
            check_place(None, project, user_of(request).name)
    only = Filter(
        statuses=statuses or (),
        name=query.get("name", ""),
        owners=owners or (),
        tags=query.getall("tag", []),
        clusters=query.getall("cluster_name", []),
        since=_time(request, "since"),
        until=_time(request, "until"),
        reverse=flag(request, "reverse"),
        limit=_limit(query.get("limit")),
    )
    # jobs and their logs are either there or not
    gone = flag(request, "being_dropped") or flag(request, "logs_removed")
    return None if gone or statuses is None or owners is None or ORG not in organisations else only


def _time(request: web.Request, name: str) -> datetime | None:
    found = moment(request, name)
    return request.app[streams_key].now() - found if isinstance(found, timedelta) else found


def _both(one: Sequence[T], other: Sequence[T]) -> Sequence[T] | None:
    """The values that two filters let through, where an empty one lets all; ``None`` when that is no value at all."""
    if not (one and other):
        return one or other
    return [value for value in one if value in other] or None


def _by_materialized(request: web.Request) -> Sequence[JobStatus]:
    """Whether there is something of the job on its cluster, as there is until it is finished."""
    if "materialized" not in request.query:
        return ()
    return list(JobStatus.active_items() if flag(request, "materialized") else JobStatus.finished_items())


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


async def _nothing() -> AsyncIterator[Sequence[bytes]]:
    pages: Sequence[Sequence[bytes]] = ()
    for page in pages:
        yield page


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
