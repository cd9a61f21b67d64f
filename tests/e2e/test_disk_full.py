"""The disk under the data folder is full: said in a sentence, survived, and over as soon as there is room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import stop
from tests.e2e.place import Place, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk to fill")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Place]:
    """A home whose platform keeps its data on a disk of four megabytes."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(data)], check=True)
    place = Place(tmp_path / "home", data)
    yield place
    stop(place)
    subprocess.run(["umount", "--lazy", str(data)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_starting_on_a_full_disk(small: Place) -> None:
    fill(small.data)

    done = small.neuro("platform", "up", "--port", "0")  # a taken port would be a line of its own

    assert done.code == 74, done
    assert "space" in done.sentence or "full" in done.sentence
    assert len(done.err.strip().splitlines()) == 1


def test_submitting_on_a_full_disk_and_after_it(small: Place) -> None:
    small.up()
    small.login()
    filler = fill(small.data)

    full = small.neuro("run", "-T", "host", "--", "true")
    listed = small.neuro("ps", "--all", "--json")
    filler.unlink()
    after = small.neuro("run", "-T", "host", "--", "echo", "hello")

    assert full.code not in (0, 2), full
    assert "space" in full.sentence or "full" in full.sentence
    assert listed.code == 0, listed
    assert (after.code, after.out) == (0, b"hello\n"), after


def test_a_program_that_meets_a_full_disk_fails_in_its_own_way(small: Place) -> None:
    small.up()
    small.login()
    small.ok("run", "--no-wait-start", "-n", "flood", "host", "--", "sh", "-c", "head -c 8000000 /dev/zero || exit 9")
    until(lambda: shutil.disk_usage(small.data).free == 0, "the disk to be full")

    subprocess.run(["mount", "-o", "remount,size=32m", str(small.data)], check=True)

    assert small.wait_for("flood", "failed")["history"]["exit_code"] == 9


def test_jobs_can_be_stopped_on_a_full_disk(small: Place) -> None:
    small.up()
    small.login()
    for name in ("one", "two", "three"):
        small.ok("run", "--detach", "-n", name, "host", "--", "sleep", "600")
    fill(small.data)

    killed = small.neuro("kill", "--all", "--yes")

    assert (killed.code, len(killed.out.split())) == (0, 3), killed
    for name in ("one", "two", "three"):
        small.wait_for(name, "cancelled")
    assert shutil.disk_usage(small.data).free == 0


def test_a_job_that_waits_for_room_says_so_and_starts_when_there_is(small: Place) -> None:
    small.up()
    small.login()
    cpus = small.json("config", "show", "--json")["presets"]
    largest = max(cpus, key=lambda name: cpus[name]["cpu"])
    for name in ("holds", "waits"):
        small.ok(
            "run",
            "--no-wait-start",
            "-s",
            largest,
            "-n",
            name,
            "host",
            "--",
            "sleep",
            "600" if name == "holds" else "0",
        )
    small.wait_for("holds", "running")
    filler = fill(small.data)

    small.ok("kill", "holds")
    until(lambda: "full" in small.ok("status", "waits"), "the job to say what it waits for")
    filler.unlink()

    small.wait_for("waits", "succeeded")
