"""What a submission must be like; pure: a document and a cluster in, a job or a refusal out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

from neuro_platform.engines.base import Capacity, Engine, Reachable
from neuro_platform.services.admission import too_much
from neuro_sdk.errors import IllegalArgumentError, NotSupportedError
from neuro_sdk.wire.cluster import Preset
from neuro_sdk.wire.codec import replace
from neuro_sdk.wire.images import HOST, INVALID_IMAGE_NAME
from neuro_sdk.wire.jobs import Container, HTTPPort, JobOrder, Resources, read_container, split_words
from neuro_sdk.wire.names import JOB_NAME, TAG, TAGS_PER_JOB

PASSED_CONFIG: Final = "NEURO_PASSED_CONFIG"

_LEAST_CPU = 0.1
_LEAST_MEMORY_MB = 16
_LONGEST_WAIT = 30 * 24 * 3600  # seconds
_LONGEST_KEY = 255
_LONGEST_WORD = 131071  # bytes of one argument or variable of a program on Linux: execve(2), MAX_ARG_STRLEN
_LONGEST_PATH = 4095  # bytes; PATH_MAX on Linux


def checked_order(order: JobOrder) -> JobOrder:
    """The order in its stored form: tags sorted, each once, empty texts left out."""
    if order.name:
        JOB_NAME.check(order.name)
    tags = sorted({TAG.check(tag) for tag in order.tags})
    if len(tags) > TAGS_PER_JOB:
        raise IllegalArgumentError(f"A job can have at most {TAGS_PER_JOB} tags, not {len(tags)}")
    if order.max_run_time_minutes is not None and order.max_run_time_minutes < 1:
        raise IllegalArgumentError("The life span of a job must be at least one minute")
    if order.schedule_timeout is not None and not 1 <= order.schedule_timeout < _LONGEST_WAIT:
        raise IllegalArgumentError(
            f"The schedule time-out must be at least 1 second and less than {_LONGEST_WAIT // 86400} days,"
            f" not {order.schedule_timeout:.15g} seconds"
        )
    if order.schedule_timeout is not None and order.scheduler_enabled:
        raise IllegalArgumentError("A schedule time-out does not go together with round-robin scheduling: use one")
    return replace(order, name=order.name or None, description=order.description or None, tags=tags)


def checked_key(key: str | None) -> str | None:
    """An idempotency key that can be stored."""
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise IllegalArgumentError(f"An idempotency key must have 1 to {_LONGEST_KEY} printable characters")
    return key


def with_preset(members: Mapping[str, Any], preset: Preset) -> dict[str, Any]:
    """The container's members with the resources of a preset."""
    asked = members.get("resources") or {}
    if not isinstance(asked, dict) or set(asked) - {"shm"}:
        raise IllegalArgumentError("With a preset, `resources` may only have `shm`: the preset says the rest")
    resources: dict[str, Any] = {"cpu": preset.cpu, "memory_mb": preset.memory_mb, "shm": asked.get("shm", False)}
    if preset.gpu:
        resources["gpu"] = preset.gpu
    if preset.gpu_model:
        resources["gpu_model"] = preset.gpu_model
    return {**members, "resources": resources}


