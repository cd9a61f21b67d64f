"""Every route of a job, walked with every permission: what takes which, and that without it nothing is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
import pytest

from neuro_platform.app import make_app
from neuro_platform.web import guests
from neuro_platform.web.http import API
from neuro_sdk.wire.users import Action
from tests.conftest import Platform
from tests.platform.orders import order

JOB: Final = f"{API}/jobs/{{job}}"
STREAM: Final = f"{API}/monitoring/{{job}}"
NOT_OF_A_JOB: Final = {f"{API}/monitoring/capacity", f"{API}/jobs/dry-run"}


@dataclass(frozen=True)
class Use:
    """A route as somebody uses it, what that takes, and how it is answered when it works."""

    method: str
    path: str
    action: Action
    status: int
    query: str = ""
    body: Any = None

    @property
    def is_socket(self) -> bool:
        return self.status == 101


# A new route of a job has to be here: say what it takes, and how to use it on a running job with a terminal, in which
# the command `known` runs, and which listens on port 80.
USES: Final = [
    Use("GET", JOB, Action.READ, 200),
    Use("GET", f"{JOB}/why", Action.READ, 200),
    Use("DELETE", JOB, Action.WRITE, 204),
    Use("PUT", f"{JOB}/max_run_time_minutes", Action.WRITE, 204, body={"additional_max_run_time_minutes": 1}),
    Use("POST", f"{JOB}/open", Action.WRITE, 200),
    Use("GET", f"{STREAM}/log", Action.READ, 200),
    Use("GET", f"{STREAM}/top", Action.READ, 101),
    Use("GET", f"{STREAM}/attach", Action.READ, 101, "stdout=1"),
    Use("GET", f"{STREAM}/attach", Action.WRITE, 101, "stdin=1"),
    Use("POST", f"{STREAM}/exec_create", Action.WRITE, 200, body={"command": "true"}),
    Use("GET", f"{STREAM}/{{exec}}/exec_start", Action.WRITE, 101),
    Use("POST", f"{STREAM}/{{exec}}/exec_resize", Action.WRITE, 200, "w=80&h=25"),
    Use("GET", f"{STREAM}/{{exec}}/exec_inspect", Action.WRITE, 200),
    Use("GET", f"{STREAM}/port_forward/{{port}}", Action.WRITE, 101),
    Use("POST", f"{STREAM}/resize", Action.WRITE, 200, "w=80&h=25"),
    Use("POST", f"{STREAM}/kill", Action.WRITE, 204, "signal=SIGUSR1"),
    # the engine here has no containers, which is only said to who might have saved one
    Use("POST", f"{STREAM}/save", Action.WRITE, 400, body={"container": {"image": "localhost/alice/x:latest"}}),
    Use("GET", f"{STREAM}/top", Action.READ, 101),
    Use("GET", f"{STREAM}/log_ws", Action.READ, 101),
    Use("GET", f"{STREAM}/exec", Action.WRITE, 101, "cmd=true&tty=0&stdin=1"),
]
USES += [replace(use, method="POST") for use in USES if use.is_socket]
IDS: Final = [f"{use.method} {use.path.removeprefix(API)}?{use.query}" for use in USES]


@pytest.fixture
async def session(platform: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {await platform.add_user('bob')}"}) as session:
        yield session


async def running(platform: Platform) -> str:
    """A job of the first user, with a terminal, a port and a command beside its program."""
    platform.engine.will(hold=True)
    platform.engine.will_exec(hold=True)
    job = await platform.parts.jobs.submit(
        platform.user, order(tty=True, name="train", http={"port": 80, "requires_auth": True})
    )
    await platform.settle()
    platform.engine.listen(f"{job.id}.1", 80, at=("127.0.0.1", platform.parts.settings.port))  # somebody is there
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {platform.token}"}) as own,
        own.post(f"{platform.url}/monitoring/{job.id}/exec_create", json={"command": "x", "exec_id": "known"}) as made,
    ):
        assert made.status == 200
    return job.id


def url_of(platform: Platform, job: str, how: Use) -> str:
    path = how.path.replace("{job}", job).replace("{exec}", "known").replace("{port}", "80")
    return f"{platform.parts.settings.base_url.origin()}{path}?{how.query}"


async def use(session: aiohttp.ClientSession, platform: Platform, job: str, how: Use) -> tuple[int, Any]:
    """Status and error document of a use by somebody; no document when it worked."""
    url = url_of(platform, job, how)
    if how.is_socket:
        try:
            async with session.ws_connect(url, method=how.method):
                return 101, None
        except aiohttp.WSServerHandshakeError as exc:
            return exc.status, {}
    async with session.request(how.method, url, json=how.body) as answer:
        return answer.status, await answer.json() if answer.status >= 400 else None


async def share(platform: Platform, uri: str, action: Action, to: str = "bob") -> None:
    await platform.parts.permissions.grant(platform.user, to, [(uri, action)])


def test_every_route_of_a_job_is_walked(platform: Platform) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in make_app(platform.parts).router.routes()
        if route.resource is not None and route.method != "HEAD"  # the same handler as GET
    }
    of_jobs = ("{job}", f"{API}/jobs/", f"{API}/monitoring/")

    there = {(method, path) for method, path in routes if any(part in path for part in of_jobs)}

    assert {route for route in there if route[1] not in NOT_OF_A_JOB} == {(how.method, how.path) for how in USES}


@pytest.mark.parametrize("how", USES, ids=IDS)
async def test_without_a_permission_nothing_is_seen(
    platform: Platform, session: aiohttp.ClientSession, how: Use
) -> None:
    job = await running(platform)
    nowhere = "job-00000000-0000-0000-0000-000000000000"

    status, refused = await use(session, platform, job, how)
    as_if = await use(session, platform, nowhere, how)

    assert status == 404
    assert (status, str(refused).replace(job, nowhere)) == (as_if[0], str(as_if[1]))  # not to be told from no job


@pytest.mark.parametrize("how", USES, ids=IDS)
@pytest.mark.parametrize("action", list(Action))
async def test_each_use_takes_its_permission(
    platform: Platform, session: aiohttp.ClientSession, how: Use, action: Action
) -> None:
    job = await running(platform)
    user = platform.user.name
    await share(platform, f"job://local/{user}/{job}", action)

    status, refused = await use(session, platform, job, how)

    if action.includes(how.action):
        assert status == how.status
    else:
        assert status == 403
        missing = [{"uri": f"job://local/{user}/{job}", "action": str(how.action)}]
        assert how.is_socket or refused["missing"] == missing


STREAMS: Final = [how for how in USES if how.is_socket]


@pytest.mark.parametrize("how", STREAMS, ids=[name for name, how in zip(IDS, USES, strict=True) if how.is_socket])
@pytest.mark.parametrize("by", ["its URI", "a role", "the role itself"])
async def test_a_stream_ends_with_the_permission(
    platform: Platform, session: aiohttp.ClientSession, how: Use, by: str
) -> None:
    """And that of somebody else does not."""
    job = await running(platform)
    permissions, user = platform.parts.permissions, platform.user
    uri, role = f"job://local/{user.name}/{job}", f"{user.name}/team"
    await permissions.add_role(user, role)
    if by == "its URI":
        await share(platform, uri, Action.WRITE)
    else:
        await share(platform, uri, Action.WRITE, to=role)
        await share(platform, f"role://{role}", Action.READ)
    taking = {
        "its URI": ("users/bob/permissions", {"uri": uri}),
        "a role": ("users/bob/permissions", {"uri": f"role://{role}"}),
        "the role itself": (f"users/{role.replace('/', ':')}", {}),
    }
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {platform.token}"}) as own,
        own.ws_connect(f"{platform.url}/monitoring/{job}/top") as mine,
        session.ws_connect(url_of(platform, job, how), method=how.method) as theirs,
    ):
        path, query = taking[by]
        async with own.delete(f"{platform.url}/{path}", params=query) as answer:
            assert answer.status == 204
        async with asyncio.timeout(10):
            while (message := await theirs.receive()).type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                pass

        # cut, or closed with a reason: 1000 would say that this was all
        assert (message.type, message.data) != (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.OK)
        assert not mine.closed


async def test_the_streams_of_a_user_end_who_is_removed(
    platform: Platform, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever process: the database says so."""
    monkeypatch.setattr(guests, "_PAUSE", 0.05)
    job = await running(platform)
    await share(platform, f"job://local/{platform.user.name}/{job}", Action.READ)

    async with session.ws_connect(f"{platform.url}/monitoring/{job}/attach?stdout=1") as theirs:
        await platform.parts.auth.remove_user("bob")
        async with asyncio.timeout(30):
            message = await theirs.receive()

    assert message.type is aiohttp.WSMsgType.CLOSED  # without a word
