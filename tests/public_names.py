"""The documented surface of the SDK as data: names, signatures, members, defaults; read by tests/test_public_names.py.

A signature is written as a call would be declared; a keyword-only part begins after ``*``. ``...`` is a default that is
documented differently in different places (``Jobs.list(name=)`` is None or ""; both mean no filter).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from yarl import URL

from neuro_sdk import (
    DEFAULT_API_URL,
    DEFAULT_TIMEOUT,
    Container,
    ExecInspect,
    JobRestartPolicy,
    JobStatus,
    JobStatusHistory,
    JobTelemetry,
    Message,
    Preset,
    RemoteImage,
    Resources,
    TagOption,
)

CONSTANTS: dict[str, Any] = {
    "CONFIG_ENV_NAME": "NEUROMATION_CONFIG",
    "PASS_CONFIG_ENV_NAME": "NEURO_PASSED_CONFIG",
    "DEFAULT_CONFIG_PATH": "~/.nmrc",
    "DEFAULT_API_URL": URL("https://staging.neu.ro/api/v1"),
    "DEFAULT_TIMEOUT": DEFAULT_TIMEOUT,
}

FUNCTIONS = ["get", "login", "login_with_headless", "login_headless", "login_with_token", "logout",
             "find_project_root", "gen_trace_id"]  # fmt: skip
CLASSES = [
    "Factory", "Client", "Config", "Cluster", "Preset", "Parser", "PluginManager", "ConfigBuilder", "ConfigScope",
    "Jobs", "Container", "Resources", "HTTPPort", "Volume", "SecretFile", "DiskVolume", "JobDescription", "JobStatus",
    "JobStatusItem", "JobStatusHistory", "JobRestartPolicy", "JobTelemetry", "ExecInspect", "StdStream", "Message",
    "LocalImage", "RemoteImage", "Tag", "TagOption", "Users", "Action", "Permission", "Share",
    "EnvParseResult", "VolumeParseResult",
]  # fmt: skip
# Of chapters whose services the platform does not have yet: absent, rather than there and of no use.
LATER = [
    "Storage", "FileStatus", "FileStatusType", "AbstractFileProgress", "AbstractRecursiveFileProgress",
    "AbstractDeleteProgress", "StorageProgressStart", "StorageProgressStep", "StorageProgressComplete",
    "StorageProgressEnterDir", "StorageProgressLeaveDir", "StorageProgressFail", "StorageProgressDelete",
    "BlobStorage", "Blob", "BlobListing", "BucketListing", "PrefixListing", "Images", "Secrets", "Secret", "Disks",
    "Disk", "ServiceAccounts", "ServiceAccount", "Buckets", "DiskUsageInfo",
]  # fmt: skip
LATER_PARTS = ["storage", "blob_storage", "images", "secrets", "disks", "buckets", "service_accounts"]
WITHOUT_CONSTRUCTOR = ["Client", "Config", "Jobs", "Parser", "Users"]

ERRORS: dict[str, tuple[type[Exception] | str, ...]] = {
    "ConfigError": (RuntimeError,),
    "ClientError": (Exception,),
    "AuthError": ("ClientError",),
    "AuthenticationError": ("AuthError",),
    "AuthorizationError": ("AuthError",),
    "IllegalArgumentError": (ValueError,),
    "ResourceNotFound": (ValueError,),
    "ServerNotAvailable": (ValueError,),
    "NDJSONError": (ValueError,),
    "NotSupportedError": (NotImplementedError,),
    "StdStreamError": (Exception,),
}
NO_CLIENT_ERRORS = ["ConfigError", "IllegalArgumentError", "ResourceNotFound", "ServerNotAvailable", "NDJSONError"]

ENUMS: dict[str, dict[str, Any]] = {
    "JobStatus": {
        "PENDING": "pending", "SUSPENDED": "suspended", "RUNNING": "running", "SUCCEEDED": "succeeded",
        "FAILED": "failed", "CANCELLED": "cancelled", "UNKNOWN": "unknown",
    },
    "JobRestartPolicy": {"NEVER": "never", "ON_FAILURE": "on-failure", "ALWAYS": "always"},
    "Action": {"READ": "read", "WRITE": "write", "MANAGE": "manage"},
    "TagOption": {"ALLOW": ..., "DENY": ..., "DEFAULT": ...},
}  # fmt: skip

_URL_TIMEOUT = "*, url=DEFAULT_API_URL, timeout=DEFAULT_TIMEOUT"
_URL_PATH_TIMEOUT = "*, url=DEFAULT_API_URL, path=None, timeout=DEFAULT_TIMEOUT"
NAMES: dict[str, Any] = {
    "DEFAULT_API_URL": DEFAULT_API_URL, "DEFAULT_TIMEOUT": DEFAULT_TIMEOUT, "NEVER": JobRestartPolicy.NEVER,
    "DEFAULT": TagOption.DEFAULT,
}  # fmt: skip

SIGNATURES: dict[str, str] = {
    # 3 module-level functions
    "get": "*, path=None, timeout=DEFAULT_TIMEOUT, trace_configs=None",
    "login": f"show_browser_cb, {_URL_PATH_TIMEOUT}",
    "login_with_headless": f"get_auth_code_cb, {_URL_PATH_TIMEOUT}",
    "login_headless": f"get_auth_code_cb, {_URL_PATH_TIMEOUT}",
    "login_with_token": f"token, {_URL_PATH_TIMEOUT}",
    "logout": "*, path=None, show_browser_cb=None",
    "find_project_root": "path=None",
    "gen_trace_id": "",
    # 4 Factory
    "Factory": "path=None, trace_configs=None, trace_id=None, trace_sampled=None",
    "Factory.get": "self, *, timeout=DEFAULT_TIMEOUT",
    "Factory.login": f"self, show_browser_cb, {_URL_TIMEOUT}",
    "Factory.login_headless": f"self, get_auth_code_cb, {_URL_TIMEOUT}",
    "Factory.login_with_token": f"self, token, {_URL_TIMEOUT}",
    "Factory.login_with_passed_config": "self, config_data=None, *, timeout=DEFAULT_TIMEOUT",
    "Factory.logout": "self, show_browser_cb=None",
    # 5, 6 Client, Config
    "Client.close": "self",
    "Config.get_cluster": "self, cluster_name",
    "Config.fetch": "self",
    "Config.switch_cluster": "self, name",
    "Config.check_server": "self",
    "Config.token": "self",
    "Config.get_user_config": "self",
    # 9 Jobs
    "Jobs.start": "self, *, image, preset_name, entrypoint=None, command=None, working_dir=None, http=None, env=None,"
    " volumes=(), secret_env=None, secret_files=(), disk_volumes=(), tty=False, shm=False, name=None, tags=(),"
    " description=None, pass_config=False, wait_for_jobs_quota=False, schedule_timeout=None, restart_policy=NEVER,"
    " life_span=None, privileged=False",
    "Jobs.run": "self, container, *, name=None, tags=(), description=None, scheduler_enabled=False, pass_config=False,"
    " wait_for_jobs_quota=False, schedule_timeout=None, restart_policy=NEVER, life_span=None",
    "Jobs.list": "self, *, statuses=(), name=..., tags=(), owners=(), since=None, until=None, reverse=False,"
    " limit=None, cluster_name=None",
    "Jobs.status": "self, id",
    "Jobs.tags": "self",
    "Jobs.monitor": "self, id",
    "Jobs.top": "self, id",
    "Jobs.get_capacity": "self",
    "Jobs.kill": "self, id",
    "Jobs.bump_life_span": "self, id, additional_life_span",
    "Jobs.send_signal": "self, id, signal",
    "Jobs.resize": "self, id, *, w, h",
    "Jobs.attach": "self, id, *, stdin=False, stdout=False, stderr=False, logs=False",
    "Jobs.exec": "self, id, cmd, *, tty=False, stdin=False, stdout=False, stderr=False",
    "Jobs.exec_create": "self, id, cmd, *, tty=False",
    "Jobs.exec_start": "self, id, exec_id",
    "Jobs.exec_resize": "self, id, exec_id, *, w, h",
    "Jobs.exec_inspect": "self, id, exec_id",
    "Jobs.port_forward": "self, id, local_port, job_port, *, no_key_check=False",
    "StdStream.read_out": "self",
    "StdStream.write_in": "self, data",
    "StdStream.resize": "self, *, w, h",
    "StdStream.close": "self",
    "JobStatus.items": "",
    "JobStatus.active_items": "",
    "JobStatus.finished_items": "",
    # 12 images
    "RemoteImage": "name, tag=None, owner=None, registry=None, cluster_name=None",
    "RemoteImage.new_neuro_image": "name, registry, *, owner, cluster_name, tag=None",
    "RemoteImage.new_external_image": "name, registry=None, *, tag=None",
    "RemoteImage.with_tag": "self, tag",
    "RemoteImage.as_docker_url": "self, with_scheme=False",
    "LocalImage": "name, tag=None",
    "Tag": "name, size=None",
    # 13 Users
    "Users.get_acl": "self, user, scheme=None, *, uri=None",
    "Users.get_shares": "self, user, scheme=None, *, uri=None",
    "Users.share": "self, user, permission",
    "Users.revoke": "self, user, uri",
    "Users.add": "self, role_name",
    "Users.remove": "self, role_name",
    "Permission": "uri, action",
    "Share": "user, permission",
    # 16 Parser
    "Parser.volume": "self, volume",
    "Parser.volumes": "self, volume",
    "Parser.envs": "self, env, env_file=()",
    "Parser.env": "self, env, env_file=()",
    "Parser.local_image": "self, image",
    "Parser.remote_image": "self, image, *, tag_option=DEFAULT",
    "EnvParseResult": "env, secret_env",
    "VolumeParseResult": "volumes, secret_files, disk_volumes",
    # 17 plugins
    **{
        f"ConfigBuilder.define_{kind}{many}": "self, section, name, *, scope=ALL"
        for kind in ("int", "bool", "str", "float")
        for many in ("", "_list")
    },
    # 18 quota
    "Client._quota.fget": "self",
    # the data of chapter 9.5, made by position
    "Resources": "memory_mb, cpu, gpu=None, gpu_model=None, shm=True, tpu_type=None, tpu_software_version=None",
    "HTTPPort": "port, requires_auth=True",
    "Volume": "storage_uri, container_path, read_only=False",
    "SecretFile": "secret_uri, container_path",
    "DiskVolume": "disk_uri, container_path, read_only=False",
    "JobStatusItem": "status, transition_time, reason='', description='', exit_code=None",
    "JobTelemetry": "cpu, memory, timestamp, gpu_duty_cycle=None, gpu_memory=None",
    "Message": "fileno, data",
    "Cluster": "name, registry_url, storage_url, blob_storage_url, users_url, monitoring_url, secrets_url, disks_url,"
    " presets",
    "Preset": "credits_per_hour, cpu, memory_mb, scheduler_enabled=False, preemptible_node=False, gpu=None,"
    " gpu_model=None, tpu_type=None, tpu_software_version=None",
}

PROPERTIES: dict[str, list[str]] = {
    "Factory": ["path", "is_config_present"],
    "Client": ["username", "cluster_name", "presets", "config", "jobs", "users", "parse"],
    "Config": [
        "username", "clusters", "cluster_name", "presets", "api_url", "admin_url", "registry_url", "storage_url",
        "blob_storage_url", "monitoring_url", "secrets_url", "disk_api_url",
    ],
    "JobStatus": ["is_pending", "is_running", "is_finished"],
    "JobStatusHistory": ["changed_at"],
    "PluginManager": ["config", "version_checker"],
}  # fmt: skip

# What a fresh object says, the least said when it was made.
_CONTAINER = Container(RemoteImage("ubuntu"), Resources(1, 1.0))
DEFAULTS: list[tuple[Any, dict[str, Any]]] = [
    (
        _CONTAINER,
        {"entrypoint": None, "command": None, "working_dir": None, "http": None, "env": {}, "volumes": (),
         "secret_env": {}, "secret_files": (), "disk_volumes": (), "tty": False},
    ),
    (
        JobStatusHistory(JobStatus.PENDING, "", ""),
        {"restarts": 0, "created_at": None, "started_at": None, "finished_at": None, "exit_code": None,
         "transitions": ()},
    ),
    (
        ExecInspect(id="e", running=False, job_id="j", tty=False, entrypoint="", command="true", exit_code=0),
        {"id": "e", "running": False, "exit_code": 0, "job_id": "j", "tty": False, "entrypoint": "",
         "command": "true"},
    ),
    (Message(1, b""), {"fileno": 1, "data": b""}),
    (JobTelemetry(1.0, 2.0, 3.0), {"cpu": 1.0, "memory": 2.0, "timestamp": 3.0}),
    (Preset(Decimal(0), 1.0, 1, True, True), {"is_preemptible": True, "is_preemptible_node_required": True}),
]  # fmt: skip

# The least that a platform may send of a job, and what is then known of it (chapter 9.5).
JOB = {
    "id": "job-1", "owner": "user", "cluster_name": "default", "status": "pending", "uri": "job://default/user/job-1",
    "history": {"status": "pending", "reason": "", "description": "", "created_at": "2021-05-01T10:00:00+02:00"},
    "container": {"image": "ubuntu", "resources": {"memory_mb": 1, "cpu": 1.0}, "volumes": [
        {"src_storage_uri": "storage://default/user", "dst_path": "/mnt"}], "http": {}},
    "scheduler_enabled": True, "pass_config": False, "preemptible_node": True,
}  # fmt: skip
JOB_SAYS: dict[str, Any] = {
    "id": "job-1", "owner": "user", "cluster_name": "default", "status": JobStatus.PENDING,
    "scheduler_enabled": True, "pass_config": False, "uri": URL("job://default/user/job-1"), "name": None,
    "tags": (), "description": None, "http_url": URL(), "internal_hostname": None, "internal_hostname_named": None,
    "restart_policy": JobRestartPolicy.NEVER, "life_span": None, "schedule_timeout": None, "preset_name": None,
    "preemptible_node": True, "privileged": False, "is_preemptible": True, "is_preemptible_node_required": True,
    "history.status": JobStatus.PENDING, "history.reason": "", "history.restarts": 0, "history.transitions": (),
    "container.volumes.0.read_only": True, "container.http.requires_auth": False, "container.http.port": -1,
    "container.resources.shm": True, "container.secret_files": (),
}  # fmt: skip

# Chapter 23, the checklist, and rows of chapter 1: where each line that concerns what there is is tested.
TESTED: dict[str, str] = {
    "1.2 is_preemptible of Jobs.run": "tests/sdk/test_jobs.py::test_run_always_says_how_to_schedule",
    "1.2 admin_url": "tests/sdk/test_config.py::test_the_admin_address_is_derived_when_the_server_names_none",
    "1.2 Users.share returns the permission": "tests/sdk/test_users.py::test_less_than_somebody_has_changes_nothing",
    "1.3 exec_create takes words": "tests/sdk/test_streams.py::test_exec_gives_output_and_exit_code",
    "1.3 with_tag": "tests/sdk/test_checklist.py::test_a_tag_can_be_put_on_an_image",
    "1.3 user TOML [disk]": "tests/sdk/test_settings.py::test_the_projects_values_win_table_by_table",
    "1.2 Parser.env, the pair of volumes": "tests/sdk/test_parser.py::test_the_old_form_of_variables",
    "1.2 tuple access": "tests/sdk/test_parser.py::test_the_old_pair_still_works",
    "20": "tests/sdk/test_core.py::test_a_trace_may_be_given",
    "21 async with": "tests/sdk/test_checklist.py::test_streams_are_asynchronous_context_managers_too",
    "23.1": "tests/sdk/test_jobs.py::test_nothing_is_asked_before_the_first_item",
    "23.2": "tests/sdk/test_seed_page.py::test_row_2_get_is_no_coroutine_function",
    "23.3": "tests/sdk/test_config.py::test_a_pinned_cluster_is_not_checked_before_it_is_used",
    "23.4": "tests/sdk/test_config.py::test_a_pinned_cluster_cannot_be_switched",
    "23.5": "tests/sdk/test_config.py::test_a_token_that_does_not_say_whose_it_is",
    "23.6": "tests/sdk/test_checklist.py::test_an_existing_login_blocks_another_before_any_request",
    "23.7": "tests/sdk/test_config.py::test_recovery_takes_the_new_server_and_keeps_the_chosen_cluster",
    "23.8": "tests/sdk/test_config.py::test_the_token_can_be_had_after_close",
    "23.9": "tests/sdk/test_core.py::test_errno_becomes_the_right_os_error",
    "23.10": "tests/sdk/test_core.py::test_only_a_json_body_is_looked_into",
    "23.11": "tests/sdk/test_jobs.py::test_one_odd_image_does_not_break_a_listing",
    "23.12": "tests/sdk/test_jobs.py::test_start_sends_no_more_than_was_said",
    "23.13": "tests/sdk/test_jobs.py::test_life_span_is_sent_as_whole_minutes",
    "23.14": "tests/sdk/test_jobs.py::test_a_time_without_zone_is_local",
    "23.15": "tests/sdk/test_top.py::test_a_finished_job_is_a_value_error",
    "23.16": "tests/sdk/test_forward.py::test_what_drops_a_connection_is_logged",
    "23.26": "tests/sdk/wire/test_image_names.py::test_any_name_comes_back",
    "23.27": "tests/sdk/wire/test_image_names.py::test_what_is_no_image",
    "23.29": "tests/sdk/test_users.py::test_another_platform_is_asked_as_documented",
}
