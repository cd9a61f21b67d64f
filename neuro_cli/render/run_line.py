"""The ``neuro run`` line that starts a job like one that there is."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from neuro_cli.render._style import Style, duration

if TYPE_CHECKING:
    from yarl import URL

    from neuro_sdk import Container, JobDescription, Preset

_SECRET = "secret:"  # noqa: S105  (how the value of a variable says that it is one)


class NotSayable(Exception):
    """No option of ``neuro run`` says this about a job."""


def run_words(job: JobDescription, presets: Mapping[str, Preset], *, cluster_name: str) -> list[str]:
    """The words of the line; raises :class:`NotSayable` naming what they cannot say.

    ``presets`` are those of the job's cluster: a preset that has other amounts by now is not named, the amounts are.
    """
    return [
        "neuro",
        "run",
        *_place(job, cluster_name),
        *_resources(job, presets),
        *_labels(job),
        *_rules(job),
        *_surroundings(job.container),
        *_mounts(job.container),
        *_streams(job),
        _image(job.container),
        *_command(job.container),
    ]


def shell_line(words: Iterable[str]) -> str:
    """The words as one line for a shell; in those with control characters these are escapes, as bash and zsh read."""
    return " ".join(map(_quoted, words))


def _place(job: JobDescription, cluster_name: str) -> list[str]:
    return [] if job.cluster_name == cluster_name else ["--cluster", job.cluster_name]


def _resources(job: JobDescription, presets: Mapping[str, Preset]) -> list[str]:
    asked = job.container.resources
    preset = presets.get(job.preset_name or "")
    words = [] if asked.shm else ["--no-extshm"]
    amounts = (asked.cpu, asked.memory_mb, asked.gpu or None, asked.gpu_model)
    if preset is not None and (preset.cpu, preset.memory_mb, preset.gpu or None, preset.gpu_model) == amounts:
        return ["--preset", job.preset_name or "", *words]
    if asked.tpu_type:
        raise NotSayable(f"its TPU ({asked.tpu_type}), which only a preset can ask for")
    gpus = ["--gpu", str(asked.gpu)] if asked.gpu else []
    gpus += ["--gpu-model", asked.gpu_model] if asked.gpu and asked.gpu_model else []
    return ["--cpu", repr(asked.cpu).removesuffix(".0"), "--memory", f"{asked.memory_mb}M", *gpus, *words]


def _labels(job: JobDescription) -> list[str]:
    tags = [word for tag in job.tags for word in ("--tag", tag)]
    name = ["--name", job.name] if job.name else []
    return [*name, *tags, *(["--description", job.description] if job.description else [])]


def _rules(job: JobDescription) -> list[str]:
    words = ["--life-span", duration(job.life_span) if job.life_span else "0"]
    if job.schedule_timeout:
        words += ["--schedule-timeout", duration(math.ceil(job.schedule_timeout))]
    if job.restart_policy != "never":
        words += ["--restart", job.restart_policy.value]
    if job.priority != "normal":
        words += ["--priority", job.priority.value]
    words += ["--wait-for-seat"] if job.wait_for_jobs_quota else []
    words += ["--pass-config"] if job.pass_config else []
    return words + (["--privileged"] if job.privileged else [])


def _surroundings(container: Container) -> list[str]:
    words = []
    for name, value in container.env.items():
        if value.startswith(_SECRET) or not name or any(char.isspace() or char == "=" for char in name):
            raise NotSayable(f"its variable {name!r}, which the option -e would take for something else")
        words += ["--env", f"{name}={value}"]
    for name, secret in container.secret_env.items():
        words += ["--env", f"{name}={secret}"]
    words += ["--workdir", container.working_dir] if container.working_dir else []
    words += ["--entrypoint", container.entrypoint] if container.entrypoint else []
    if container.http is not None:
        return [*words, "--http", str(container.http.port), *_http_auth(container.http.requires_auth)]
    return words if _image(container) == "host" else [*words, "--http", "0"]


def _http_auth(required: bool) -> list[str]:
    return [] if required else ["--no-http-auth"]


def _mounts(container: Container) -> list[str]:
    mounts = [(v.storage_uri, v.container_path, v.read_only) for v in container.volumes]
    mounts += [(v.disk_uri, v.container_path, v.read_only) for v in container.disk_volumes]
    words = [f"{_mounted(uri)}:{path}:{'ro' if read_only else 'rw'}" for uri, path, read_only in mounts]
    words += [f"{_mounted(v.secret_uri)}:{v.container_path}" for v in container.secret_files]
    return [part for word in words for part in ("--volume", word)]


def _mounted(uri: URL) -> str:
    scheme, colon, rest = str(uri).partition(":")
    return scheme + colon + rest.replace(":", "%3A")


def _streams(job: JobDescription) -> list[str]:
    if job.container.tty:
        return ["--tty"]
    return ["--no-tty"] if job.container.stdin else ["--detach"]


def _image(container: Container) -> str:
    return Style(full_uris=True).image(container.image)


def _command(container: Container) -> Sequence[str]:
    words = container.command_words()
    if not words:
        return []
    if len(words) == 1:  # which `run` splits
        return ["--", shlex.quote(words[0])]
    return ["--", *words]


def _quoted(word: str) -> str:
    if word.isprintable() or not word:
        return shlex.quote(word)
    escaped = (_escaped(char) for char in word)
    return "$'" + "".join(escaped) + "'"


def _escaped(char: str) -> str:
    if char in "'\\":
        return "\\" + char
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))
