"""Jobs as a list and as a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from neuro_cli.render._style import Style, duration, memory, plain
from neuro_cli.render.columns import Fields, Spec, build
from neuro_cli.render.picture import Picture
from neuro_cli.render.table import Column, blocks

if TYPE_CHECKING:
    from neuro_sdk import Container, JobDescription, Resources

IDS: Final = (
    "id", "name", "tags", "status", "when", "created", "started", "finished", "image", "owner", "cluster_name",
    "description", "command", "life_span", "workdir", "preset",
)  # fmt: skip
LONG: Final = frozenset({"tags", "image", "description", "command", "workdir"})


def job_columns(specs: Sequence[Spec], style: Style) -> list[Column]:
    """The columns that the user asked for."""
    return build(specs, job_fields(style), long=LONG)


def list_page(
    jobs: Sequence[JobDescription], columns: Sequence[Column], style: Style, *, width: int, where: str
) -> Picture:
    """The list as a page that is drawn again and again."""
    from neuro_sdk import JobStatus

    head, rows = blocks(columns, jobs, width=width, color=style.color)
    counts = Counter(job.status for job in jobs)
    states = ", ".join(f"{counts[status]} {style.status(status)}" for status in JobStatus if counts[status])
    title = style.bold(f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'} on {where}")
    return Picture(
        [f"{title}: {states}" if states else title, "", *([head] if jobs else [])], rows, style.dim("q quits")
    )


def change_columns(columns: Sequence[Column], style: Style, *, times: bool) -> list[Column]:
    """For a line with each change; with ``times`` that of the change stands in front."""
    return [Column("TIME", lambda job: [style.time(job.history.changed_at)]), *columns][not times :]


def job_fields(style: Style) -> Fields:
    """What the columns can show of a job."""

    def when(job: JobDescription) -> str:
        return style.ago(job.history.changed_at) if job.summary.created_at or job.statuses else ""

    return {
        "id": ("ID", lambda job: job.id),
        "name": ("NAME", lambda job: job.name or ""),
        "tags": ("TAGS", lambda job: plain(",".join(job.tags))),
        "status": ("STATUS", lambda job: style.status(job.status)),
        "when": ("WHEN", when),
        "created": ("CREATED", lambda job: style.time(job.summary.created_at)),
        "started": ("STARTED", lambda job: style.time(job.summary.started_at)),
        "finished": ("FINISHED", lambda job: style.time(job.summary.finished_at)),
        "image": ("IMAGE", lambda job: plain(style.image(job.container.image))),
        "owner": ("OWNER", lambda job: job.owner),
        "cluster_name": ("CLUSTER", lambda job: job.cluster_name),
        "description": ("DESCRIPTION", lambda job: plain(job.description or "")),
        "command": ("COMMAND", lambda job: plain(command_of(job.container))),
        "life_span": ("LIFE SPAN", life_span),
        "workdir": ("WORKDIR", lambda job: plain(job.container.working_dir or "")),
        "preset": ("PRESET", lambda job: job.preset_name or ""),
    }


def command_of(container: Container) -> str:
    """What the job runs, on one line."""
    return " ".join(filter(None, (container.entrypoint, container.command)))


def life_span(job: JobDescription) -> str:
    """How long the job may run; no limit is no text."""
    return duration(job.life_span) if job.life_span else ""


def job_card(job: JobDescription, style: Style) -> str:
    """All about one job; what there is nothing of is left out."""
    history, container = job.history, job.container
    rows = [
        ("Job", job.id),
        ("Name", job.name or ""),
        ("Description", plain(job.description or "")),
        ("Tags", plain(", ".join(job.tags))),
        ("Owner", job.owner),
        ("Cluster", job.cluster_name),
        ("Status", style.status(job.status)),
        ("Reason", plain(": ".join(filter(None, (history.reason, history.description))))),
        ("Exit code", "" if history.exit_code is None else str(history.exit_code)),
        ("Image", plain(style.image(container.image))),
        ("Entrypoint", plain(container.entrypoint or "")),
        ("Command", plain(container.command or "")),
        ("Working dir", plain(container.working_dir or "")),
        ("Preset", job.preset_name or ""),
        ("Resources", resources(container.resources)),
        ("Terminal", "yes" if container.tty else ""),
        ("Privileged", "yes" if job.privileged else ""),
        ("Login passed", "yes" if job.pass_config else ""),
        ("Priority", "" if job.priority == "normal" else job.priority.value),
        ("Restart", "" if job.restart_policy == "never" else job.restart_policy.value),
        ("Restarts", str(history.restarts or "")),
        ("Life span", life_span(job)),
        ("Schedule timeout", duration(job.schedule_timeout) if job.schedule_timeout else ""),
        ("HTTP port", str(container.http.port) if container.http and job.http_url else ""),
        ("HTTP address", style.uri(job.http_url)),
        ("Hostname", job.internal_hostname_named or job.internal_hostname or ""),
        ("Created", style.time(history.created_at)),
        ("Started", style.time(history.started_at)),
        ("Finished", style.time(history.finished_at)),
        *_many("Volume", [
            f"{style.uri(v.storage_uri)} at {v.container_path}{' (read-only)' if v.read_only else ''}"
            for v in container.volumes
        ]),
        *_many("Disk", [
            f"{style.uri(v.disk_uri)} at {v.container_path}{' (read-only)' if v.read_only else ''}"
            for v in container.disk_volumes
        ]),
        *_many("Secret file", [f"{style.uri(v.secret_uri)} at {v.container_path}" for v in container.secret_files]),
        *_many("Environment", [f"{name}={value}" for name, value in container.env.items()]),
        *_many("Secret in env", [f"{name}={style.uri(uri)}" for name, uri in container.secret_env.items()]),
        *_many("History", [
            " ".join(filter(None, (style.time(step.transition_time), step.status.value, step.reason, step.description)))
            for step in history.transitions
        ]),
    ]  # fmt: skip
    return card(rows, style)


def resources(asked: Resources) -> str:
    """CPUs, memory, GPUs on one line."""
    parts = [f"{asked.cpu:g} CPU", f"{memory(asked.memory_mb)} memory"]
    if asked.gpu:
        parts.append(f"{asked.gpu} GPU" + (f" {asked.gpu_model}" if asked.gpu_model else ""))
    if asked.tpu_type:
        parts.append(f"TPU {asked.tpu_type}/{asked.tpu_software_version}")
    return ", ".join(parts)


def card(rows: Sequence[tuple[str, str]], style: Style) -> str:
    """Names and values in two columns; rows without a value are left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{style.bold(name.ljust(width))}  {value}" for name, value in shown)


def _many(title: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Several values under one title."""
    return [(title if at == 0 else " ", plain(value)) for at, value in enumerate(values)]
