"""What `--trace` shows of bodies: text, its beginning, and no secret, however it was cut into pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
from aiohttp import web

from neuro_sdk import http_trace
from tests.sdk.foreign import Foreign


async def trace(foreign: Foreign, pieces: Sequence[bytes], answer: bytes = b"") -> list[str]:
    """Send a body in these pieces, get an answer; all lines that were shown about it."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    foreign.answers["POST /here"] = lambda _: web.Response(body=answer)
    shown: list[str] = []
    async with (
        aiohttp.ClientSession(trace_configs=[http_trace(shown.append)]) as session,
        session.post(foreign.base / "here", data=body()) as response,
    ):
        await response.read()
    return shown


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b"a=1&refresh_token=secret&b=2", "a=1&refresh_token=<hidden>&b=2"),
        (b'{"password": "secret", "b": 2}', '{"password": "<hidden>", "b": 2}'),
        (b'{"token": "my secret \\"secret\\" secret", "b": 2}', '{"token": "<hidden>", "b": 2}'),
    ],
)
async def test_a_secret_is_masked_wherever_the_body_is_cut(foreign: Foreign, body: bytes, masked: str) -> None:
    for at in range(1, len(body)):
        shown = await trace(foreign, [body[:at], body[at:]], answer=body)

        assert "secret" not in "".join(shown)
        assert f"> {masked}" in shown
        assert f"< {masked}" in shown


async def test_of_what_is_no_text_only_the_size_is_shown(foreign: Foreign) -> None:
    shown = await trace(foreign, [b"\x1f\x8b\xff" * 100], answer=b"a\0b")

    assert "> 300 bytes that are no text" in shown
    assert "< 3 bytes that are no text" in shown


async def test_of_a_long_body_the_beginning_is_shown(foreign: Foreign) -> None:
    pieces = ["ä".encode() * 30_001, b"x" * 1_000_000, b"token=secret"]

    shown = await trace(foreign, pieces)

    assert "> " + "ä" * 4096 in shown
    assert shown[shown.index("> " + "ä" * 4096) + 1] == "> ... of 1060014 bytes"
    assert sum(map(len, shown)) < 10_000
