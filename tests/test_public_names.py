"""The public names of `neuro_sdk` and their signatures, as documented: what existing programs import and call."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

import neuro_sdk

FUNCTIONS = [
    "get", "login", "login_with_headless", "login_headless", "login_with_token", "logout", "find_project_root",
    "gen_trace_id",
]  # fmt: skip
CONSTANTS = {
    "CONFIG_ENV_NAME": "NEUROMATION_CONFIG",
    "PASS_CONFIG_ENV_NAME": "NEURO_PASSED_CONFIG",
    "DEFAULT_CONFIG_PATH": "~/.nmrc",
    "DEFAULT_API_URL": URL("https://staging.neu.ro/api/v1"),
    "DEFAULT_TIMEOUT": aiohttp.ClientTimeout(total=None, connect=None, sock_read=60, sock_connect=60),
}
CLASSES = [
    "Factory", "Client", "Config", "Cluster", "Preset", "Parser",
    "Jobs", "Container", "Resources", "HTTPPort", "Volume", "SecretFile", "DiskVolume", "JobDescription", "JobStatus",
    "JobStatusItem", "JobStatusHistory", "JobRestartPolicy", "JobTelemetry", "ExecInspect", "StdStream",
    "Message",
    "Users", "Action", "Permission", "Share",
    "LocalImage", "RemoteImage", "Tag", "TagOption", "EnvParseResult", "VolumeParseResult",
]  # fmt: skip
ERRORS = [
    "ConfigError", "ClientError", "IllegalArgumentError", "AuthError", "AuthenticationError", "AuthorizationError",
    "ResourceNotFound", "ServerNotAvailable",
]  # fmt: skip
WITHOUT_CONSTRUCTOR = ["Client", "Config", "Jobs", "Parser", "Users"]

ANY = "any default"


@pytest.mark.parametrize("name", [*FUNCTIONS, *CONSTANTS, *CLASSES, *ERRORS, "__version__"])
def test_name_is_exported(name: str) -> None:
    assert hasattr(neuro_sdk, name)
    assert name in neuro_sdk.__all__ or name == "__version__"


def test_everything_exported_can_be_imported() -> None:
    assert [name for name in neuro_sdk.__all__ if not hasattr(neuro_sdk, name)] == []


def test_dir_names_what_is_exported() -> None:
    assert set(neuro_sdk.__all__) <= set(dir(neuro_sdk))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = neuro_sdk.no_such_name


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant(name: str) -> None:
    assert getattr(neuro_sdk, name) == CONSTANTS[name]


@pytest.mark.parametrize("name", WITHOUT_CONSTRUCTOR)
def test_a_part_of_the_client_has_no_public_constructor(name: str) -> None:
    with pytest.raises(TypeError, match="no public constructor"):
        getattr(neuro_sdk, name)()


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_one_of_the_family(name: str) -> None:
    cls = getattr(neuro_sdk, name)

    assert issubclass(cls, Exception)
    assert issubclass(cls, neuro_sdk.NeuroError)


def test_statuses_and_policies_are_enums() -> None:
    assert issubclass(neuro_sdk.JobStatus, enum.Enum)
    assert issubclass(neuro_sdk.JobRestartPolicy, enum.Enum)


URL_PATH_TIMEOUT = {"url": neuro_sdk.DEFAULT_API_URL, "path": None, "timeout": neuro_sdk.DEFAULT_TIMEOUT}
URL_TIMEOUT = {"url": neuro_sdk.DEFAULT_API_URL, "timeout": neuro_sdk.DEFAULT_TIMEOUT}
LIST = {"statuses": (), "name": ANY, "tags": (), "owners": (), "since": None, "until": None, "reverse": False,
        "limit": None}  # fmt: skip
RUN = {"name": None, "tags": (), "description": None, "scheduler_enabled": False, "pass_config": False,
       "wait_for_jobs_quota": False, "schedule_timeout": None,
       "restart_policy": neuro_sdk.JobRestartPolicy.NEVER, "life_span": None}  # fmt: skip
START = {"entrypoint": None, "command": None, "working_dir": None, "http": None, "env": None, "volumes": (),
         "secret_env": None, "secret_files": (), "disk_volumes": (), "tty": False, "shm": False, "name": None,
         "tags": (), "description": None, "pass_config": False, "wait_for_jobs_quota": False,
         "schedule_timeout": None, "restart_policy": neuro_sdk.JobRestartPolicy.NEVER, "life_span": None,
         "privileged": False}  # fmt: skip

# callable -> positional parameters, required keywords, optional keywords with their defaults
SIGNATURES: dict[str, tuple[list[str], list[str], dict[str, Any]]] = {
    "get": ([], [], {"path": None, "timeout": neuro_sdk.DEFAULT_TIMEOUT, "trace_configs": None}),
    "login": (["show_browser_cb"], [], URL_PATH_TIMEOUT),
    "login_with_headless": (["get_auth_code_cb"], [], URL_PATH_TIMEOUT),
    "login_headless": (["get_auth_code_cb"], [], URL_PATH_TIMEOUT),
    "login_with_token": (["token"], [], URL_PATH_TIMEOUT),
    "logout": ([], [], {"path": None, "show_browser_cb": None}),
    "find_project_root": (["path=None"], [], {}),
    "gen_trace_id": ([], [], {}),
    "Factory": (["path=None", "trace_configs=None", "trace_id=None", "trace_sampled=None"], [], {}),
    "Factory.get": (["self"], [], {"timeout": neuro_sdk.DEFAULT_TIMEOUT}),
    "Factory.login": (["self", "show_browser_cb"], [], URL_TIMEOUT),
    "Factory.login_headless": (["self", "get_auth_code_cb"], [], URL_TIMEOUT),
    "Factory.login_with_token": (["self", "token"], [], URL_TIMEOUT),
    "Factory.login_with_passed_config": (["self", "config_data=None"], [], {"timeout": neuro_sdk.DEFAULT_TIMEOUT}),
    "Factory.logout": (["self", "show_browser_cb=None"], [], {}),
    "Client.close": (["self"], [], {}),
    "Config.get_cluster": (["self", "cluster_name"], [], {}),
    "Config.fetch": (["self"], [], {}),
    "Config.switch_cluster": (["self", "name"], [], {}),
    "Config.check_server": (["self"], [], {}),
    "Config.token": (["self"], [], {}),
    "Config.get_user_config": (["self"], [], {}),
    "Jobs.start": (["self"], ["image", "preset_name"], START),
    "Jobs.run": (["self", "container"], [], RUN),
    "Jobs.list": (["self"], [], LIST),
    "Jobs.status": (["self", "id"], [], {}),
    "Jobs.tags": (["self"], [], {}),
    "Jobs.monitor": (["self", "id"], [], {}),
    "Jobs.top": (["self", "id"], [], {}),
    "JobTelemetry": (["cpu", "memory", "timestamp", "gpu_duty_cycle=None", "gpu_memory=None"], [], {}),
    "Jobs.get_capacity": (["self"], [], {}),
    "Jobs.kill": (["self", "id"], [], {}),
    "Jobs.bump_life_span": (["self", "id", "additional_life_span"], [], {}),
    "Jobs.send_signal": (["self", "id", "signal"], [], {}),
    "Jobs.resize": (["self", "id"], ["w", "h"], {}),
    "Jobs.attach": (["self", "id"], [], {"stdin": False, "stdout": False, "stderr": False, "logs": False}),
    "Jobs.exec_create": (["self", "id", "cmd"], [], {"tty": False}),
    "Jobs.exec_start": (["self", "id", "exec_id"], [], {}),
    "Jobs.exec_resize": (["self", "id", "exec_id"], ["w", "h"], {}),
    "Jobs.exec_inspect": (["self", "id", "exec_id"], [], {}),
    "Users.get_acl": (["self", "user", "scheme=None"], [], {"uri": None}),
    "Users.get_shares": (["self", "user", "scheme=None"], [], {"uri": None}),
    "Users.share": (["self", "user", "permission"], [], {}),
    "Users.revoke": (["self", "user", "uri"], [], {}),
    "Users.add": (["self", "role_name"], [], {}),
    "Users.remove": (["self", "role_name"], [], {}),
    "Permission": (["uri", "action"], [], {}),
    "Share": (["user", "permission"], [], {}),
    "StdStream.read_out": (["self"], [], {}),
    "StdStream.write_in": (["self", "data"], [], {}),
    "StdStream.close": (["self"], [], {}),
    "Resources": (["memory_mb", "cpu", "gpu=None", "gpu_model=None", "shm=True", "tpu_type=None",
                   "tpu_software_version=None"], [], {}),
    "HTTPPort": (["port", "requires_auth=True"], [], {}),
    "Volume": (["storage_uri", "container_path", "read_only=False"], [], {}),
    "SecretFile": (["secret_uri", "container_path"], [], {}),
    "DiskVolume": (["disk_uri", "container_path", "read_only=False"], [], {}),
    "Cluster": (["name", "registry_url", "storage_url", "blob_storage_url", "users_url", "monitoring_url",
                 "secrets_url", "disks_url", "presets"], [], {}),
    "Preset": (["credits_per_hour", "cpu", "memory_mb", "scheduler_enabled=False", "preemptible_node=False",
                "gpu=None", "gpu_model=None", "tpu_type=None", "tpu_software_version=None"], [], {}),
}  # fmt: skip


def lookup(dotted: str) -> Callable[..., Any]:
    found: Any = neuro_sdk
    for part in dotted.split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


@pytest.mark.parametrize("dotted", SIGNATURES)
def test_signature(dotted: str) -> None:
    """As documented; more is allowed only as a keyword with a default, so that every documented call still works."""
    positional, required, optional = SIGNATURES[dotted]
    parameters = inspect.signature(lookup(dotted)).parameters.values()
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_keyword = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in by_position]
    assert shown[: len(positional)] == positional
    assert all(p.default is not p.empty for p in by_position[len(positional) :])
    assert {name for name, default in by_keyword.items() if default is inspect.Parameter.empty} == set(required)
    for name, default in optional.items():
        assert name in by_keyword
        assert default == ANY or by_keyword[name] == default
