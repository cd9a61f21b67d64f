"""Who may start, and why not yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from neuro_platform.engines.base import Capacity
from neuro_platform.services.admission import PROMOTION, Room, Share, in_order, too_much, why_waiting
from neuro_platform.store.jobs import Record
from neuro_sdk.wire.images import RemoteImage
from neuro_sdk.wire.jobs import (
    Container,
    JobDescription,
    JobPriority,
    JobStatus,
    JobStatusHistory,
    JobStatusItem,
    Resources,
)

MACHINE = Capacity(cpu=2, memory_mb=1000, gpu=2)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def waiting(name: str, priority: str = "normal", *, hours: float = 0) -> Record:
    since = NOW - timedelta(hours=hours)
    return Record(
        job=JobDescription(
            id=name,
            owner="alice",
            cluster_name="local",
            status=JobStatus.PENDING,
            container=Container(RemoteImage("host"), Resources(16, 0.1)),
            scheduler_enabled=False,
            pass_config=False,
            uri=URL(),
            summary=JobStatusHistory(JobStatus.PENDING, created_at=since),
            statuses=[
                JobStatusItem(JobStatus.PENDING, since, "Creating"),
                JobStatusItem(JobStatus.PENDING, since + timedelta(seconds=1), "Scheduling"),
            ],
            priority=JobPriority(priority),
        )
    )


def order_of(*records: Record) -> list[str]:
    return [record.job.id for record in in_order(records, NOW)]


def test_priority_goes_first_and_then_who_came_first() -> None:
    queue = [waiting("n1"), waiting("l1", "low"), waiting("h1", "high"), waiting("n2"), waiting("h2", "high")]

    assert order_of(*queue) == ["h1", "h2", "n1", "n2", "l1"]


@pytest.mark.parametrize(("hours", "first"), [(11.9, "h"), (12.1, "n")])
def test_waiting_makes_up_for_a_lower_priority(hours: float, first: str) -> None:
    assert timedelta(hours=12) == PROMOTION

    assert order_of(waiting("n", hours=hours), waiting("h", "high"))[0] == first


def test_no_one_waits_for_ever() -> None:
    """A low job that has waited two promotions is overtaken by nobody who comes after it."""
    low = waiting("l", "low", hours=24.1)

    assert order_of(low, *[waiting(f"h{n}", "high") for n in range(100)])[0] == "l"


def test_a_clock_that_was_put_back_changes_nothing() -> None:
    assert order_of(waiting("n", hours=-100), waiting("h", "high", hours=-100)) == ["h", "n"]


def test_ten_tenths_are_one() -> None:
    room = Room(Capacity(cpu=1, memory_mb=1000))

    given_out = [room.give(Resources(10, 0.1)) for _ in range(11)]

    assert [share is not None for share in given_out] == [True] * 10 + [False]


def test_gpus_are_given_out_once() -> None:
    room = Room(MACHINE, [Share(Resources(10, 0.1, 1), (0,))])

    assert room.give(Resources(10, 0.1, 1)) == Share(Resources(10, 0.1, 1), (1,))
    assert room.give(Resources(10, 0.1, 1)) is None
    assert room.give(Resources(10, 0.1)) is not None


def test_a_machine_that_has_shrunk_has_nothing_free() -> None:
    room = Room(Capacity(cpu=1, memory_mb=10), [Share(Resources(100, 2, 1), (0,))])

    assert room.give(Resources(1, 0.1)) is None
    assert room.free() == Capacity(cpu=0, memory_mb=0)
    assert room.lacking(Resources(16, 0.1)) == [
        "0.1 CPUs (0 of 1 free)",
        "16 MB of memory (0 of 10 free)",
    ]


def test_without_a_capacity_there_is_always_room() -> None:
    room = Room(None)

    assert room.give(Resources(10**9, 10**6, 99)) is not None
    assert room.free() is None
    assert too_much(None, Resources(10**9, 10**6, 99)) == []


@given(
    asked=st.lists(st.builds(Resources, st.integers(1, 600), st.sampled_from([0.1, 0.3, 1.0, 1.9]), st.integers(0, 2))),
    back=st.lists(st.integers(0, 20)),
)
def test_never_more_than_there_is(asked: list[Resources], back: list[int]) -> None:
    shares: list[Share] = []
    for resources in asked:
        share = Room(MACHINE, shares).give(resources)
        if share is not None:
            shares.append(share)
        for number in back:
            if number < len(shares) and len(shares) > 3:
                shares.pop(number)
                break
        assert sum(round(share.resources.cpu * 1000) for share in shares) <= 2000
        assert sum(share.resources.memory_mb for share in shares) <= 1000
        gpus = [gpu for share in shares for gpu in share.gpus]
        assert len(gpus) == len(set(gpus)) <= 2
        assert all(len(share.gpus) == (share.resources.gpu or 0) for share in shares)


def test_why_in_words() -> None:
    full, free = Room(MACHINE, [Share(Resources(1000, 2))]), Room(MACHINE)
    small = Resources(10, 0.1)

    assert why_waiting(full, small, 0) == "Waiting for 0.1 CPUs (0 of 2 free) and 10 MB of memory (0 of 1000 free)"
    assert why_waiting(full, small, 1).endswith("; 1 job is ahead")
    assert why_waiting(free, small, 3) == "Waiting for its turn: 3 jobs are ahead"
    assert why_waiting(full, small, 57) == "Waiting for its turn: at least 50 jobs are ahead"
    assert why_waiting(full, small, 60) == "Waiting for its turn: at least 60 jobs are ahead"
    assert why_waiting(full, small, 4321) == "Waiting for its turn: at least 4000 jobs are ahead"
