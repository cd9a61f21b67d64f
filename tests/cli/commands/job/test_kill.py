"""`neuro kill`: each job is stopped, each id printed."""

from __future__ import annotations

from tests.cli.conftest import Neuro
from tests.conftest import Platform


async def test_several_jobs(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    ids = [(await neuro.ok("run", "--detach", "-n", name, "host", "--", "true")).strip() for name in ("one", "two")]

    printed = await neuro.ok("kill", "one", ids[1])
    await platform.settle()

    assert printed.split() == ids
    assert {job["status"] for job in await neuro.json("ps", "-a", "--json")} == {"cancelled"}


async def test_a_failure_does_not_stop_the_rest(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    job_id = (await neuro.ok("run", "--detach", "-n", "one", "host", "--", "true")).strip()

    done = await neuro("kill", "nothing", "one")

    assert (done.code, done.text.split()) == (1, [job_id])
    assert "nothing" in done.sentence


async def test_one_unknown_job_is_not_found(neuro: Neuro) -> None:
    done = await neuro("kill", "nothing")

    assert (done.code, done.text) == (72, "")
    assert "nothing" in done.sentence


async def test_a_finished_job_is_no_error(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "-n", "one", "host", "--", "true")

    assert (await neuro("kill", "one")).code == 0


async def test_an_unreachable_platform_is_not_taken_for_a_missing_job(neuro: Neuro) -> None:
    done = await neuro("kill", "one", env={"NEURO_TOKEN": "x.y.z", "NEURO_URL": "http://127.0.0.1:9/api/v1"})

    assert done.code == 74
