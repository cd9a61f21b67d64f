"""Why a job is as it is, and what a submission would come to, as text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from neuro_cli.render._style import Style, duration, memory, plain
from neuro_cli.render.jobs import card, resources

if TYPE_CHECKING:
    from neuro_sdk import Holder, JobPlan, JobReason, Shortage

_NAMES: Final = {"cpu": "CPUs", "memory_mb": "Memory", "gpu": "GPUs", "seat": "Seats"}
_VERBS: Final = {"succeeded": "has", "failed": "has", "cancelled": "was"}
_UNTIL: Final = {"back-off": "Next start"}


def reason_card(reason: JobReason, style: Style) -> str:
    """All that there is to know, the sentence first."""
    who = f"{reason.name} ({reason.id})" if reason.name else reason.id
    verb = _VERBS.get(reason.status.value, "is")
    head = f"{style.bold(plain(who))} {verb} {style.status(reason.status)}. {plain(reason.summary)}"
    rows = reason_rows(reason, style)
    table = f"\n\n{card(rows, style)}" if any(value for _, value in rows) else ""
    return head + table + _advice(reason.advice, style)


def reason_rows(reason: JobReason, style: Style) -> list[tuple[str, str]]:
    """The facts, as names and values."""
    queue = "" if reason.position is None else f"{reason.position} of {reason.queue_length}"
    return [
        *[row for short in reason.shortages for row in _shortage(short, style)],
        ("Queue", queue and f"{queue}, priority {reason.priority.value}"),
        ("Starts by", style.time(reason.starts_by)),
        ("Gives up at", style.time(reason.gives_up_at)),
        (_UNTIL.get(reason.kind, "Until"), style.time(reason.until)),
        ("Life span ends", style.time(reason.ends_by)),
        ("Exit code", "" if reason.exit_code is None else str(reason.exit_code)),
        ("Signal", "" if reason.signal is None else str(reason.signal)),
        *_many("Details", [] if reason.details in reason.summary else reason.details.splitlines()),
    ]


def plan_card(plan: JobPlan, style: Style) -> str:
    """What would be started, and when."""
    order, container, reason = plan.order, plan.container, plan.reason
    rows = [
        ("Cluster", f"{plan.cluster_name} (engine {plan.engine})"),
        ("Starts", "now" if plan.starts_now else plain(reason.summary)),
        *([] if plan.starts_now else reason_rows(reason, style)),
        ("Name", order.name or ""),
        ("Tags", plain(", ".join(order.tags))),
        ("Image", plain(style.image(container.image))),
        ("Command", plain(shlex.join(plan.argv))),
        ("Working dir", plain(container.working_dir or "")),
        ("Preset", order.preset_name or ""),
        ("Resources", resources(container.resources)),
        ("Terminal", "yes" if container.tty else ""),
        ("Login passed", "yes" if order.pass_config else ""),
        ("Life span", duration(order.max_run_time_minutes * 60) if order.max_run_time_minutes else "no limit"),
        ("Schedule timeout", duration(order.schedule_timeout) if order.schedule_timeout else ""),
        ("Restart", order.restart_policy.value),
        ("Priority", order.priority.value),
        ("HTTP port", str(container.http.port) if container.http else ""),
        *_many("Environment", [f"{name}={value}" for name, value in container.env.items()]),
        *_many("Secret in env", [f"{name}={style.uri(uri)}" for name, uri in container.secret_env.items()]),
        *_many("Secret file", [f"{style.uri(v.secret_uri)} at {v.container_path}" for v in container.secret_files]),
        *_many("Volume", [f"{style.uri(v.storage_uri)} at {v.container_path}" for v in container.volumes]),
        *_many("Disk", [f"{style.uri(v.disk_uri)} at {v.container_path}" for v in container.disk_volumes]),
    ]
    return card(rows, style) + ("" if plan.starts_now else _advice(reason.advice, style))


def _shortage(short: Shortage, style: Style) -> list[tuple[str, str]]:
    free = f"{_amount(short, short.wanted)} wanted, {_amount(short, short.free)} of {_amount(short, short.total)} free"
    return _many(_NAMES.get(short.resource, short.resource), [free, *[_holder(short, h, style) for h in short.holders]])


def _holder(short: Shortage, holder: Holder, style: Style) -> str:
    number = _amount(short, holder.amount)
    if holder.job_id is None:
        return f"{number} in {holder.jobs} other {'job' if holder.jobs == 1 else 'jobs'}"
    who = f"{holder.name} ({holder.job_id})" if holder.name else holder.job_id
    whose = f" of {holder.owner}" if holder.owner != style.username else ""
    until = f", until {style.time(holder.ends_by)} at the latest" if holder.ends_by else ""
    return f"{number} in {who}{whose}{until}"


def _amount(short: Shortage, number: float) -> str:
    return memory(int(number)) if short.resource == "memory_mb" else f"{number:g}"


def _advice(advice: Sequence[str], style: Style) -> str:
    lines = [f"  {plain(line)}" for line in advice]
    return "\n\n" + "\n".join([style.bold("What would change it:"), *lines]) if lines else ""


def _many(title: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(title if at == 0 else " ", plain(value)) for at, value in enumerate(values)]
