"""Which error an answer is, and what travels with every request."""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

import neuro_sdk
from neuro_sdk import Client, Factory, NeuroError, errors, gen_trace_id
from tests.sdk.foreign import JOB_ID, Foreign, token_of


@pytest.fixture
async def client(foreign: Foreign, folder: Path) -> AsyncIterator[Client]:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        foreign.seen.clear()
        yield client


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.IllegalArgumentError),
        (401, errors.AuthenticationError),
        (403, errors.AuthorizationError),
        (404, errors.ResourceNotFound),
        (405, errors.ClientError),
        (409, errors.Conflict),
        (422, errors.IllegalArgumentError),
        (429, errors.IllegalArgumentError),
        (500, errors.ServerFault),
        (502, errors.ServerNotAvailable),
        (503, errors.ServerFault),
    ],
)
async def test_an_answer_is_an_error_by_its_status(
    client: Client, foreign: Foreign, status: int, kind: type[NeuroError]
) -> None:
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response({"error": "said so"}, status=status)

    with pytest.raises(kind, match=r"^said so$") as caught:
        await client.jobs.status(JOB_ID)

    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [402, 409, 413, 422, 429, 500, 503, 504])
async def test_any_other_status_is_an_illegal_argument_as_documented(
    client: Client, foreign: Foreign, status: int
) -> None:
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.Response(status=status)

    with pytest.raises(errors.IllegalArgumentError):
        await client.jobs.status(JOB_ID)


async def test_our_platforms_say_by_code_which_error_it_is(client: Client, foreign: Foreign) -> None:
    body = {"error": "no terminal here", "code": "not_supported"}
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(body, status=400)

    with pytest.raises(errors.NotSupportedError, match="no terminal here"):
        await client.jobs.status(JOB_ID)


async def test_a_code_that_does_not_fit_the_status_is_not_ours(client: Client, foreign: Foreign) -> None:
    body = {"error": "x", "code": "not_found"}
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(body, status=403)

    with pytest.raises(errors.AuthorizationError):
        await client.jobs.status(JOB_ID)


@pytest.mark.parametrize("number", ["EISDIR", errno.EISDIR])
async def test_errno_becomes_the_right_os_error(client: Client, foreign: Foreign, number: object) -> None:
    body = {"error": "a folder", "errno": number}
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(body, status=400)

    with pytest.raises(IsADirectoryError, match="a folder"):
        await client.jobs.status(JOB_ID)


@pytest.mark.parametrize(
    ("text", "content_type", "sentence"),
    [
        ("400: Bad Request", "text/plain", "400: Bad Request"),
        ('{"error": "x"}', "text/plain", '{"error": "x"}'),
        ("", "application/json", "400 Bad Request from http://127"),
        ("[]", "application/json", "400 Bad Request from http://127"),
        ("null", "application/json", "400 Bad Request from http://127"),
    ],
)
async def test_only_a_json_body_is_looked_into(
    client: Client, foreign: Foreign, text: str, content_type: str, sentence: str
) -> None:
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.Response(
        status=400, text=text, content_type=content_type
    )

    with pytest.raises(errors.IllegalArgumentError, match=f"^{re.escape(sentence)}"):
        await client.jobs.status(JOB_ID)


async def test_an_answer_that_is_no_document_names_what_is_wrong(client: Client, foreign: Foreign) -> None:
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response({"id": 1})

    with pytest.raises(errors.IllegalArgumentError, match="Not a valid document"):
        await client.jobs.status(JOB_ID)


async def test_every_request_says_who_and_what_it_is_part_of(client: Client, foreign: Foreign) -> None:
    await client.jobs.status(JOB_ID)
    await client.jobs.status(JOB_ID)

    first, second = (asked.headers for asked in foreign.seen)
    assert first["Authorization"] == f"Bearer {token_of('user')}"
    assert re.fullmatch(r"neuro-sdk/\S+ \(\w+\)", first["User-Agent"])
    assert re.fullmatch(r"[0-9a-f]{32}-[0-9a-f]{16}", first["b3"])
    assert first["sentry-trace"] == first["b3"] + "-"
    assert first["b3"][:32] != second["b3"][:32]


async def test_a_trace_may_be_given(foreign: Foreign, folder: Path) -> None:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    trace = gen_trace_id()

    async with await Factory(folder, None, trace, True).get() as client:
        await client.jobs.status(JOB_ID)

    sent = foreign.seen[-1].headers
    assert sent["b3"].startswith(f"{trace}-")
    assert sent["sentry-trace"] == f"{sent['b3']}-1"
    assert "b3" not in foreign.seen[0].headers  # not on /config


def test_a_trace_id_begins_with_the_time() -> None:
    first, second = gen_trace_id(), gen_trace_id()

    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second
    assert abs(int(first[:8], 16) - int(second[:8], 16)) <= 1
