"""What may be submitted, and what becomes of it."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Any

import pytest

from neuro_platform.engines.base import Capacity
from neuro_platform.services.jobs import Filter
from neuro_sdk.errors import AuthorizationError, Conflict, IllegalArgumentError, NeuroError, NotSupportedError
from neuro_sdk.wire.jobs import JobDescription, JobRestartPolicy, JobStatus
from neuro_sdk.wire.names import is_job_id
from tests.conftest import Platform
from tests.platform.orders import explicit, order


async def submit(platform: Platform, document: object, key: str | None = None) -> JobDescription:
    return await platform.parts.jobs.submit(platform.user, document, key=key)


async def test_a_job_is_pending_at_once_and_has_an_id(platform: Platform) -> None:
    job = await submit(platform, order("echo hi", name="train", tags=["b", "a", "b"], description="third"))

    assert is_job_id(job.id)
    assert (job.owner, job.cluster_name, job.status) == (platform.user.name, "local", JobStatus.PENDING)
    assert str(job.uri) == f"job://local/{platform.user.name}/{job.id}"
    assert [(item.status, item.reason) for item in job.statuses] == [(JobStatus.PENDING, "Creating")]
    assert (job.name, list(job.tags), job.description) == ("train", ["a", "b"], "third")


async def test_the_first_preset_is_the_default(platform: Platform) -> None:
    presets = platform.parts.clusters.presets("local")

    job = await submit(platform, order())

    assert job.preset_name == next(iter(presets)) == "cpu-small"
    assert job.container.resources.cpu == presets["cpu-small"].cpu
    assert job.container.resources.memory_mb == presets["cpu-small"].memory_mb
    assert job.container.resources.shm is False


async def test_explicit_resources_of_the_nested_form(platform: Platform) -> None:
    job = await submit(platform, explicit(cpu=1.5, memory_mb=64, scheduler_enabled=False))

    assert job.preset_name is None
    assert (job.container.resources.cpu, job.container.resources.memory_mb) == (1.5, 64)


async def test_memory_in_bytes(platform: Platform) -> None:
    document = explicit()
    document["container"]["resources"] = {"cpu": 1, "memory": 64 << 20}

    assert (await submit(platform, document)).container.resources.memory_mb == 64


async def test_all_that_was_asked_is_kept(platform: Platform) -> None:
    asked = order(
        "'a b' c",
        entrypoint="env -i",
        env={"A": "1", "EMPTY": ""},
        working_dir="/tmp",
        tty=True,
        stdin=True,
        restart_policy="on-failure",
        max_run_time_minutes=5,
        schedule_timeout=60,
    )

    job = await submit(platform, asked)
    await platform.settle()

    assert job.restart_policy is JobRestartPolicy.ON_FAILURE
    assert (job.max_run_time_minutes, job.schedule_timeout) == (5, 60)
    (task,) = platform.engine.started
    assert list(task.argv) == ["env", "-i", "a b", "c"]
    assert (task.working_dir, task.tty, task.stdin) == ("/tmp", True, True)
    assert {"A": "1", "EMPTY": ""}.items() <= task.env.items()
    assert task.id == f"{job.id}.1"
    assert task.folder == platform.data / "jobs" / job.id / "1"


async def test_words_are_kept_as_they_are_and_said_as_a_line_too(platform: Platform) -> None:
    words = ["sh", "-c", "echo 'a  b'; # $x", "", "é\n"]
    document = order(argv=words, entrypoint="env 'A=1 2'")
    del document["command"]

    job = await submit(platform, document)
    await platform.settle()

    (task,) = platform.engine.started
    assert list(task.argv) == ["env", "A=1 2", *words]
    assert job.container.argv == words
    assert shlex.split(job.container.command or "") == words


async def test_a_line_is_split_once_and_kept_as_it_was(platform: Platform) -> None:
    job = await submit(platform, order("echo   'a b' c\\ d"))

    assert job.container.command == "echo   'a b' c\\ d"
    assert job.container.argv == ["echo", "a b", "c d"]


async def test_words_and_line_must_not_differ(platform: Platform) -> None:
    assert (await submit(platform, order("echo 'a b'", argv=["echo", "a b"]))).container.command == "echo 'a b'"

    with pytest.raises(IllegalArgumentError, match="different"):
        await submit(platform, order("echo a b", argv=["echo", "a b"]))


async def test_words_of_the_nested_form(platform: Platform) -> None:
    document = explicit()
    del document["container"]["command"]
    document["container"]["argv"] = ["a b"]

    assert (await submit(platform, document)).container.command == "'a b'"


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["a", "b\0"], "NUL"), (["x" * 131072], "131072 bytes"), ("echo", "argv"), ([1], "argv"), ([], "has no program")],
)
async def test_words_that_no_program_can_have(platform: Platform, argv: Any, words: str) -> None:
    document = order(argv=argv)
    del document["command"]

    with pytest.raises(IllegalArgumentError, match=words):
        await submit(platform, document)


async def test_a_job_is_told_who_it_is(platform: Platform) -> None:
    job = await submit(platform, order(name="train"))
    await platform.settle()

    (task,) = platform.engine.started
    told = {name: value for name, value in task.env.items() if name.startswith("NEURO_JOB_")}
    assert told == {
        "NEURO_JOB_ID": job.id,
        "NEURO_JOB_NAME": "train",
        "NEURO_JOB_OWNER": platform.user.name,
        "NEURO_JOB_CLUSTER": "local",
        "NEURO_JOB_INTERNAL_HOSTNAME": "",
        "NEURO_JOB_INTERNAL_HOSTNAME_NAMED": "",
        "NEURO_JOB_HTTP_PORT": "",
        "NEURO_JOB_HTTP_AUTH": "",
        "NEURO_JOB_PRESET": "cpu-small",
    }
    assert "NEURO_PASSED_CONFIG" not in task.env


async def test_a_job_can_be_given_a_login(platform: Platform) -> None:
    platform.engine.will(hold=True)
    job = await submit(platform, order(pass_config=True))
    await platform.settle()

    (task,) = platform.engine.started
    passed = json.loads(base64.b64decode(task.env["NEURO_PASSED_CONFIG"]))
    assert passed.keys() == {"token", "cluster", "url"}
    assert (passed["cluster"], passed["url"]) == ("local", str(platform.url))
    assert await platform.parts.auth.authenticate(passed["token"]) == platform.user

    platform.engine.finish(task.id)
    await platform.settle()

    assert (await platform.parts.jobs.get(platform.user, job.id)).status is JobStatus.SUCCEEDED
    with pytest.raises(NeuroError, match="revoked"):
        await platform.parts.auth.authenticate(passed["token"])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"preset_name": "huge"}, IllegalArgumentError, "no preset 'huge'; it has cpu-small, "),
        ({"cluster_name": "moon"}, AuthorizationError, "no cluster 'moon' for you here; there is: local"),
        ({"image": "ubuntu:24.04"}, NotSupportedError, "cannot run the image 'ubuntu:24.04'.*'host'"),
        ({"image": "-"}, IllegalArgumentError, "not a valid image"),
        ({"image": 3}, IllegalArgumentError, r"\$\.image"),
        ({"command": ""}, IllegalArgumentError, "no program of its own"),
        ({"command": "echo 'oops"}, IllegalArgumentError, "command cannot be split into words: no closing quotation"),
        ({"entrypoint": "echo \\"}, IllegalArgumentError, "entry point cannot be split"),
        ({"command": "a\0b"}, IllegalArgumentError, "NUL"),
        ({"working_dir": "data"}, IllegalArgumentError, "'data' must be an absolute path"),
        ({"working_dir": "/a\0"}, IllegalArgumentError, "NUL"),
        ({"working_dir": "/" + "ä" * 2048}, IllegalArgumentError, "working directory has 4097 bytes: it can have 4095"),
        ({"command": "true " + "ä" * 65536}, IllegalArgumentError, "has 131072 bytes: a program takes at most 131071"),
        ({"env": {"A": "x" * 131070}}, IllegalArgumentError, "'A' has 131072 bytes with its name: .* at most 131071"),
        ({"env": {"A=B": "1"}}, IllegalArgumentError, "'A=B'"),
        ({"env": {"": "1"}}, IllegalArgumentError, "name of an environment variable"),
        ({"env": {"A": "x\0"}}, IllegalArgumentError, "'A' must not have NUL"),
        ({"env": {"A": 1}}, IllegalArgumentError, r"\$\.env\[\.\.\.\]"),
        ({"env": {"NEURO_PASSED_CONFIG": "x"}, "pass_config": True}, IllegalArgumentError, "NEURO_PASSED_CONFIG"),
        ({"name": "ab"}, IllegalArgumentError, "Invalid job name 'ab'"),
        ({"name": "job-abc"}, IllegalArgumentError, "Invalid job name"),
        ({"name": "Train"}, IllegalArgumentError, "Invalid job name"),
        ({"tags": ["a b"]}, IllegalArgumentError, "Invalid tag 'a b'"),
        ({"tags": [f"t{n}" for n in range(17)]}, IllegalArgumentError, "at most 16 tags, not 17"),
        ({"restart_policy": "sometimes"}, IllegalArgumentError, r"sometimes.*\$\.restart_policy"),
        ({"max_run_time_minutes": 0}, IllegalArgumentError, "at least one minute"),
        ({"schedule_timeout": 0.5}, IllegalArgumentError, "at least 1"),
        ({"schedule_timeout": 2592000}, IllegalArgumentError, "less than 30 days, not 2592000 seconds"),
        ({"schedule_timeout": 60, "scheduler_enabled": True}, IllegalArgumentError, "does not go together"),
        ({"resources": {"cpu": 1}}, IllegalArgumentError, "may only have `shm`"),
        ({"privileged": True}, NotSupportedError, "run privileged jobs"),
        ({"http": {"port": 0}}, IllegalArgumentError, "between 1 and 65535, not 0"),
        ({"http": {}}, IllegalArgumentError, "between 1 and 65535, not -1"),
        ({"volumes": [{"src_storage_uri": "storage://local/x", "dst_path": "/x"}]}, NotSupportedError, "storage"),
        ({"disk_volumes": [{"src_disk_uri": "disk://local/x", "dst_path": "/x"}]}, NotSupportedError, "mount disks"),
        ({"secret_env": {"A": "secret://local/x"}}, NotSupportedError, "pass secrets"),
        ({"secret_volumes": [{"src_secret_uri": "secret://l/x", "dst_path": "/x"}]}, NotSupportedError, "secrets"),
    ],
)
async def test_a_refusal_names_what_is_wrong(
    platform: Platform, change: dict[str, Any], error: type[NeuroError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        await submit(platform, order() | change)

    assert caught.value.status in (400, 403)
    await platform.settle()
    assert platform.engine.started == []
    assert [page async for page in platform.parts.jobs.list(platform.user, Filter())] == []


async def test_the_longest_that_a_program_takes(platform: Platform) -> None:
    command, env = "x" * 131071, {"A": "x" * 131069}

    job = await submit(platform, order(command=command, env=env, working_dir="/" + "x" * 4094))

    assert (job.container.command, job.container.env) == (command, env)


@pytest.mark.parametrize("value", [{"A" * 200_000: ""}, {"A=" * 100_000: ""}, {"A" * 200_000: "\0"}])
async def test_a_refusal_is_short(platform: Platform, value: dict[str, str]) -> None:
    with pytest.raises(IllegalArgumentError) as caught:
        await submit(platform, order(env=value))

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (explicit(cpu=0.05), "at least 0.1 CPUs"),
        (explicit(memory_mb=8), "at least 16 MB"),
        (explicit(gpu=-1), "-1 GPUs"),
        (explicit(cpu=2.1), "2.1 CPUs of 2"),
        (explicit(memory_mb=4097), "4097 MB of memory of 4096"),
        (explicit(gpu=2), "2 GPUs of 1"),
        (explicit(gpu=1, gpu_model="v100"), "GPUs of model 'h200', not 'v100'"),
        (explicit(tpu={"type": "v2-8", "software_version": "1.14"}), "provide TPUs"),
        ({"container": {"image": "host", "command": "true", "resources": {"cpu": 1}}}, "memory_mb"),
    ],
)
async def test_what_the_machine_does_not_have_is_refused_at_once(
    platform: Platform, document: object, words: str
) -> None:
    platform.engine.set_capacity(Capacity(cpu=2, memory_mb=4096, gpu=1, gpu_model="h200"))

    with pytest.raises(IllegalArgumentError, match=words):
        await submit(platform, document)


@pytest.mark.parametrize("document", [None, [], "x", 7, {}, {"container": []}, {"image": "host", "container": {}}])
async def test_what_is_no_submission_is_refused(platform: Platform, document: object) -> None:
    with pytest.raises(IllegalArgumentError):
        await submit(platform, document)


async def test_shm_means_nothing_on_the_machine_itself(platform: Platform) -> None:
    assert (await submit(platform, order(resources={"shm": True}))).container.resources.shm is True


async def test_the_latest_tag_that_clients_append(platform: Platform) -> None:
    assert (await submit(platform, order(image="host:latest"))).status is JobStatus.PENDING


async def test_a_name_is_taken_until_its_job_has_finished(platform: Platform) -> None:
    platform.engine.will(hold=True)
    first = await submit(platform, order(name="train"))
    with pytest.raises(Conflict, match=f"'train' already.*{first.id}"):
        await submit(platform, order(name="train"))

    await platform.settle()
    platform.engine.finish(f"{first.id}.1")
    await platform.settle()
    second = await submit(platform, order(name="train"))

    assert (await platform.parts.jobs.get(platform.user, "train")).id == second.id
    assert (await platform.parts.jobs.get(platform.user, first.id)).id == first.id


async def test_a_job_that_is_being_stopped_gives_its_name_back(platform: Platform) -> None:
    platform.engine.will(hold=True, stubborn=True)
    await submit(platform, order(name="train"))
    await platform.settle()

    await platform.parts.jobs.kill(platform.user, "train")

    await submit(platform, order(name="train"))


async def test_names_are_each_user_s_own(platform: Platform) -> None:
    await platform.add_user("bob")
    bob = next(user for user in await platform.parts.auth.users() if user.name == "bob")
    await submit(platform, order(name="train"))

    await platform.parts.jobs.submit(bob, order(name="train"))


async def test_a_submission_sent_again_makes_no_second_job(platform: Platform) -> None:
    first = await submit(platform, order(name="train"), key="k1")
    await platform.settle()

    again = await submit(platform, order(name="train"), key="k1")
    other = await submit(platform, order(), key="k2")

    assert again.id == first.id != other.id
    assert len(platform.engine.started) == 1


async def test_keys_are_each_user_s_own(platform: Platform) -> None:
    await platform.add_user("bob")
    bob = next(user for user in await platform.parts.auth.users() if user.name == "bob")

    mine = await submit(platform, order(), key="k")
    bobs = await platform.parts.jobs.submit(bob, order(), key="k")

    assert mine.id != bobs.id


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
async def test_a_key_that_cannot_be_kept_is_refused(platform: Platform, key: str) -> None:
    with pytest.raises(IllegalArgumentError, match="idempotency key"):
        await submit(platform, order(), key=key)


async def test_gpus_are_given_out_by_index(
    platform: Platform,
) -> None:
    platform.engine.set_capacity(Capacity(cpu=8, memory_mb=4096, gpu=3))
    platform.engine.will(hold=True)
    for gpus in (1, 2, 0):
        await submit(platform, explicit(gpu=gpus))
        await platform.settle()

    tasks = platform.engine.started

    assert [list(task.gpus) for task in tasks] == [[0], [1, 2], []]
    assert [task.env["CUDA_VISIBLE_DEVICES"] for task in tasks] == ["0", "1,2", ""]

    platform.engine.finish(tasks[0].id)
    await submit(platform, explicit(gpu=1))
    await platform.settle()

    assert list(platform.engine.started[-1].gpus) == [0]
