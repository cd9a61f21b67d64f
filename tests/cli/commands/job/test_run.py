"""`neuro run`: bytes through, the program's exit code out, nothing left behind in the terminal."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from neuro_platform.engines.base import Capacity
from neuro_platform.settings import Settings
from neuro_sdk import JobStatus
from tests.cli.conftest import Neuro
from tests.cli.screen import Screen
from tests.conftest import Platform, running_platform
from tests.cutting import CuttingProxy


@pytest.fixture
async def screen(neuro: Neuro) -> AsyncIterator[Screen]:
    screen = Screen(neuro)
    yield screen
    screen.close()


async def until_started(platform: Platform, count: int = 1) -> str:
    """Wait for a task; returns its id."""
    async with asyncio.timeout(30):
        while len(platform.engine.started) < count:
            await asyncio.sleep(0.01)
    return platform.engine.started[-1].id


async def only_job(neuro: Neuro) -> Any:
    (job,) = await neuro.json("ps", "--all", "--json")
    return job


# ---- what comes out


async def test_output_is_the_bytes_that_the_program_wrote(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(output=b"\xff\x00\r\nout", stderr=b"\xfe err")

    done = await neuro("run", "host", "--", "true")

    assert (done.code, done.out, done.err) == (0, b"\xff\x00\r\nout", "\udcfe err")


@pytest.mark.parametrize("code", [0, 1, 7, 125, 126, 127, 137, 255])
async def test_exit_code_is_the_programs(platform: Platform, neuro: Neuro, code: int) -> None:
    platform.engine.will(exit_code=code)

    done = await neuro("run", "host", "--", "true")

    assert (done.code, done.err) == (code, "")


async def test_a_job_without_a_code_of_its_own_is_125(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    running = await neuro.start("run", "host", "--", "true")

    platform.engine.lose(await until_started(platform))
    _, said = await running.communicate()

    assert running.returncode == 125
    assert b"failed" in said


async def test_a_job_that_another_kills_says_so(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    running = await neuro.start("run", "-n", "train", "host", "--", "true")
    await until_started(platform)

    await neuro.ok("kill", "train")
    _, said = await running.communicate()

    assert running.returncode == 143
    assert b"cancelled" in said


# ---- what goes in


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_input_goes_to_the_program_up_to_its_end(platform: Platform, neuro: Neuro, size: int) -> None:
    platform.engine.will(echo=True)
    data = os.urandom(size)

    done = await neuro("run", "host", "--", "cat", input=data)

    assert (done.code, done.out == data) == (0, True), done.err


async def test_the_null_device_is_an_end_at_once(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(echo=True)

    done = await neuro("run", "host", "--", "cat", stdin=asyncio.subprocess.DEVNULL)

    assert (done.code, done.out) == (0, b"")


async def test_a_file_is_input(platform: Platform, neuro: Neuro, tmp_path: Path) -> None:
    platform.engine.will(echo=True)
    (tmp_path / "words").write_bytes(b"a\nb\n" * 50_000)

    with (tmp_path / "words").open("rb") as words:
        done = await neuro("run", "host", "--", "cat", stdin=words)

    assert (done.code, done.out) == (0, b"a\nb\n" * 50_000)


async def test_closed_streams(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(echo=True, exit_code=3)

    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "neuro run host -- cat <&- >&- 2>&-",
        env={**neuro.env, "PATH": f"{Path(sys.executable).parent}:{neuro.env['PATH']}"},
    )  # fmt: skip

    assert await process.wait() == 3


# ---- what is asked for


async def test_options_become_the_job(platform: Platform, neuro: Neuro, tmp_path: Path) -> None:
    platform.engine.will(hold=True)
    (tmp_path / "env").write_text("# comment\n\nA=1\nB=2\nMINE\n")

    job_id = (
        await neuro.ok(
            "run", "--detach", "-n", "train", "--tag", "a", "--tag", "b", "-d", "some text", "-e", "B=3", "-e", "C=x=y",
            "--env-file", str(tmp_path / "env"), "-w", "/tmp", "--life-span", "1h30m", "--schedule-timeout", "5m",
            "--restart", "on-failure", "-s", "cpu-medium", "-T", "host", "python3", "-c", "print('a b')", "--flag",
            env={"MINE": "own"},
        )
    ).strip()  # fmt: skip

    job = await neuro.json("status", job_id, "--json")
    container = job["container"]
    assert (job["id"], job["name"], job["tags"], job["description"]) == (job_id, "train", ["a", "b"], "some text")
    assert container["env"] == {"A": "1", "B": "3", "C": "x=y", "MINE": "own"}
    assert shlex.split(container["command"]) == ["python3", "-c", "print('a b')", "--flag"]
    assert (container["image"], container["working_dir"]) == ("host", "/tmp")
    assert (job["max_run_time_minutes"], job["schedule_timeout"]) == (90, 300)
    assert (job["restart_policy"], job["preset_name"]) == ("on-failure", "cpu-medium")


@pytest.mark.parametrize("image", ["host", "host:latest"])
async def test_this_machine_is_asked_for_no_port(neuro: Neuro, image: str) -> None:
    await neuro.ok("run", "--detach", image, "--", "true")

    assert "http" not in (await only_job(neuro))["container"]


@pytest.mark.parametrize(
    ("words", "minutes"),
    [([], 1440), (["--life-span", "30s"], 1), (["--life-span", "90s"], 2), (["--life-span", "0"], None)],
)
async def test_life_span(platform: Platform, neuro: Neuro, words: list[str], minutes: int | None) -> None:
    await neuro.ok("run", "--detach", *words, "host", "--", "true")

    assert (await only_job(neuro)).get("max_run_time_minutes") == minutes


async def test_life_span_of_the_user_configuration(platform: Platform, neuro: Neuro) -> None:
    (neuro.config / "user.toml").write_text('[job]\nlife-span = "2h"\n')

    await neuro.ok("run", "--detach", "host", "--", "true")

    assert (await only_job(neuro))["max_run_time_minutes"] == 120


async def test_one_word_is_sent_as_it_is(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "--detach", "host", "sh -c 'echo $HOME'")

    assert (await only_job(neuro))["container"]["command"] == "sh -c 'echo $HOME'"


async def test_old_options_are_taken_with_a_word(platform: Platform, neuro: Neuro) -> None:
    done = await neuro("run", "-p", "-q", "--detach", "host", "--", "true")

    assert done.code == 0
    assert "-p and -P" in done.err
    assert "deprecated" in done.err


@pytest.mark.parametrize("option", ["-s", "-n", "--tag"])
async def test_an_empty_value_is_not_none(neuro: Neuro, option: str) -> None:
    done = await neuro("run", "--detach", option, "", "host", "--", "true")

    assert done.code == 2
    assert "usage" in done.sentence.lower()
    assert await neuro.json("ps", "-a", "--json") == []


async def test_refusal_of_the_platform(platform: Platform, neuro: Neuro) -> None:
    done = await neuro("run", "ubuntu", "--", "true")

    assert done.code == 65
    assert "host" in done.sentence


async def test_unknown_cluster(neuro: Neuro) -> None:
    done = await neuro("run", "--cluster", "nowhere", "host", "--", "true")

    assert done.code == 72
    assert "nowhere" in done.sentence
    assert "local" in done.sentence


# ---- not staying


async def test_detached_prints_the_id_and_leaves(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)

    job_id = (await neuro.ok("run", "--detach", "host", "--", "true")).strip()

    assert (await neuro.json("status", job_id, "--json"))["status"] == "running"


async def test_detached_in_json(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)

    assert (await neuro.json("run", "--detach", "-n", "train", "--json", "host", "--", "true"))["name"] == "train"


@pytest.mark.parametrize("code", [126, 127])
async def test_detached_from_a_program_that_cannot_be_started(platform: Platform, neuro: Neuro, code: int) -> None:
    platform.engine.will(fail_start=code)

    done = await neuro("run", "--detach", "host", "--", "nothing")

    assert done.code == code
    assert done.out.startswith(b"job-")
    assert f"failed with exit code {code} (ContainerCannotRun: " in done.sentence


async def test_detached_from_a_job_that_did_not_get_its_turn(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-s", "cpu-max", "host", "--", "first")

    done = await neuro("run", "--detach", "-s", "cpu-max", "--schedule-timeout", "1s", "host", "--", "second")

    assert done.code == 125
    assert "failed (Collected: Did not get its resources within 1 second" in done.sentence


async def test_detached_from_a_program_that_failed_at_once(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(exit_code=3)

    await neuro.ok("run", "--detach", "host", "--", "false")  # it was started, and that is all that was asked


async def test_not_waiting_for_the_start_detaches(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)

    assert (await neuro.json("run", "--no-wait-start", "--json", "host", "--", "true"))["status"] == "pending"


async def test_a_reader_that_goes_away_ends_it_quietly(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(output=b"line\n" * 1_000_000)
    read, write = os.pipe()

    running = await neuro.start("run", "-n", "train", "host", "--", "yes", stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 5) == b"line\n"
    async with asyncio.timeout(10):
        while not (await platform.parts.jobs.get(platform.user, "train")).status.is_finished:
            await asyncio.sleep(0.01)
    os.close(read)
    _, said = await running.communicate()

    assert (running.returncode, said) == (141, b"")


async def test_a_job_that_runs_on_without_a_reader_is_named(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(output=b"line\n" * 1_000_000, hold=True)
    read, write = os.pipe()

    running = await neuro.start("run", "-n", "train", "host", "--", "yes", stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 5) == b"line\n"
    os.close(read)
    _, said = await running.communicate()

    job = await platform.parts.jobs.get(platform.user, "train")
    assert running.returncode == 141
    assert said.decode() == (
        f"neuro: {job.id} runs on without a reader: neuro logs train shows its output, neuro kill train ends it\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_and_not_the_job(platform: Platform, neuro: Neuro, number: signal.Signals) -> None:
    platform.engine.will(hold=True, output=b"begun")
    running = await neuro.start("run", "host", "--", "true")
    assert running.stdout is not None
    await running.stdout.readexactly(5)

    running.send_signal(number)

    assert await running.wait() == 128 + number
    assert (await only_job(neuro))["status"] == "running"


# ---- interrupts


async def test_an_interrupt_where_nobody_can_be_asked_kills_the_job(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True, output=b"begun")
    running = await neuro.start("run", "host", "--", "true", start_new_session=True)
    assert running.stdout is not None
    await running.stdout.readexactly(5)

    running.send_signal(signal.SIGINT)
    code = await running.wait()
    await platform.settle()

    assert code == 130
    assert (await only_job(neuro))["status"] == "cancelled"


MENU = {
    b"\x03": (130, "cancelled"),
    b"C": (130, "cancelled"),
    b"d": (0, "running"),
    b"\x04": (0, "running"),
}


@pytest.mark.parametrize(("key", "outcome"), MENU.items())
async def test_menu_of_ctrl_c(
    platform: Platform, neuro: Neuro, screen: Screen, key: bytes, outcome: tuple[int, str]
) -> None:
    platform.engine.will(hold=True, output=b"begun\n")
    await screen.run("run", "-T", "host", "--", "true")
    await screen.wait_for(b"begun")

    screen.type(b"\x03")
    await screen.wait_for(b"goes on")
    screen.type(key)
    code = await screen.ended()
    await platform.settle()

    assert (code, (await only_job(neuro))["status"]) == outcome


async def test_menu_goes_on(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True, output=b"begun\n")
    await screen.run("run", "-T", "host", "--", "true")
    await screen.wait_for(b"begun")
    screen.type(b"\x03")
    await screen.wait_for(b"goes on")

    screen.type(b"\r")
    task = await until_started(platform)
    platform.engine.write(task, b"more\n")
    await screen.wait_for(b"more")
    platform.engine.finish(task, 4)

    assert await screen.ended() == 4


async def test_a_second_interrupt_kills(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True, output=b"begun\n")
    await screen.run("run", "-T", "host", "--", "true")
    await screen.wait_for(b"begun")
    screen.signal(signal.SIGINT)
    await screen.wait_for(b"goes on")

    screen.signal(signal.SIGINT)

    assert await screen.ended() == 130


async def test_menu_while_input_is_a_pipe(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True, output=b"begun\n")
    await screen.run("run", "host", "--", "true", stdin=asyncio.subprocess.PIPE)
    await screen.wait_for(b"begun")

    screen.type(b"\x03")
    await screen.wait_for(b"goes on")
    screen.type(b"d")

    assert await screen.ended() == 0


# ---- with a terminal


async def test_terminal_is_the_programs_and_comes_back(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(echo=True, output=b"begun\r\n")
    await screen.run("run", "host", "--", "bash")
    await screen.wait_for(b"begun")
    await screen.until_raw()
    task = await until_started(platform)

    screen.type(b"\x03\x1a\xff")
    await screen.wait_for(b"\x03\x1a\xff")
    platform.engine.finish(task, 9)

    assert await screen.ended() == 9
    assert platform.engine.started[0].tty


async def test_terminal_size_is_told_and_told_again(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True, output=b"begun\r\n")
    await screen.run("run", "host", "--", "bash")
    await screen.until_raw()
    task = await until_started(platform)
    await reached(lambda: platform.engine.size(task) == (100, 30))

    screen.resize(120, 40)
    screen.signal(signal.SIGWINCH)

    await reached(lambda: platform.engine.size(task) == (120, 40))
    platform.engine.finish(task)
    assert await screen.ended() == 0


async def test_detach_keys(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True, output=b"begun\r\n")
    await screen.run("run", "-n", "shell", "host", "--", "bash")
    await screen.until_raw()

    screen.type(b"\x10")
    screen.type(b"\x11")

    assert await screen.ended() == 0
    assert b"neuro attach shell" in screen.seen
    assert (await only_job(neuro))["status"] == "running"


async def test_leaving_in_the_middle_of_a_line_ends_it(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True, output=b"prompt$ ")
    await screen.run("run", "host", "--", "bash")
    await screen.until_raw()
    await screen.wait_for(b"prompt$ ")

    screen.type(b"\x10\x11")

    assert await screen.ended() == 0
    assert screen.seen.startswith(b"\r\njob-")


async def test_a_connection_that_is_back_draws_the_screen_anew(tmp_path: Path) -> None:
    async with CuttingProxy() as proxy:
        settings = Settings(data=tmp_path / "platform", public_url=str(proxy.url))
        async with running_platform(tmp_path / "platform", None, settings) as platform:
            proxy.to = URL.build(scheme="http", host="127.0.0.1", port=platform.parts.settings.port)
            (tmp_path / "user").mkdir()
            neuro = Neuro(tmp_path / "user")
            await platform.login(neuro.config)
            screen = Screen(neuro)
            platform.engine.will(hold=True, output=b"prompt$ ")
            await screen.run("run", "host", "--", "vim")
            await screen.wait_for(b"prompt$ ")
            await screen.until_raw()
            task = await until_started(platform)
            await reached(lambda: platform.engine.size(task) == (100, 30))

            proxy.cut()

            await screen.wait_for(b"\rneuro: The connection to job ")
            await screen.wait_for(b"\r\n")
            await screen.wait_for(b"\rneuro: connected again\r\n")
            await reached(lambda: platform.engine.size(task) == (100, 29))
            await reached(lambda: platform.engine.size(task) == (100, 30))
            platform.engine.finish(task)
            assert await screen.ended() == 0
            screen.close()


async def test_a_silent_program_gets_the_terminal_too(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True)

    await screen.run("run", "host", "--", "cat")
    await screen.until_raw()
    platform.engine.finish(await until_started(platform))

    assert await screen.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_terminal_comes_back_after_a_signal(
    platform: Platform, neuro: Neuro, screen: Screen, number: signal.Signals
) -> None:
    platform.engine.will(hold=True, output=b"\x1b[?1049h\x1b[?25lbegun\r\n")
    await screen.run("run", "host", "--", "vim")
    await screen.wait_for(b"begun")
    await screen.until_raw()

    screen.signal(number)

    assert await screen.ended() == 128 + number
    await screen.wait_for(b"\x1b[?1049l")
    await screen.wait_for(b"\x1b[?25h")


async def test_a_pending_job_says_why_and_can_be_left(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-s", "cpu-max", "host", "--", "first")
    await screen.run("run", "-n", "second", "-s", "cpu-max", "host", "--", "bash")

    await screen.wait_for(b"is pending: ")
    assert not screen.is_raw
    screen.type(b"\x03")
    await screen.wait_for(b"goes on")
    screen.type(b"c")

    assert await screen.ended() == 130
    assert (await neuro.json("status", "second", "--json"))["status"] == JobStatus.CANCELLED


async def reached(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


# ---- how much of the machine


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["--cpu", "2", "--memory", "100M"], (2.0, 100, None)),
        (["--cpu", "1.5"], (1.5, None, None)),
        (["--memory", "1GB"], (None, 954, None)),
        (["-s", "cpu-medium", "--memory", "64M"], ("cpu-medium", 64, None)),
    ],
)
async def test_amounts_of_its_own(platform: Platform, neuro: Neuro, options: list[str], seen: Any) -> None:
    presets = platform.parts.clusters.presets("local")
    first = next(iter(presets.values()))
    cpu, memory_mb, gpu = seen

    await neuro.ok("run", *options, "host", "true")

    resources = (await only_job(neuro))["container"]["resources"]
    assert resources["cpu"] == (presets[cpu].cpu if isinstance(cpu, str) else cpu or first.cpu)
    assert resources["memory_mb"] == memory_mb or first.memory_mb
    assert resources.get("gpu") == gpu
    assert "preset_name" not in await only_job(neuro)


async def test_gpus_of_its_own(platform: Platform, neuro: Neuro) -> None:
    platform.engine.set_capacity(Capacity(cpu=8, memory_mb=16384, gpu=2, gpu_model="v100"))
    platform.parts.clusters._presets.clear()
    await neuro.ok("config", "get-clusters")

    await neuro.ok("run", "--gpu", "2", "host", "true")
    await neuro.ok("run", "-s", "gpu-small", "--cpu", "1", "host", "true")
    await neuro.ok("run", "-s", "gpu-small", "--gpu", "0", "host", "true")
    refused = await neuro("run", "--gpu", "1", "--gpu-model", "a100", "host", "true")

    jobs = await neuro.json("ps", "--all", "--json")
    assert [job["container"]["resources"].get("gpu") for job in jobs] == [2, 1, None]
    assert refused.code == 65
    assert "'v100', not 'a100'" in refused.sentence


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--memory", "512"], 2, "512M or 4G"),
        (["--cpu", "0"], 2, "such as 2 or 0.5"),
        (["--gpu", "-1"], 2, "--gpu"),
        (["--gpu-model", "v100"], 2, "say with --gpu how many"),
        (["-s", "none-such", "--cpu", "1"], 65, "There is no preset 'none-such'"),
        (["--cpu", "1000"], 65, "1000 CPUs of 8"),
        (["--life-span", "5"], 2, "1d2h3m4s"),
        (["--schedule-timeout", "soon"], 2, "1d2h3m4s"),
        (["--priority", "urgent"], 2, "low"),
    ],
)
async def test_amounts_that_are_none(neuro: Neuro, options: list[str], code: int, words: str) -> None:
    done = await neuro("run", *options, "host", "true")

    assert done.code == code
    assert words in done.sentence
    assert await neuro.json("ps", "--all", "--json") == []
