"""From the records in a task's folder to the report that engines give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from neuro_platform.engines.base import Files, Report, State
from neuro_platform.engines.supervisor import records


def ended(files: Files) -> Report | None:
    """What the exit record says; ``None`` as long as there is none."""
    record = records.read(files.exit)
    return None if record is None else from_exit(record)


def from_exit(record: Mapping[str, object]) -> Report:
    """The report of a task with this exit record."""
    code = record.get("exit_code")
    return Report(
        state=State.ENDED,
        exit_code=code if isinstance(code, int) else None,
        reason=str(record.get("reason") or ""),
        description=str(record.get("description") or ""),
        started_at=moment(record.get("started_at")),
        finished_at=moment(record.get("finished_at")),
    )


def moment(value: object) -> datetime | None:
    """A time from a record."""
    return datetime.fromisoformat(value) if isinstance(value, str) else None
