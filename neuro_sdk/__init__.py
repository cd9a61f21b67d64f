"""Run jobs on a Neuro platform: configuration, login, jobs; everything asynchronous, everything typed.

Names are resolved on first use: ``import neuro_sdk`` alone loads nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neuro_sdk._core import gen_trace_id as gen_trace_id
    from neuro_sdk._settings import CONFIG_ENV_NAME as CONFIG_ENV_NAME
    from neuro_sdk._settings import DEFAULT_CONFIG_PATH as DEFAULT_CONFIG_PATH
    from neuro_sdk._settings import find_project_root as find_project_root
    from neuro_sdk._settings import read_user_config as read_user_config
    from neuro_sdk._settings import user_config_files as user_config_files
    from neuro_sdk._transport import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
    from neuro_sdk.attach import StdStream as StdStream
    from neuro_sdk.client import Client as Client
    from neuro_sdk.config import Config as Config
    from neuro_sdk.errors import AuthenticationError as AuthenticationError
    from neuro_sdk.errors import AuthError as AuthError
    from neuro_sdk.errors import AuthorizationError as AuthorizationError
    from neuro_sdk.errors import ClientError as ClientError
    from neuro_sdk.errors import ConfigError as ConfigError
    from neuro_sdk.errors import Conflict as Conflict
    from neuro_sdk.errors import DockerError as DockerError
    from neuro_sdk.errors import IllegalArgumentError as IllegalArgumentError
    from neuro_sdk.errors import NDJSONError as NDJSONError
    from neuro_sdk.errors import NeuroError as NeuroError
    from neuro_sdk.errors import NotAPlatform as NotAPlatform
    from neuro_sdk.errors import NotSupportedError as NotSupportedError
    from neuro_sdk.errors import ResourceNotFound as ResourceNotFound
    from neuro_sdk.errors import ServerFault as ServerFault
    from neuro_sdk.errors import ServerNotAvailable as ServerNotAvailable
    from neuro_sdk.errors import StdStreamError as StdStreamError
    from neuro_sdk.errors import StreamLost as StreamLost
    from neuro_sdk.factory import DEFAULT_API_URL as DEFAULT_API_URL
    from neuro_sdk.factory import PASS_CONFIG_ENV_NAME as PASS_CONFIG_ENV_NAME
    from neuro_sdk.factory import TOKEN_ENV_NAME as TOKEN_ENV_NAME
    from neuro_sdk.factory import URL_ENV_NAME as URL_ENV_NAME
    from neuro_sdk.factory import Factory as Factory
    from neuro_sdk.factory import get as get
    from neuro_sdk.factory import login as login
    from neuro_sdk.factory import login_headless as login_headless
    from neuro_sdk.factory import login_with_headless as login_with_headless
    from neuro_sdk.factory import login_with_token as login_with_token
    from neuro_sdk.factory import logout as logout
    from neuro_sdk.forward import PortForward as PortForward
    from neuro_sdk.image_progress import AbstractDockerImageProgress as AbstractDockerImageProgress
    from neuro_sdk.image_progress import ImageCommitFinished as ImageCommitFinished
    from neuro_sdk.image_progress import ImageCommitStarted as ImageCommitStarted
    from neuro_sdk.image_progress import ImageProgressPull as ImageProgressPull
    from neuro_sdk.image_progress import ImageProgressPush as ImageProgressPush
    from neuro_sdk.image_progress import ImageProgressSave as ImageProgressSave
    from neuro_sdk.image_progress import ImageProgressStep as ImageProgressStep
    from neuro_sdk.jobs import Jobs as Jobs
    from neuro_sdk.parser import EnvParseResult as EnvParseResult
    from neuro_sdk.parser import Parser as Parser
    from neuro_sdk.parser import VolumeParseResult as VolumeParseResult
    from neuro_sdk.plugins import ConfigBuilder as ConfigBuilder
    from neuro_sdk.plugins import ConfigScope as ConfigScope
    from neuro_sdk.plugins import PluginManager as PluginManager
    from neuro_sdk.quota import Quota as Quota
    from neuro_sdk.quota import QuotaInfo as QuotaInfo
    from neuro_sdk.trace import http_trace as http_trace
    from neuro_sdk.users import Users as Users
    from neuro_sdk.wire.cluster import Cluster as Cluster
    from neuro_sdk.wire.cluster import Preset as Preset
    from neuro_sdk.wire.codec import to_plain as to_plain
    from neuro_sdk.wire.image_names import LocalImage as LocalImage
    from neuro_sdk.wire.image_names import Tag as Tag
    from neuro_sdk.wire.image_names import TagOption as TagOption
    from neuro_sdk.wire.images import RemoteImage as RemoteImage
    from neuro_sdk.wire.jobs import Container as Container
    from neuro_sdk.wire.jobs import DiskVolume as DiskVolume
    from neuro_sdk.wire.jobs import ExecInspect as ExecInspect
    from neuro_sdk.wire.jobs import HTTPPort as HTTPPort
    from neuro_sdk.wire.jobs import JobDescription as JobDescription
    from neuro_sdk.wire.jobs import JobOpening as JobOpening
    from neuro_sdk.wire.jobs import JobPriority as JobPriority
    from neuro_sdk.wire.jobs import JobRestartPolicy as JobRestartPolicy
    from neuro_sdk.wire.jobs import JobStatus as JobStatus
    from neuro_sdk.wire.jobs import JobStatusHistory as JobStatusHistory
    from neuro_sdk.wire.jobs import JobStatusItem as JobStatusItem
    from neuro_sdk.wire.jobs import JobTelemetry as JobTelemetry
    from neuro_sdk.wire.jobs import Message as Message
    from neuro_sdk.wire.jobs import Resources as Resources
    from neuro_sdk.wire.jobs import SecretFile as SecretFile
    from neuro_sdk.wire.jobs import Volume as Volume
    from neuro_sdk.wire.names import ENV_NAME as ENV_NAME
    from neuro_sdk.wire.names import JOB_NAME as JOB_NAME
    from neuro_sdk.wire.reasons import Holder as Holder
    from neuro_sdk.wire.reasons import JobPlan as JobPlan
    from neuro_sdk.wire.reasons import JobReason as JobReason
    from neuro_sdk.wire.reasons import Shortage as Shortage
    from neuro_sdk.wire.users import Action as Action
    from neuro_sdk.wire.users import Permission as Permission
    from neuro_sdk.wire.users import Share as Share

# No implementation module may have the name of something public: importing ``neuro_sdk.login``, were there such a
# module, would put it in the place of the function. Hence ``_login`` and the like.
_HOMES: dict[str, tuple[str, ...]] = {
    "_core": ("gen_trace_id",),
    "_settings": (
        "CONFIG_ENV_NAME",
        "DEFAULT_CONFIG_PATH",
        "find_project_root",
        "read_user_config",
        "user_config_files",
    ),
    "_transport": ("DEFAULT_TIMEOUT",),
    "attach": ("StdStream",),
    "client": ("Client",),
    "config": ("Config",),
    "errors": (
        "AuthError",
        "AuthenticationError",
        "AuthorizationError",
        "ClientError",
        "ConfigError",
        "Conflict",
        "DockerError",
        "IllegalArgumentError",
        "NDJSONError",
        "NeuroError",
        "NotAPlatform",
        "NotSupportedError",
        "ResourceNotFound",
        "ServerFault",
        "ServerNotAvailable",
        "StdStreamError",
        "StreamLost",
    ),
    "factory": (
        "DEFAULT_API_URL",
        "PASS_CONFIG_ENV_NAME",
        "TOKEN_ENV_NAME",
        "URL_ENV_NAME",
        "Factory",
        "get",
        "login",
        "login_headless",
        "login_with_headless",
        "login_with_token",
        "logout",
    ),
    "forward": ("PortForward",),
    "image_progress": (
        "AbstractDockerImageProgress",
        "ImageCommitFinished",
        "ImageCommitStarted",
        "ImageProgressPull",
        "ImageProgressPush",
        "ImageProgressSave",
        "ImageProgressStep",
    ),
    "jobs": ("Jobs",),
    "parser": ("EnvParseResult", "Parser", "VolumeParseResult"),
    "plugins": ("ConfigBuilder", "ConfigScope", "PluginManager"),
    "quota": ("Quota", "QuotaInfo"),
    "trace": ("http_trace",),
    "users": ("Users",),
    "wire.cluster": ("Cluster", "Preset"),
    "wire.codec": ("to_plain",),
    "wire.image_names": ("LocalImage", "Tag", "TagOption"),
    "wire.images": ("RemoteImage",),
    "wire.jobs": (
        "Container",
        "DiskVolume",
        "ExecInspect",
        "HTTPPort",
        "JobDescription",
        "JobOpening",
        "JobPriority",
        "JobRestartPolicy",
        "JobStatus",
        "JobStatusHistory",
        "JobStatusItem",
        "JobTelemetry",
        "Message",
        "Resources",
        "SecretFile",
        "Volume",
    ),
    "wire.names": ("ENV_NAME", "JOB_NAME"),
    "wire.reasons": ("Holder", "JobPlan", "JobReason", "Shortage"),
    "wire.users": ("Action", "Permission", "Share"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
