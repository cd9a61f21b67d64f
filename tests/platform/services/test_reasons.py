"""Why a job waits, how it ended, what would change that; and what a submission would come to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from neuro_platform.auth.service import User
from neuro_platform.engines.base import Capacity
from neuro_platform.settings import EngineSettings, Settings
from neuro_sdk.errors import Conflict, IllegalArgumentError, NotSupportedError, ResourceNotFound, ServerNotAvailable
from neuro_sdk.wire.jobs import JobDescription, JobStatus
from neuro_sdk.wire.reasons import JobReason, Shortage
from neuro_sdk.wire.users import Action
from tests.conftest import Platform, running_platform
from tests.platform.orders import Clock, explicit, order

ALICE = User("alice")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def platform(tmp_path: Path, clock: Clock) -> AsyncIterator[Platform]:
    data = tmp_path / "platform"
    settings = Settings(data=data, engines={"local": EngineSettings(jobs_per_user=4)})
    async with running_platform(data, settings=settings, clock=clock) as platform:
        platform.engine.will(hold=True)
        yield platform


async def submit(platform: Platform, document: dict[str, Any], user: User | None = None) -> JobDescription:
    return await platform.parts.jobs.submit(user or platform.user, document)


async def why(platform: Platform, job: JobDescription, user: User | None = None) -> JobReason:
    await platform.settle()
    reason = await platform.parts.jobs.why(user or platform.user, job.id)
    assert (reason.id, reason.name) == (job.id, job.name)
    assert reason.summary.endswith(".")
    assert all(line.endswith(".") for line in reason.advice)
    return reason


class TestWaiting:
    async def test_for_resources_that_others_have(self, platform: Platform, clock: Clock) -> None:
        big = await submit(platform, explicit(cpu=6, name="big", max_run_time_minutes=30))
        await platform.settle()
        small = await submit(platform, explicit(cpu=1, memory_mb=100))
        job = await submit(platform, explicit(cpu=4, memory_mb=32, schedule_timeout=600))

        reason = await why(platform, job)

        assert (reason.kind, reason.position, reason.queue_length) == ("resources", 1, 1)
        assert reason.summary == "It is next, and waits for 4 CPUs (1 of 8 is free)."
        (short,) = reason.shortages
        assert (short.resource, short.wanted, short.free, short.total) == ("cpu", 4, 1, 8)
        assert [(one.job_id, one.amount) for one in short.holders] == [(big.id, 6), (small.id, 1)]
        assert reason.starts_by is not None
        assert abs(reason.starts_by - clock.now - timedelta(minutes=30)) < timedelta(minutes=1)
        assert reason.gives_up_at == job.statuses[0].transition_time + timedelta(minutes=10)
        assert reason.advice == [
            "'neuro kill big' frees 6 CPUs.",
            f"'neuro kill {small.id}' frees 1 CPU.",
            f"With --cpu 1 --memory 32M, {job.id} could start now.",
        ]

    async def test_what_it_says_would_help_does(self, platform: Platform) -> None:
        await submit(platform, explicit(cpu=7.5, memory_mb=16000))
        job = await submit(platform, explicit(cpu=1, memory_mb=500))
        reason = await why(platform, job)
        assert reason.advice[-1] == f"With --cpu 0.5 --memory 384M, {job.id} could start now."
        await platform.parts.jobs.kill(platform.user, job.id)

        again = await submit(platform, explicit(cpu=0.5, memory_mb=384))

        assert (await why(platform, again)).kind == "running"

    async def test_no_time_is_promised_that_depends_on_a_job_without_a_limit(self, platform: Platform) -> None:
        await submit(platform, explicit(cpu=8))

        assert (await why(platform, await submit(platform, explicit(cpu=1)))).starts_by is None

    async def test_jobs_of_others_are_a_number_until_they_are_shared(self, platform: Platform) -> None:
        await platform.add_user("alice")
        theirs = await submit(platform, explicit(cpu=8, name="secret-plan"), ALICE)
        await platform.settle()
        job = await submit(platform, explicit(cpu=1))

        reason = await why(platform, job)
        assert "secret-plan" not in str(reason)
        assert theirs.id not in str(reason)
        (holder,) = reason.shortages[0].holders
        assert (holder.amount, holder.jobs, holder.job_id, holder.owner) == (8, 1, None, None)

        with pytest.raises(ResourceNotFound):
            await platform.parts.jobs.why(ALICE, job.id)
        await platform.parts.permissions.grant(ALICE, platform.user.name, [(str(theirs.uri), Action.READ)])
        (holder,) = (await why(platform, job)).shortages[0].holders
        assert (holder.job_id, holder.name, holder.owner) == (theirs.id, "secret-plan", "alice")

    async def test_behind_others(self, platform: Platform) -> None:
        await submit(platform, explicit(cpu=7))
        await platform.settle()
        big = await submit(platform, explicit(cpu=8, name="big"))
        await platform.settle()

        little = await why(platform, await submit(platform, explicit(cpu=0.5)))
        other = await why(platform, await submit(platform, explicit(cpu=2, priority="low")))

        assert (little.kind, little.position, little.queue_length) == ("turn", 2, 2)
        assert little.summary.startswith("There would be room for it, but 1 job is ahead of it")
        assert "'neuro kill big' takes it out of the way." in little.advice
        assert (other.kind, other.position, other.priority) == ("resources", 3, "low")
        assert "2 jobs are ahead of it" in other.summary
        assert (await why(platform, big)).position == 1

    async def test_for_a_seat(self, platform: Platform) -> None:
        jobs = [await submit(platform, order()) for _ in range(4)]
        await platform.settle()

        reason = await why(platform, await submit(platform, order(wait_for_jobs_quota=True)))

        assert reason.kind == "seat"
        assert "may have 4 unfinished jobs" in reason.summary
        (short,) = reason.shortages
        assert (short.resource, short.free, short.total) == ("seat", 0, 4)
        assert {one.job_id for one in short.holders} == {job.id for job in jobs}

    async def test_for_the_end_of_a_pause(self, platform: Platform, clock: Clock) -> None:
        platform.engine.will(exit_code=3)
        job = await submit(platform, order(restart_policy="on-failure"))

        reason = await why(platform, job)

        assert reason.kind == "back-off"
        assert reason.until == clock.now + timedelta(seconds=1)
        assert "exit code 3" in reason.summary
        assert "next start in 1 s" in reason.summary

    async def test_an_engine_that_is_away(self, platform: Platform) -> None:
        platform.engine.will(fail_start=ServerNotAvailable("The engine is away"))

        reason = await why(platform, await submit(platform, order()))

        assert (reason.kind, reason.details) == (
            "start-failed",
            "Cannot be started yet, trying again: The engine is away",
        )

    async def test_a_full_disk(self, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        class Usage(NamedTuple):
            free: int

        platform.engine.will(fail_start=OSError(28, "No space left on device"))
        job = await submit(platform, order())
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=1000))

        reason = await why(platform, job)

        assert reason.kind == "disk-full"
        assert "disk under the platform's data folder is full" in reason.details

    async def test_an_engine_with_a_queue_of_its_own(self, platform: Platform) -> None:
        platform.engine.set_capacity(None)

        assert (await platform.parts.jobs.plan(platform.user, explicit(cpu=99))).starts_now

    async def test_a_job_that_runs_and_one_that_is_being_stopped(self, platform: Platform, clock: Clock) -> None:
        platform.engine.will(hold=True, stubborn=True)
        job = await submit(platform, order(max_run_time_minutes=5))
        running = await why(platform, job)
        await platform.parts.jobs.kill(platform.user, job.id)

        stopping = await why(platform, job)

        assert (running.kind, stopping.kind) == ("running", "stopping")
        assert running.ends_by is not None
        assert abs(running.ends_by - clock.now - timedelta(minutes=5)) < timedelta(minutes=1)
        assert "on request of the user" in stopping.summary

    async def test_a_cluster_that_was_taken_out(self, platform: Platform) -> None:
        job = await submit(platform, order())
        await platform.settle()
        platform.parts.clusters._engines.clear()

        assert (await platform.parts.jobs.why(platform.user, job.id)).kind == "no-engine"


class TestEnded:
    async def ended(self, platform: Platform, job: JobDescription, code: int, signal: int | None = None) -> JobReason:
        await platform.settle()
        platform.engine.finish(f"{job.id}.1", code, signal=signal)
        reason = await why(platform, job)
        assert reason.position is None
        return reason

    @pytest.mark.parametrize(
        ("code", "signal", "kind", "words"),
        [
            (0, None, "succeeded", "with exit code 0"),
            (3, None, "error", "by itself, with exit code 3."),
            (137, None, "error", "signal 9 (SIGKILL): it was forced to end"),
            (139, 11, "signal", "signal 11 (SIGSEGV): it touched memory that is not its own"),
            (143, 15, "signal", "signal 15 (SIGTERM)"),
            (190, 62, "signal", "signal 62"),
        ],
    )
    async def test_by_itself(self, platform: Platform, code: int, signal: int | None, kind: str, words: str) -> None:
        reason = await self.ended(platform, await submit(platform, order(name="train")), code, signal)

        assert (reason.kind, reason.exit_code, reason.signal) == (kind, code, signal)
        assert words in reason.summary
        assert list(reason.advice) == ([] if code == 0 else ["'neuro logs train' shows what it wrote."])

    async def test_what_it_wrote_last_is_there(self, platform: Platform) -> None:
        platform.engine.will(output=b"boom\n", exit_code=1)

        assert (await why(platform, await submit(platform, order()))).details == "boom"

    async def test_by_a_limit_or_somebody(self, platform: Platform, clock: Clock) -> None:
        job = await submit(platform, order(max_run_time_minutes=1))
        other = await submit(platform, order())
        await platform.settle()
        await platform.parts.jobs.kill(platform.user, other.id)
        clock.advance(minutes=2)

        outlived, killed = await why(platform, job), await why(platform, other)

        assert (outlived.kind, outlived.summary) == (
            "life-span",
            "Its life span of 1 minute has ended, and the platform stopped it.",
        )
        assert any("--life-span" in line for line in outlived.advice)
        assert (killed.kind, killed.summary) == ("stopped", "Stopped on request of the user.")
        assert any("generate-run-command" in line for line in killed.advice)

    async def test_before_it_began(self, platform: Platform, clock: Clock) -> None:
        await submit(platform, explicit(cpu=8))
        late = await submit(platform, explicit(cpu=1, schedule_timeout=60))
        await platform.settle()
        clock.advance(seconds=61)
        assert (await why(platform, late)).kind == "schedule-timeout"

        platform.engine.set_capacity(Capacity(cpu=99, memory_mb=99999))
        platform.engine.will(fail_start=127)
        missing = await why(platform, await submit(platform, order()))
        assert (missing.kind, missing.exit_code) == ("cannot-run", 127)
        assert "told not to start" in missing.details

    async def test_with_nobody_knowing_how(self, platform: Platform) -> None:
        job = await submit(platform, order())
        await platform.settle()
        platform.engine.lose(f"{job.id}.1")

        reason = await why(platform, job)

        assert (reason.kind, reason.exit_code) == ("lost", None)


class TestPlan:
    async def test_it_says_what_would_be_started(self, platform: Platform) -> None:
        document = order("'a b' c", entrypoint="env -i", env={"A": "1"}, name="train", tags=["b", "a"])

        plan = await platform.parts.jobs.plan(platform.user, document)

        assert plan.argv == ["env", "-i", "a b", "c"]
        assert (plan.cluster_name, plan.engine, plan.starts_now) == ("local", "fake", True)
        assert (plan.order.preset_name, plan.order.name, plan.order.tags) == ("cpu-small", "train", ["a", "b"])
        assert plan.container.resources.cpu == 0.1
        assert plan.container.env == {"A": "1"}
        assert plan.reason.kind == "next"
        await platform.settle()
        assert platform.engine.started == []
        with pytest.raises(ResourceNotFound):
            await platform.parts.jobs.get(platform.user, "train")

    async def test_it_says_why_it_would_wait(self, platform: Platform) -> None:
        await submit(platform, explicit(cpu=6))
        await platform.settle()

        plan = await platform.parts.jobs.plan(platform.user, explicit(cpu=4))

        assert not plan.starts_now
        assert plan.reason.summary == "It is next, and waits for 4 CPUs (2 of 8 are free)."
        assert [type(short) for short in plan.reason.shortages] == [Shortage]
        assert "job-" not in plan.reason.advice[-1]

    async def test_a_high_priority_would_be_first(self, platform: Platform) -> None:
        await submit(platform, explicit(cpu=8))
        await submit(platform, explicit(cpu=8))
        await platform.settle()

        positions = [
            (await platform.parts.jobs.plan(platform.user, explicit(cpu=8, priority=word))).reason.position
            for word in ("low", "normal", "high")
        ]

        assert positions == [2, 2, 1]

    @pytest.mark.parametrize(
        ("document", "error", "words"),
        [
            (explicit(cpu=9), IllegalArgumentError, "9 CPUs of 8"),
            (order(name="taken"), Conflict, "taken"),
            (order(image="ubuntu"), NotSupportedError, "ubuntu"),
            (order(privileged=True), NotSupportedError, "privileged"),
            (order(preset_name="none"), IllegalArgumentError, "no preset 'none'"),
            ([], IllegalArgumentError, "document"),
        ],
    )
    async def test_what_would_be_refused_is_refused(
        self, platform: Platform, document: Any, error: type[Exception], words: str
    ) -> None:
        await submit(platform, order(name="taken"))

        with pytest.raises(error, match=words):
            await platform.parts.jobs.plan(platform.user, document)
        with pytest.raises(error, match=words):
            await submit(platform, document)

    async def test_seats_count(self, platform: Platform) -> None:
        for _ in range(4):
            await submit(platform, order())

        with pytest.raises(IllegalArgumentError, match="--wait-for-seat"):
            await platform.parts.jobs.plan(platform.user, order())
        patient = await platform.parts.jobs.plan(platform.user, order(wait_for_jobs_quota=True))

        assert (patient.starts_now, patient.reason.kind) == (False, "seat")

    async def test_many_at_once_change_nothing(self, platform: Platform) -> None:
        plans = await asyncio.gather(*[platform.parts.jobs.plan(platform.user, order()) for _ in range(50)])

        assert all(plan.starts_now for plan in plans)
        job = await submit(platform, order())
        await platform.settle()
        assert (await platform.parts.jobs.get(platform.user, job.id)).status is JobStatus.RUNNING
        assert len(platform.engine.started) == 1
