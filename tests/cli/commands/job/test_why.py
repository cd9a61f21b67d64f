"""`neuro job why` and `neuro run --dry-run`: what the platform knows, shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from neuro_cli.render._style import Style
from neuro_cli.render.reasons import reason_card
from neuro_sdk import Holder, JobReason, JobStatus, Shortage
from tests.cli.conftest import Neuro, check_picture
from tests.conftest import Platform


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


async def test_a_job_that_waits(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-n", "big", "--cpu", "8", "host", "true")
    await neuro.ok("run", "--no-wait-start", "-n", "next", "--cpu", "2", "host", "true")
    await platform.settle()

    seen = await neuro.ok("job", "why", "next")
    document = await neuro.json("job", "why", "next", "--json")

    assert "is pending. It is next, and waits for 2 CPUs (0 of 8 are free)." in seen
    assert "'neuro kill big' frees 8 CPUs." in seen
    assert (document["kind"], document["position"]) == ("resources", 1)
    assert document["shortages"][0]["holders"][0]["name"] == "big"
    assert await neuro.ok("job", "why", "next", "--output", "name") == "resources\n"


async def test_a_job_that_ended(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(exit_code=3, output=b"Traceback\n\x1b[31mValueError: no\n")
    await neuro("run", "-n", "train", "host", "true")

    seen = await neuro.ok("job", "why", "train")

    assert "has failed. Its program ended by itself, with exit code 3." in seen
    assert "Traceback" in seen
    assert "\x1b" not in seen
    assert "'neuro logs train' shows what it wrote." in seen


async def test_a_job_that_is_not_there(neuro: Neuro) -> None:
    done = await neuro("job", "why", "nobody")

    assert done.code == 72
    assert "nobody" in done.sentence


def test_all_that_can_be_said() -> None:
    reason = JobReason(
        JobStatus.PENDING,
        "resources",
        "It is next, and waits for 8 CPUs (2 of 16 are free) and 65536 MB of memory (1024 of 65536 are free).",
        id="job-11111111-2222-3333-4444-555555555555",
        name="train",
        advice=["'neuro kill prep' frees 8 CPUs.", "With --cpu 2 --memory 1024M, train could start now."],
        position=1,
        queue_length=3,
        shortages=[
            Shortage("cpu", 8, 2, 16, [
                Holder(8, job_id="job-99999999-2222-3333-4444-555555555555", name="prep", owner="alice",
                       ends_by=datetime(2026, 1, 31, 13, tzinfo=UTC)),
                Holder(4, job_id="job-88888888-2222-3333-4444-555555555555", owner="bob"),
                Holder(2, jobs=7),
            ]),
            Shortage("memory_mb", 65536, 1024, 65536, [Holder(64512)]),
        ],
        starts_by=datetime(2026, 1, 31, 13, tzinfo=UTC),
        gives_up_at=datetime(2026, 1, 31, 14, tzinfo=UTC),
    )  # fmt: skip

    check_picture("why", reason_card(reason, Style(cluster_name="local", username="alice")) + "\n")


# ---- before there is a job


async def test_a_dry_run_says_what_would_be_started(platform: Platform, neuro: Neuro) -> None:
    words = ["run", "--dry-run", "-n", "train", "-e", "A=b c", "--restart", "on-failure", "--cpu", "2"]

    seen = await neuro.ok(*words, "host", "--", "echo", "a b", "$HOME")
    document = await neuro.json(*words, "--json", "host", "--", "echo", "a b", "$HOME")

    assert "now" in seen
    assert "echo 'a b' '$HOME'" in seen
    assert "A=b c" in seen
    assert document["argv"] == ["echo", "a b", "$HOME"]
    assert (document["starts_now"], document["order"]["restart_policy"]) == (True, "on-failure")
    assert document["container"]["resources"]["cpu"] == 2
    await platform.settle()
    assert platform.engine.started == []
    assert await neuro.json("ps", "--all", "--json") == []


async def test_a_dry_run_that_would_wait_is_no_failure(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "--cpu", "8", "host", "true")

    done = await neuro("run", "--dry-run", "--cpu", "1", "host", "true")

    assert done.code == 0
    assert "waits for 1 CPU (0 of 8 are free)" in done.text
    assert await neuro.ok("run", "--dry-run", "--output", "name", "--cpu", "1", "host", "true") == "resources\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cpu", "9", "host", "true"], "9 CPUs of 8"),
        (["ubuntu", "true"], "cannot run the image"),
        (["host"], "say which command to run"),
        (["--privileged", "host", "true"], "privileged"),
        (["--org", "acme", "host", "true"], "no organisation 'acme'"),
        (["--project", "other", "host", "true"], "no project 'other'"),
    ],
)
async def test_a_dry_run_is_refused_like_a_real_one(neuro: Neuro, options: list[str], words: str) -> None:
    dry, real = await neuro("run", "--dry-run", *options), await neuro("run", *options)

    assert (dry.code, dry.out, dry.err) == (real.code, b"", real.err)
    assert dry.code != 0
    assert words in dry.sentence


async def test_the_one_organisation_and_ones_own_project(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "--org", "neuro", "--project", platform.user.name, "host", "true")
