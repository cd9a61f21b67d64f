"""What users have used (API v1, chapter 15.1)."""

from __future__ import annotations

from aiohttp import web

from neuro_platform.web.http import API, answer, user_of
from neuro_platform.web.keys import usage_key

routes = web.RouteTableDef()


@routes.get(f"{API}/stats/users/{{user}}")
async def user_stats(request: web.Request) -> web.Response:
    return answer(await request.app[usage_key].stats(user_of(request), request.match_info["user"]))
