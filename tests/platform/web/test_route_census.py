"""Every route of the server is either on the list of those for everybody, or answers 401 without a credential."""

from __future__ import annotations

import re

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from neuro_platform.app import make_app
from neuro_platform.web.security import PUBLIC, SOFT
from tests.conftest import Platform

CREDENTIALS = [None, "Bearer nonsense", "Basic YWxpY2U6eA=="]


def _routes(platform: Platform) -> set[tuple[str, str]]:
    """Method and path of each route, as written in the code."""
    return {
        (route.method, route.resource.canonical)
        for route in make_app(platform.parts).router.routes()
        if route.resource is not None
    }


def _path(canonical: str) -> str:
    return re.sub(r"\{[^}]*\}", "1", canonical)


async def test_every_route_is_public_or_asks_for_a_credential(platform: Platform) -> None:
    private = {(method, path) for method, path in _routes(platform) if path not in PUBLIC | SOFT}
    assert len(private) > 10

    async with aiohttp.ClientSession() as http:
        for method, path in sorted(private):
            for credential in CREDENTIALS:
                headers = {"Authorization": credential} if credential else {}
                url = platform.parts.settings.base_url.with_path(_path(path))
                async with http.request("PROPFIND" if method == "*" else method, url, headers=headers) as response:
                    assert response.status == 401, (method, path, credential)


async def test_the_list_names_nothing_that_is_not_there(platform: Platform) -> None:
    there = {path for _, path in _routes(platform)}

    assert there >= PUBLIC | SOFT
    assert not PUBLIC & SOFT


async def test_no_route_takes_in_what_others_do_not(platform: Platform) -> None:
    resources = list(make_app(platform.parts).router.resources())

    assert not [r for r in resources if isinstance(r, web.StaticResource)]
    assert not [r.canonical for r in resources if isinstance(r, web.DynamicResource) and r.canonical.startswith("/{")]


@pytest.mark.parametrize(
    "path", ["/api/v1//jobs", "/api/v1/jobs/", "/API/V1/jobs", "/api/v1/%6aobs", "/ping/../api/v1/jobs"]
)
async def test_spelling_a_path_differently_opens_no_door(platform: Platform, path: str) -> None:
    url = URL(f"{platform.parts.settings.base_url.origin()}{path}", encoded=True)

    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status in (401, 404)
