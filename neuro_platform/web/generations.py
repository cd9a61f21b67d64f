"""What the platform's earlier clients send and expect (API v1, chapters 3.6, 5.6, 19); nothing further in knows of it.

20.12 and 21.5 name things by cluster and user, later ones by cluster, organisation and project. Here everybody is in
the one organisation ``ORG`` and has one project, named like the user: ``job://local/alice/x`` of the former is
``job://local/neuro/alice/x`` to the latter.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from aiohttp import web
from yarl import URL

from neuro_platform.engines.base import Capacity
from neuro_sdk.errors import AuthorizationError, NotSupportedError
from neuro_sdk.wire.codec import Model, encode, load, to_plain
from neuro_sdk.wire.uris import CLUSTER_SCHEMES

ORG: Final = "neuro"

_AGENT: Final = re.compile(r"(NeuroCLI|ApoloCLI)/(\d{1,4})\.(\d{1,4})")
_WITH_PROJECTS: Final = (23, 0)
_WITH_GPU_OBJECTS: Final = (26, 0)
_URI: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<cluster>[^/]*)/(?P<org>[^/]+)(?P<rest>/.*|)", re.DOTALL)
_UNASKED_HTTP: Final = {"port": 80, "requires_auth": True}
_COPIED_LOGIN: Final = "NEURO_STEAL_CONFIG"
_COPIES: Final = "/var/storage/.neuro/"
_MIB: Final = 2**20


@dataclass(frozen=True)
class Generation:
    """What an earlier client understands."""

    projects: bool  # URIs with organisation and project in place of the user
    gpu_objects: bool  # in a preset, ``{"count": 1, "model": …}`` where those before have a number


def generation_of(request: web.Request) -> Generation | None:
    """The generation of an earlier client; ``None`` for all others, which take documents as they are."""
    found = _AGENT.match(request.headers.get("User-Agent", ""))
    if found is None:
        return None
    version = int(found[2]), int(found[3])
    return Generation(projects=version >= _WITH_PROJECTS, gpu_objects=version >= _WITH_GPU_OBJECTS)


def config_document(
    generation: Generation, document: dict[str, Any], *, user: str, machines: Mapping[str, Machine]
) -> dict[str, Any]:
    """``/config`` for somebody who is logged in (3.3); ``machines`` says what each cluster has."""
    clusters = [_cluster(generation, item, machines[item["name"]]) for item in document["clusters"]]
    projects = [
        {"name": user, "cluster_name": item["name"], "org_name": ORG, "role": "admin"} for item in document["clusters"]
    ]
    document = {**document, "clusters": clusters, "orgs": [{"name": ORG, "role": "user"}], "projects": projects}
    if generation.projects:
        del document["admin_url"]  # they do without, where others refuse to log in
    return document


@dataclass(frozen=True)
class Machine:
    """What there is in a cluster: all that it has, unless its backend has a queue of its own, and bytes of disk."""

    capacity: Capacity | None
    disk: int


def submission(generation: Generation | None, document: Any, *, user: str) -> Any:  # Any: JSON has no narrower type
    """A submission as its user meant it.

    Earlier clients ask for a published port 80 although nobody told them to. It is what an image with a web server has;
    a program of the machine itself hardly ever may listen there, every job would show an address that leads to nothing,
    and a platform without a name for jobs would have to refuse them all. Any other port was asked for.

    The first two keep the dashes of ``run IMAGE -- COMMAND`` in the command, and with ``pass_config`` have a copy of
    their login mounted, too. Raises AuthorizationError for an organisation or project that is not the user's.
    """
    if not isinstance(document, dict):
        return document
    document = dict(document)
    check_place(document.pop("org_name", None), document.pop("project_name", None), user)
    if generation is None:
        return document
    if "is_preemptible" in document:
        document.setdefault("scheduler_enabled", document.pop("is_preemptible"))
    container = document.get("container")
    if isinstance(container, dict):
        return {**document, "container": _container_in(_resources_in(container))}
    return _container_in(document)


def without_dashes(command: str) -> str:
    """A command without what 20.12 and 21.5 leave before it when their users write ``-- COMMAND``."""
    return command.removeprefix("-- ")


async def job_documents(
    generation: Generation | None, pages: AsyncIterator[Sequence[bytes]]
) -> AsyncIterator[Sequence[bytes]]:
    """Stored documents, page by page, as :func:`job_document` has them."""
    async for page in pages:
        yield page if generation is None else [encode(job_document(generation, load(item))) for item in page]


def job_document(generation: Generation | None, document: dict[str, Any]) -> dict[str, Any]:
    """A job with all that earlier clients insist on (5.6)."""
    if generation is None:
        return document
    owner, price = document["owner"], Decimal(document.get("price_credits_per_hour", "0"))
    seconds = _run_time(document["statuses"], datetime.now(UTC)) + document["history"].get("unlisted_run_seconds", 0)
    return {
        **document,
        "uri": str(uri_out(generation, URL(document["uri"]))),
        "org_name": ORG,
        "project_name": owner,
        "container": {**document["container"], "resources": _resources_out(document["container"]["resources"])},
        "history": {**document["history"], "run_time_seconds": seconds},
        "is_preemptible": document["scheduler_enabled"],
        "preemptible_node": document.get("preemptible_node", False),
        "is_preemptible_node_required": document.get("preemptible_node", False),
        "being_dropped": False,
        "logs_removed": False,
        "price_credits_per_hour": f"{price:f}",
        "total_price_credits": f"{price * Decimal(str(seconds)) / 3600:f}",
    }


def uri_out(generation: Generation | None, uri: URL) -> URL:
    """One of our URIs, ``job://CLUSTER/USER/…``, as the client writes it."""
    if generation is None or not generation.projects or uri.scheme not in CLUSTER_SCHEMES:
        return uri
    return URL(f"{uri.scheme}://{uri.host}/{ORG}{uri.raw_path.rstrip('/')}", encoded=True)


