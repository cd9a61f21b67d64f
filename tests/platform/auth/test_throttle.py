"""Guessing gets slow: by name, by address, and longer each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_platform.auth.throttle import FORGET_AFTER, FREE, LONGEST_WAIT, Throttle, TooManyTries
from tests.platform.auth.door import Clock


def _fail(throttle: Throttle, times: int, *, name: str = "alice", address: str = "10.0.0.1") -> None:
    for _ in range(times):
        throttle.enter(name, address)


def test_after_five_wrong_tries_a_name_must_wait() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic)
    for i in range(FREE):
        throttle.enter("alice", f"10.0.0.{i}")

    with pytest.raises(TooManyTries, match="Try again in 10 seconds"):
        throttle.enter("alice", "10.0.0.99")

    throttle.enter("bob", "10.0.0.99")
    clock.advance(seconds=10)
    throttle.enter("alice", "10.0.0.99")


def test_after_five_wrong_tries_an_address_must_wait() -> None:
    throttle = Throttle(Clock().monotonic)
    for i in range(FREE):
        throttle.enter(f"user-{i}", "10.0.0.1")

    with pytest.raises(TooManyTries):
        throttle.enter("another", "10.0.0.1")
    throttle.enter("another", "10.0.0.2")


def test_each_further_wrong_try_doubles_the_wait() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic)
    _fail(throttle, FREE)
    waits = []
    for _ in range(8):
        with pytest.raises(TooManyTries) as refused:
            throttle.enter("alice", "10.0.0.1")
        waits.append(refused.value.retry_after)
        clock.advance(seconds=refused.value.retry_after)
        throttle.enter("alice", "10.0.0.1")

    assert waits == [10, 20, 40, 80, 160, 320, 640, LONGEST_WAIT]


def test_refused_tries_do_not_make_the_wait_longer() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic)
    _fail(throttle, FREE)
    for _ in range(50):
        with pytest.raises(TooManyTries):
            throttle.enter("alice", "10.0.0.1")

    clock.advance(seconds=10)
    throttle.enter("alice", "10.0.0.1")


def test_a_right_password_clears_the_name_but_not_the_address() -> None:
    throttle = Throttle(Clock().monotonic)
    _fail(throttle, FREE - 1)
    throttle.enter("alice", "10.0.0.2")
    throttle.passed("alice", "10.0.0.2")
    _fail(throttle, FREE - 1, address="10.0.0.3")

    throttle.enter("mallory", "10.0.0.1")
    throttle.passed("mallory", "10.0.0.1")
    throttle.enter("bob", "10.0.0.1")
    with pytest.raises(TooManyTries):
        throttle.enter("bob", "10.0.0.1")


def test_wrong_tries_are_forgotten_after_a_while() -> None:
    clock = Clock()
    throttle = Throttle(clock.monotonic)
    _fail(throttle, FREE - 1)
    clock.advance(seconds=FORGET_AFTER + 1)
    _fail(throttle, FREE - 1)


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    throttle = Throttle(Clock().monotonic)
    for i in range(FREE):
        throttle.enter(f"user-{i}", f"2001:db8::{i}")

    with pytest.raises(TooManyTries):
        throttle.enter("another", "2001:db8::ffff")
    throttle.enter("another", "2001:db8:0:1::1")


@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=80)), max_size=60))
def test_any_name_and_address_can_be_counted(tries: list[tuple[str, str]]) -> None:
    throttle, refusals = Throttle(Clock().monotonic), list[TooManyTries]()
    for name, address in tries:
        try:
            throttle.enter(name, address)
        except TooManyTries as exc:
            refusals.append(exc)
        else:
            throttle.passed(name, address)

    assert all(0 < exc.retry_after <= LONGEST_WAIT for exc in refusals)


def test_memory_does_not_grow_with_the_number_of_names() -> None:
    throttle = Throttle(Clock().monotonic)
    for i in range(30_000):
        throttle.enter(f"user-{i}", f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")

    assert len(throttle._records) <= 10_000