def checked_container(members: Mapping[str, Any], order: JobOrder, cluster: str, engine: Engine) -> Container:
    """The container in its stored form, when this cluster's engine can run it."""
    container = _with_both_forms(read_container(members))
    image = container.image.as_docker_url()
    if container.image.name == INVALID_IMAGE_NAME:
        raise IllegalArgumentError("The image is not a valid image reference")
    if not engine.runs(image):
        raise NotSupportedError(
            f"The cluster {cluster!r} cannot run the image {image!r}. It runs {engine.images}: use the image 'host' to"
            " run a program of the machine, or choose a cluster that runs containers"
        )
    _check_abilities(container, order, cluster, engine)
    _check_http(container.http)
    argv = argv_of(container)
    if not argv and container.image.name == HOST:
        raise IllegalArgumentError(
            "The image 'host' has no program of its own: say which command to run, as in 'neuro run host -- COMMAND'"
        )
    if any("\0" in word for word in argv):
        raise IllegalArgumentError("The command must not have NUL characters")
    if (longest := max(map(_size, argv), default=0)) > _LONGEST_WORD:
        raise IllegalArgumentError(
            f"An argument of the command has {longest} bytes: a program takes at most {_LONGEST_WORD} in one. Put it"
            " into a file"
        )
    if container.working_dir and not container.working_dir.startswith("/"):
        raise IllegalArgumentError(f"The working directory {_start(container.working_dir)!r} must be an absolute path")
    if "\0" in (container.working_dir or ""):
        raise IllegalArgumentError("The working directory must not have NUL characters")
    if (size := _size(container.working_dir or "")) > _LONGEST_PATH:
        raise IllegalArgumentError(f"The path of the working directory has {size} bytes: it can have {_LONGEST_PATH}")
    _check_env(container.env)
    if order.pass_config and PASSED_CONFIG in container.env:
        raise IllegalArgumentError(
            f"The environment has {PASSED_CONFIG} already: leave it out, or do not pass the configuration"
        )
    return replace(
        container,
        command=container.command or None,
        entrypoint=container.entrypoint or None,
        working_dir=container.working_dir or None,
        resources=replace(container.resources, gpu=container.resources.gpu or None),
    )


def _with_both_forms(container: Container) -> Container:
    """The command as its words, for the engine, and as a line, for clients that know no other form."""
    words = container.command_words()
    if container.argv and container.command and split_words("command", container.command) != words:
        raise IllegalArgumentError("`argv` and `command` say different things: give one of them")
    return replace(container, argv=words or None, command=container.command or shlex.join(words))


def argv_of(container: Container) -> list[str]:
    """The words of entry point and command, all that the engine is to run."""
    return split_words("entry point", container.entrypoint) + container.command_words()


def check_resources(resources: Resources, cluster: str, capacity: Capacity | None) -> None:
    """Refuse what is too little to work with, and what waiting will never bring."""
    if resources.cpu < _LEAST_CPU:
        raise IllegalArgumentError(f"A job needs at least {_LEAST_CPU} CPUs, not {resources.cpu:g}")
    if resources.memory_mb < _LEAST_MEMORY_MB:
        raise IllegalArgumentError(f"A job needs at least {_LEAST_MEMORY_MB} MB of memory, not {resources.memory_mb}")
    if (resources.gpu or 0) < 0:
        raise IllegalArgumentError(f"A job cannot have {resources.gpu} GPUs")
    if excess := too_much(capacity, resources):
        raise IllegalArgumentError(
            f"The job asks for more than the cluster {cluster!r} has: {', '.join(excess)}. Ask for less, or choose"
            " another preset"
        )
    model = capacity.gpu_model if capacity else None
    if resources.gpu and resources.gpu_model and model and resources.gpu_model != model:
        raise IllegalArgumentError(f"The cluster {cluster!r} has GPUs of model {model!r}, not {resources.gpu_model!r}")


def _check_abilities(container: Container, order: JobOrder, cluster: str, engine: Engine) -> None:
    asked = {
        "mount storage volumes": container.volumes,
        "mount disks": container.disk_volumes,
        "pass secrets": container.secret_env or container.secret_files,
        "publish a port over HTTP": container.http and not isinstance(engine, Reachable),
        "run privileged jobs": order.privileged,
        "provide TPUs": container.resources.tpu_type,
    }
    refused = [what for what, value in asked.items() if value]
    if refused:
        raise NotSupportedError(f"The cluster {cluster!r} cannot {' or '.join(refused)}: leave that out")


def _check_http(http: HTTPPort | None) -> None:
    if http is not None and not 1 <= http.port <= 65535:
        raise IllegalArgumentError(f"The port to publish over HTTP must be between 1 and 65535, not {http.port}")


def _check_env(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise IllegalArgumentError(f"Invalid name of an environment variable: {_start(name)!r}")
        if "\0" in value:
            raise IllegalArgumentError(
                f"The value of the environment variable {_start(name)!r} must not have NUL characters"
            )
        if (size := _size(name) + 1 + _size(value)) > _LONGEST_WORD:
            raise IllegalArgumentError(
                f"The environment variable {_start(name)!r} has {size} bytes with its name: a program takes at most"
                f" {_LONGEST_WORD} in one. Put the value into a file"
            )


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _start(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"