def uri_in(generation: Generation | None, uri: str) -> str:
    """A client's URI as we write it, unchecked; the reverse of :func:`uri_out`.

    Raises AuthorizationError for another organisation.
    """
    found = _URI.fullmatch(uri)
    if generation is None or not generation.projects or found is None or found["scheme"] not in CLUSTER_SCHEMES:
        return uri
    check_place(found["org"], None, "")
    return f"{found['scheme']}://{found['cluster']}{found['rest']}"


def permission_documents(generation: Generation | None, found: Sequence[Model]) -> Sequence[object]:
    """Permissions, or shares, with their URIs as the client writes them."""
    if generation is None:
        return found
    documents: list[dict[str, Any]] = [to_plain(item) for item in found]
    return [{**document, "uri": str(uri_out(generation, URL(document["uri"])))} for document in documents]


def check_place(org: object, project: object, user: str) -> None:
    """Raise AuthorizationError for an organisation or a project that is not the user's."""
    if org not in (None, ORG):
        raise AuthorizationError(f"There is no organisation {org!r} for you here; there is: {ORG}")
    if project not in (None, user):
        raise AuthorizationError(f"There is no project {project!r} for you here; there is: {user}")


def _container_in(members: dict[str, Any]) -> dict[str, Any]:
    members = dict(members)
    if members.get("http") == _UNASKED_HTTP:
        del members["http"]
    command = members.get("command")
    if isinstance(command, str) and not members.get("entrypoint"):  # whose argument the dashes might be
        members["command"] = without_dashes(command)
    env, volumes = members.get("env"), members.get("volumes")
    if isinstance(env, dict) and isinstance(volumes, list) and _COPIED_LOGIN in env:
        members["env"] = {name: value for name, value in env.items() if name != _COPIED_LOGIN}
        members["volumes"] = [v for v in volumes if not (isinstance(v, dict) and v.get("dst_path") == _COPIES)]
    return members


def _resources_in(container: dict[str, Any]) -> dict[str, Any]:
    resources = container.get("resources")
    if not isinstance(resources, dict):
        return container
    if resources.get("amd_gpu") or resources.get("intel_gpu"):
        raise NotSupportedError("This platform has no AMD or Intel GPUs to give out: ask for NVIDIA ones, or for none")
    if "nvidia_gpu_model" in resources:
        resources = {"gpu_model": resources["nvidia_gpu_model"], **resources}
    return {**container, "resources": resources}


def _resources_out(resources: dict[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {"memory": resources["memory_mb"] * _MIB}
    if resources.get("gpu"):
        more["nvidia_gpu"] = resources["gpu"]
    if resources.get("gpu_model"):
        more["nvidia_gpu_model"] = resources["gpu_model"]
    return {**resources, **more}


def _run_time(statuses: Sequence[Mapping[str, Any]], now: datetime) -> float:
    """Seconds in which the job was running."""
    times = [datetime.fromisoformat(item["transition_time"]) for item in statuses]
    spans = zip(statuses, times, [*times[1:], now], strict=True)
    return sum((end - begin).total_seconds() for item, begin, end in spans if item["status"] == "running")


def _cluster(generation: Generation, item: dict[str, Any], machine: Machine) -> dict[str, Any]:
    presets = item["resource_presets"]
    return {
        **item,
        "orgs": [ORG],
        "buckets_url": item["blob_storage_url"],
        "resource_presets": [_preset(generation, preset, item["name"]) for preset in presets],
        "resource_pool_types": [_pool(generation, item["name"], presets, machine)],
    }


def _preset(generation: Generation, preset: dict[str, Any], pool: str) -> dict[str, Any]:
    return {
        **preset,
        "memory": preset["memory_mb"] * _MIB,
        "is_preemptible": preset["scheduler_enabled"],
        "is_preemptible_node_required": preset["preemptible_node"],
        "resource_pool_names": [pool],
        "available_resource_pool_names": [pool],
        **_gpus(generation, preset.get("gpu"), preset.get("gpu_model")),
    }


def _pool(generation: Generation, name: str, presets: Sequence[Mapping[str, Any]], machine: Machine) -> dict[str, Any]:
    capacity = machine.capacity
    if capacity is None:  # all that we know of it is what its presets ask for
        capacity = Capacity(
            cpu=max(preset["cpu"] for preset in presets),
            memory_mb=max(preset["memory_mb"] for preset in presets),
            gpu=max(preset.get("gpu") or 0 for preset in presets),
            gpu_model=next((preset["gpu_model"] for preset in presets if preset.get("gpu_model")), None),
        )
    return {
        "name": name,
        "min_size": 1,
        "max_size": 1,
        "cpu": capacity.cpu,
        "memory": capacity.memory_mb * _MIB,
        "disk_size": machine.disk,
        **_gpus(generation, capacity.gpu, capacity.gpu_model),
    }


def _gpus(generation: Generation, count: int | None, model: str | None) -> dict[str, Any]:
    if not count:
        return {}
    if generation.gpu_objects:
        return {"nvidia_gpu": {"count": count, "model": model or "gpu"}}  # without a model it cannot be read
    return {"nvidia_gpu": count, **({"nvidia_gpu_model": model} if model else {})}
