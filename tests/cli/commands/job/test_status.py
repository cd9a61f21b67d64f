"""`neuro status`: one job, in every form."""

from __future__ import annotations

import yaml

from tests.cli.conftest import Neuro
from tests.conftest import Platform


async def test_every_form(platform: Platform, neuro: Neuro) -> None:
    job_id = (await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")).strip()

    card = await neuro.ok("status", "train")
    document = await neuro.json("status", "train", "--json")

    assert card.splitlines()[0].split() == ["Job", job_id]
    assert document["id"] == job_id
    assert await neuro.json("status", "train", "--output", "jsonl") == document
    assert yaml.safe_load(await neuro.ok("status", "train", "--output", "yaml"))["id"] == job_id
    assert await neuro.ok("status", "train", "--output", "name") == f"{job_id}\n"


async def test_iso_times(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    card = await neuro.ok("--iso-datetime-format", "status", "train")

    (created,) = [line.split()[-1] for line in card.splitlines() if line.startswith("Created")]
    assert "T" in created


async def test_no_such_job_in_json(neuro: Neuro) -> None:
    import json

    done = await neuro("status", "nothing", "--json")

    assert (done.code, done.out) == (72, b"")
    assert json.loads(done.err)["code"] == "not_found"
