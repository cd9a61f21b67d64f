"""The machine's NVIDIA GPUs, by the library that comes with their driver (NVML); most machines have neither."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

_AGAIN: Final = 30.0  # seconds after which a driver that failed is tried again: it may have been updated
_HOLDS: Final = 2.0  # seconds that a process's part of the time is believed without a new sample


def models() -> list[str]:
    """The models of the machine's GPUs, by index."""
    with contextlib.suppress(NoDriver), _session() as nvml:
        found = []
        for device in _devices(nvml):
            name = nvml.nvmlDeviceGetName(device)
            found.append(name.decode() if isinstance(name, bytes) else str(name))
        return found
    return []


class NoDriver(Exception):
    """There are no GPUs, or they cannot be asked."""


class Gpus:
    """The GPUs, asked again and again; the driver is held until :meth:`close`."""

    class Seen(NamedTuple):
        """One GPU at one moment."""

        number: int  # as CUDA counts them in the order of the bus
        duty_cycle: float | None  # percent of the time, whoever used it; None where the driver does not tell
        memory: int  # bytes in use, whoever uses them
        processes: Mapping[int, int | None]  # those that are on it, and their memory where the driver tells
        shares: Mapping[int, float] | None  # percent of the time by process; None where the driver does not tell

    def __init__(self) -> None:
        self._open: contextlib.ExitStack | None = None
        self._nvml: Any = None  # Any: the binding has no types
        self._devices: list[Any] = []
        self._shares: dict[int, _Shares] = {}  # by index
        self._not_before = 0.0

    def read(self) -> list[Seen]:
        """All GPUs; empty where there are none, or while the driver fails."""
        if self._open is None and time.monotonic() < self._not_before:
            return []
        try:
            if self._open is None:
                self._begin()
            return [self._look(index, device) for index, device in enumerate(self._devices)]
        except NoDriver:
            self.close()
            self._not_before = time.monotonic() + _AGAIN
            return []

    def close(self) -> None:
        """Let go of the driver."""
        if self._open is not None:
            self._open.close()
        self._open = None
        self._devices = []

    def _begin(self) -> None:
        with contextlib.ExitStack() as stack:
            self._nvml = stack.enter_context(_session())
            self._devices = _devices(self._nvml)
            self._open = stack.pop_all()

    def _look(self, index: int, device: Any) -> Seen:
        nvml = self._nvml
        with _failures(nvml):
            memory = _told(nvml, nvml.nvmlDeviceGetMemoryInfo, device)
            rates = _told(nvml, nvml.nvmlDeviceGetUtilizationRates, device)
            compute = _told(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, device)
            graphics = _told(nvml, nvml.nvmlDeviceGetGraphicsRunningProcesses, device)
            shares = self._shares.setdefault(index, _Shares())
            shares.take(_told(nvml, nvml.nvmlDeviceGetProcessUtilization, device, shares.until), time.monotonic())
        return Gpus.Seen(
            number=index,
            duty_cycle=None if rates is None else float(rates.gpu),
            memory=0 if memory is None else int(memory.used),
            processes=process_memory([*(compute or ()), *(graphics or ())]),
            shares=shares.now,
        )


def of_task(
    gpus: Iterable[Gpus.Seen], given: Collection[int], processes: Collection[int]
) -> tuple[float | None, int | None]:
    """What a task has of the GPUs: percent of the time, mean over those that are its own, and bytes of memory.

    Its own are those that it was ``given`` and those that its processes are on; with none of either both are ``None``.
    A platform in a container sees other process numbers than the driver: what is on a given GPU is then the task's.
    """
    duties: list[float | None] = []
    memory = 0
    for gpu in gpus:
        ours = gpu.processes.keys() & set(processes)
        if not ours and gpu.number not in given:
            continue
        if ours:
            held = [gpu.processes[pid] for pid in ours]
            # not told for each: all that is in use then, which nobody else has if the GPU was given
            memory += gpu.memory if None in held else sum(size or 0 for size in held)
            shares = gpu.shares
            duties.append(gpu.duty_cycle if shares is None else min(100.0, sum(shares.get(pid, 0.0) for pid in ours)))
        elif gpu.processes and not any(_is_here(pid) for pid in gpu.processes):
            memory += gpu.memory
            duties.append(gpu.duty_cycle)
        else:
            duties.append(0.0)
    if not duties:
        return None, None
    told = [duty for duty in duties if duty is not None]
    return (sum(told) / len(told) if told else None), memory


def process_memory(found: Iterable[Any]) -> dict[int, int | None]:
    """By process; a process that computes and draws is named twice, each time with all of its memory."""
    memory: dict[int, int | None] = {}
    for process in found:
        size = process.usedGpuMemory
        known = memory.get(process.pid)
        memory[process.pid] = known if size is None else max(int(size), known or 0)
    return memory


class _Shares:
    """The processes' parts of one GPU's time. The driver looks once a second or so, and not when we do."""

    def __init__(self) -> None:
        self.now: Mapping[int, float] | None = {}
        self.until = 0  # the time of the last sample, in the driver's microseconds
        self._came = 0.0  # when that was, in ours

    def take(self, samples: Sequence[Any] | None, now: float) -> None:
        """Take the driver's answer; one without news lets the last one hold for a while."""
        shares, until = process_shares(samples, self.until)
        if shares is None or until > self.until or now - self._came > _HOLDS:
            self.now, self._came = shares, now
        self.until = until


def process_shares(samples: Sequence[Any] | None, since: int) -> tuple[dict[int, float] | None, int]:
    """Percent of the time by process, from the driver's samples after a time; and the time of the last one.

    The driver repeats old samples, and is known to have numbers beyond all bounds among them.
    """
    if samples is None:
        return None, since
    by_process: dict[int, list[float]] = {}
    until = since
    for sample in samples:
        if sample.timeStamp > since:
            until = max(until, int(sample.timeStamp))
            if 0 <= sample.smUtil <= 100:
                by_process.setdefault(int(sample.pid), []).append(float(sample.smUtil))
    return {pid: sum(shares) / len(shares) for pid, shares in by_process.items()}, until


@contextlib.contextmanager
def _session() -> Iterator[Any]:
    """NVML, ready to be asked; NoDriver where there is none."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")  # the binding costs megabytes, and most machines have nothing for it
    except OSError as exc:
        raise NoDriver from exc
    import pynvml

    with _failures(pynvml):
        pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


@contextlib.contextmanager
def _failures(nvml: Any) -> Iterator[None]:
    try:
        yield
    except nvml.NVMLError as exc:
        raise NoDriver from exc


def _devices(nvml: Any) -> list[Any]:
    with _failures(nvml):
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]


def _told(nvml: Any, ask: Any, *arguments: Any) -> Any:
    """An answer, or ``None`` from a GPU or a driver that cannot give this one (MIG, virtual GPUs, old ones)."""
    try:
        return ask(*arguments)
    except nvml.NVMLError as exc:
        code = getattr(exc, "value", None)
        if code == nvml.NVML_ERROR_NOT_FOUND:
            return ()  # no process has used it in that time
        if code in (
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
        ):
            return None
        raise


def _is_here(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
