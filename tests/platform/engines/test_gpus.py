"""NVIDIA GPUs: what the driver's answers mean for a task, and machines that have none or whose driver fails."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import pynvml
import pytest

from neuro_platform.engines import _gpus
from neuro_platform.engines._gpus import Gpus, NoDriver, of_task, process_memory, process_shares
from neuro_platform.engines._usage import Meter, Root

GiB = 1 << 30
HERE = os.getpid()  # a process that is there
AWAY = 2**22 + 7  # one that is not: the driver sees the machine's numbers, we those of a container


def gpu(
    number: int,
    *,
    duty: float | None = 90.0,
    memory: int = 40 * GiB,
    processes: Mapping[int, int | None] | None = None,
    shares: Mapping[int, float] | None = None,
) -> Gpus.Seen:
    return Gpus.Seen(number, duty, memory, processes or {}, shares)


CASES = {
    "no GPU in the machine": ([], (), {1}, (None, None)),
    "none of its own": ([gpu(0, processes={HERE: GiB}, shares={HERE: 50.0})], (), {1}, (None, None)),
    "on one": ([gpu(0, processes={1: GiB}, shares={1: 50.0})], (0,), {1}, (50.0, GiB)),
    "several processes": (
        [gpu(0, processes={1: GiB, 2: 2 * GiB, HERE: 9 * GiB}, shares={1: 30.0, 2: 25.0, HERE: 40.0})],
        (0,),
        {1, 2},
        (55.0, 3 * GiB),
    ),
    "more than all of it": ([gpu(0, processes={1: 1, 2: 1}, shares={1: 70.0, 2: 70.0})], (0,), {1, 2}, (100.0, 2)),
    "a mean over its GPUs": (
        [gpu(0, processes={1: GiB}, shares={1: 80.0}), gpu(1), gpu(2, processes={1: GiB}, shares={1: 40.0})],
        (0, 2),
        {1},
        (60.0, 2 * GiB),
    ),
    "one that it does not use": (
        [gpu(0, processes={1: GiB}, shares={1: 80.0}), gpu(1, processes={HERE: GiB}, shares={HERE: 80.0})],
        (0, 1),
        {1},
        (40.0, GiB),
    ),
    "given and idle": ([gpu(0, duty=0.0, memory=4)], (0,), {1}, (0.0, 0)),
    "on it, but idle just now": ([gpu(0, processes={1: GiB}, shares={})], (0,), {1}, (0.0, GiB)),
    "no shares told": ([gpu(0, processes={1: GiB})], (0,), {1}, (90.0, GiB)),
    "no shares, no duty told": ([gpu(0, duty=None, processes={1: GiB})], (0,), {1}, (None, GiB)),
    "no memory told": ([gpu(0, processes={1: None}, shares={1: 10.0})], (0,), {1}, (10.0, 40 * GiB)),
    "not given, but used": ([gpu(0, processes={1: GiB}, shares={1: 5.0})], (), {1}, (5.0, GiB)),
    "in a container": ([gpu(0, processes={AWAY: GiB}, shares={AWAY: 5.0})], (0,), {1}, (90.0, 40 * GiB)),
}


@pytest.mark.parametrize(("gpus", "given", "pids", "expected"), CASES.values(), ids=CASES)
def test_of_a_task(
    gpus: list[Gpus.Seen], given: tuple[int, ...], pids: set[int], expected: tuple[float | None, int | None]
) -> None:
    assert of_task(gpus, given, pids) == expected


class Sample(NamedTuple):
    """As the driver has it; recorded on a machine with two processes on one GPU."""

    pid: int
    timeStamp: int  # noqa: N815
    smUtil: int  # noqa: N815
    memUtil: int = 0  # noqa: N815


RECORDED = [
    Sample(31337, 1770091506250123, 41, 12),
    Sample(31337, 1770091506416790, 39, 12),
    Sample(31400, 1770091506250123, 7),
    Sample(31400, 1770091505000000, 99),  # from before
    Sample(31400, 1770091506416790, 4294967295),  # rubbish
    Sample(0, 0, 0),  # no sample at all
]


def test_shares_of_processes() -> None:
    assert process_shares(RECORDED, 1770091506000000) == ({31337: 40.0, 31400: 7.0}, 1770091506416790)
    assert process_shares([], 5) == ({}, 5)
    assert process_shares(None, 5) == (None, 5)


def test_a_share_holds_for_a_while_without_a_new_sample() -> None:
    shares = _gpus._Shares()
    shares.take([Sample(7, 100, 50)], 10.0)
    assert shares.now == {7: 50.0}

    shares.take([Sample(7, 100, 50)], 11.0)
    assert shares.now == {7: 50.0}
    shares.take((), 12.5)
    assert shares.now == {}
    shares.take([Sample(7, 200, 60)], 13.0)
    assert shares.now == {7: 60.0}
    shares.take(None, 14.0)
    assert shares.now is None


class Process(NamedTuple):
    pid: int
    usedGpuMemory: int | None  # noqa: N815


def test_memory_of_processes() -> None:
    found = [Process(1, 100), Process(2, None), Process(1, 120), Process(3, None), Process(3, 5), Process(1, None)]

    assert process_memory(found) == {1: 120, 2: None, 3: 5}


class Driver(types.SimpleNamespace):
    """NVML with one GPU, or with what a test says instead; errors are the real ones."""

    def __init__(self, **answers: Any) -> None:
        constants = {name: value for name, value in vars(pynvml).items() if name.startswith("NVML")}
        device = {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetName": b"NVIDIA H200",
            "nvmlDeviceGetMemoryInfo": types.SimpleNamespace(total=141 * GiB, used=3 * GiB, free=138 * GiB),
            "nvmlDeviceGetUtilizationRates": types.SimpleNamespace(gpu=37, memory=12),
            "nvmlDeviceGetComputeRunningProcesses": [Process(31337, 2 * GiB)],
            "nvmlDeviceGetGraphicsRunningProcesses": [],
            "nvmlDeviceGetProcessUtilization": RECORDED[:2],
        }
        self.calls: list[str] = []
        super().__init__(**constants)
        for name, answer in {**device, **answers}.items():
            setattr(self, name, self._says(name, answer))

    def _says(self, name: str, answer: Any) -> Any:
        def say(*_: object) -> Any:
            self.calls.append(name)
            if isinstance(answer, int) and name != "nvmlDeviceGetCount":
                raise pynvml.NVMLError(answer)
            return answer

        return say


def use(driver: Driver | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: str) -> None:
        if driver is None:
            raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(_gpus.ctypes, "CDLL", load)
    if driver is not None:
        monkeypatch.setitem(__import__("sys").modules, "pynvml", driver)


def test_a_gpu_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Driver(), monkeypatch)
    gpus = Gpus()

    assert _gpus.models() == ["NVIDIA H200"]
    assert gpus.read() == [gpu(0, duty=37.0, memory=3 * GiB, processes={31337: 2 * GiB}, shares={31337: 40.0})]
    gpus.close()
    gpus.close()


def test_the_driver_is_opened_once_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    use(driver, monkeypatch)
    gpus = Gpus()

    for _ in range(3):
        gpus.read()
    gpus.close()

    assert (driver.calls.count("nvmlInit"), driver.calls.count("nvmlShutdown")) == (1, 1)


@pytest.mark.parametrize(
    "question",
    [
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetGraphicsRunningProcesses",
        "nvmlDeviceGetProcessUtilization",
    ],
)
@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION])
def test_a_gpu_that_does_not_tell_everything_is_read_all_the_same(
    question: str, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Driver(**{question: error}), monkeypatch)

    (seen,) = Gpus().read()

    assert (seen.duty_cycle is None) == (question == "nvmlDeviceGetUtilizationRates")
    assert (seen.memory == 0) == (question == "nvmlDeviceGetMemoryInfo")
    assert (seen.processes == {}) == (question == "nvmlDeviceGetComputeRunningProcesses")
    assert (seen.shares is None) == (question == "nvmlDeviceGetProcessUtilization")


def test_no_process_has_used_it(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Driver(nvmlDeviceGetProcessUtilization=pynvml.NVML_ERROR_NOT_FOUND), monkeypatch)

    assert Gpus().read()[0].shares == {}


@pytest.mark.parametrize("question", ["nvmlInit", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo"])
def test_a_driver_that_fails_is_tried_again_later(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(**{question: pynvml.NVML_ERROR_UNKNOWN})
    use(driver, monkeypatch)
    now = [1000.0]
    monkeypatch.setattr(_gpus.time, "monotonic", lambda: now[0])
    gpus = Gpus()

    assert gpus.read() == []
    asked = len(driver.calls)
    assert gpus.read() == []
    assert len(driver.calls) == asked

    use(Driver(), monkeypatch)
    now[0] += 31
    assert len(gpus.read()) == 1


def test_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    use(None, monkeypatch)

    assert _gpus.models() == []
    assert Gpus().read() == []
    with pytest.raises(NoDriver), _gpus._session():
        pass
    (usage,) = Meter(Gpus()).read([Root(os.getpid(), [0])])
    assert usage is not None
    assert (usage.gpu_duty_cycle, usage.gpu_memory_bytes) == (None, None)


def test_a_task_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Driver(nvmlDeviceGetComputeRunningProcesses=[Process(AWAY, GiB)]), monkeypatch)

    (usage,) = Meter(Gpus()).read([Root(os.getpid(), [0])])

    assert usage is not None
    assert (usage.gpu_duty_cycle, usage.gpu_memory_bytes) == (37.0, 3 * GiB)
