"""Job documents of every generation become the same models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire import codec
from neuro_sdk.wire.images import INVALID_IMAGE_NAME, RemoteImage
from neuro_sdk.wire.jobs import (
    Container,
    DiskVolume,
    HTTPPort,
    JobDescription,
    JobRestartPolicy,
    JobStatus,
    JobStatusHistory,
    JobStatusItem,
    Resources,
    SecretFile,
    Volume,
    read_container,
    read_job,
    split_order,
)

NOW = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)


def document(**changes: Any) -> dict[str, Any]:
    """The smallest job document that every client of the 21.5 generation accepts."""
    return {
        "id": "job-1",
        "owner": "mira",
        "cluster_name": "lab",
        "status": "running",
        "uri": "job://lab/mira/job-1",
        "history": {"status": "running", "created_at": "2026-02-03T04:05:06.789012+00:00"},
        "container": {"image": "ubuntu:latest", "resources": {"memory_mb": 16, "cpu": 0.1}},
        "scheduler_enabled": False,
        "pass_config": False,
        **changes,
    }


def container(**changes: Any) -> dict[str, Any]:
    return {"image": "ubuntu:latest", "resources": {"memory_mb": 16, "cpu": 0.1}, **changes}


def read(**changes: Any) -> JobDescription:
    return read_job(codec.encode(document(**changes)))


@pytest.mark.parametrize("status", sorted(JobStatus.items()))
def test_a_written_job_reads_back_equal(status: JobStatus) -> None:
    item = JobStatusItem(status, NOW, "Error", "no luck", 3)
    job = JobDescription(
        id="job-1",
        owner="mira",
        cluster_name="lab",
        status=status,
        container=Container(
            RemoteImage("host", "latest"),
            Resources(1024, 1.5, 2, "v100", shm=False),
            entrypoint="sh -c",
            command="'echo hi'",
            working_dir="/work",
            http=HTTPPort(8080, requires_auth=False),
            env={"A": ""},
            volumes=[Volume(URL("storage://lab/mira/x"), "/x", read_only=True)],
            secret_env={"B": URL("secret://lab/mira/b")},
            secret_files=[SecretFile(URL("secret://lab/mira/c"), "/c")],
            disk_volumes=[DiskVolume(URL("disk://lab/mira/d"), "/d")],
            tty=True,
            stdin=True,
        ),
        scheduler_enabled=True,
        pass_config=True,
        uri=URL("job://lab/mira/job-1"),
        summary=JobStatusHistory(status, "Error", "no luck", 1, NOW, NOW, NOW, 3),
        statuses=[item],
        name="train",
        tags=["a", "b"],
        description="words",
        restart_policy=JobRestartPolicy.ALWAYS,
        max_run_time_minutes=90,
        schedule_timeout=1.5,
        preset_name="cpu-small",
    )

    assert read_job(codec.encode(job)) == job


def test_unset_members_are_left_out_and_nothing_is_null() -> None:
    assert b"null" not in codec.encode(read())


def test_mounts_and_ports_say_all_of_themselves_because_absent_means_something_else() -> None:
    written = codec.to_plain([Volume(URL("storage:a"), "/a"), DiskVolume(URL("disk:a"), "/a"), HTTPPort(80)])

    assert [item.get("read_only") for item in written] == [False, False, None]
    assert written[2] == {"port": 80, "requires_auth": True}


def test_a_mount_without_read_only_is_read_only() -> None:
    job = read(
        container=container(
            volumes=[{"src_storage_uri": "storage://lab/mira/x", "dst_path": "/x"}],
            disk_volumes=[{"src_disk_uri": "disk://lab/mira/x", "dst_path": "/y"}],
        )
    )

    assert job.container.volumes[0].read_only
    assert job.container.disk_volumes[0].read_only


def test_a_port_without_a_rule_is_open_and_may_lack_its_number() -> None:
    assert read(container=container(http={})).container.http == HTTPPort(-1, requires_auth=False)


def test_a_missing_shm_is_true() -> None:
    assert read().container.resources.shm


def test_an_unknown_status_is_unknown_and_no_error() -> None:
    job = read(status="quantum", history={"status": "quantum"})

    assert job.status is JobStatus.UNKNOWN
    assert not any((job.status.is_pending, job.status.is_running, job.status.is_finished))


def test_nulls_count_as_absent() -> None:
    job = read(
        name=None,
        tags=None,
        history={"status": "running", "reason": None, "description": None, "exit_code": None},
        statuses=[{"status": "running", "transition_time": "2026-02-03T04:05:06Z", "reason": None}],
    )

    assert (job.name, tuple(job.tags), job.history.reason, job.history.exit_code) == (None, (), "", None)
    assert job.statuses[0].reason == ""


def test_the_steps_become_the_transitions_of_the_history() -> None:
    job = read(statuses=[{"status": "pending", "transition_time": "2026-02-03T04:05:06Z", "reason": "Creating"}])

    assert job.history.transitions[0].reason == "Creating"


def test_times_keep_their_offset() -> None:
    job = read(history={"status": "running", "started_at": "2026-02-03T04:05:06+02:00"})

    assert job.history.changed_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    assert job.history.changed_at.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    ("status", "field"),
    [("pending", "created_at"), ("running", "started_at"), ("suspended", "started_at"), ("failed", "finished_at")],
)
def test_changed_at_is_when_the_present_status_began(status: str, field: str) -> None:
    job = read(status=status, history={"status": status, field: "2026-02-03T04:05:06.789012+00:00"})

    assert job.history.changed_at == NOW


def test_the_named_address_wins() -> None:
    job = read(http_url="http://one", http_url_named="http://two")

    assert job.http_url == URL("http://two")
    assert read(http_url="http://one").http_url == URL("http://one")
    assert read().http_url == URL()


def test_life_span_is_seconds() -> None:
    assert read(max_run_time_minutes=2).life_span == 120.0
    assert read().life_span is None


def test_a_job_of_2020_reads() -> None:
    old = document(is_preemptible=True)
    del old["scheduler_enabled"]

    job = read_job(codec.encode(old))

    assert job.scheduler_enabled
    assert job.is_preemptible


def test_a_job_of_2025_reads() -> None:
    resources = {"cpu": 1.0, "memory": 1 << 30, "nvidia_gpu": 2, "tpu": {"type": "v2", "software_version": "1.14"}}

    job = read(container={"image": "ubuntu", "resources": resources}, org_name="helios", priority="normal")

    found = job.container.resources
    assert (found.memory_mb, found.gpu, found.tpu_type, found.tpu_software_version) == (1024, 2, "v2", "1.14")


def test_an_odd_image_does_not_break_the_job() -> None:
    assert read(container=container(image=":::")).container.image == RemoteImage(INVALID_IMAGE_NAME)


def test_what_is_wrong_is_named_by_its_path() -> None:
    with pytest.raises(IllegalArgumentError, match=r"\$\.container\.resources\.cpu"):
        read(container={"image": "ubuntu", "resources": {"memory_mb": 16, "cpu": "many"}})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_rubbish_is_refused_with_our_error(rubbish: object) -> None:
    with pytest.raises(IllegalArgumentError):
        read_job(codec.encode({"container": rubbish} if isinstance(rubbish, dict) else rubbish))


def test_an_order_is_read_flat_or_nested() -> None:
    flat = {"name": "train", "image": "host", "command": "true", "resources": {"shm": True}, "tty": True}
    nested = {
        "name": "train",
        "container": {"image": "host", "command": "true", "resources": {"shm": True}, "tty": True},
    }

    assert split_order(flat) == split_order(nested)
    assert split_order(flat)[1]["resources"] == {"shm": True}


@pytest.mark.parametrize("body", [None, 1, "x", [], {"container": 3}, {"tags": "x"}, {"name": 1}])
def test_an_order_that_is_none_is_refused(body: object) -> None:
    with pytest.raises(IllegalArgumentError):
        split_order(body)


def test_a_submitted_container_keeps_what_was_said() -> None:
    mounts = [{"src_storage_uri": "storage://lab/mira/x", "dst_path": "/x", "read_only": False}]

    assert not read_container(container(volumes=mounts)).volumes[0].read_only


def test_a_policy_shows_as_its_value() -> None:
    assert str(JobRestartPolicy.ON_FAILURE) == "on-failure"
    assert repr(JobRestartPolicy.ON_FAILURE) == "'on-failure'"


def test_resources_take_their_values_by_position() -> None:
    assert Resources(16, 0.5, 1, "k80", False) == Resources(memory_mb=16, cpu=0.5, gpu=1, gpu_model="k80", shm=False)
