"""The client: opens, closes, and holds the parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Self

from neuro_sdk._core import Core
from neuro_sdk._private import NoPublicConstructor
from neuro_sdk.config import Config
from neuro_sdk.jobs import Jobs
from neuro_sdk.parser import Parser
from neuro_sdk.quota import Quota
from neuro_sdk.users import Users
from neuro_sdk.wire.cluster import Preset


class Client(metaclass=NoPublicConstructor):
    """What ``get()`` gives; close it, or use it as ``async with``."""

    def __init__(self, core: Core, config: Config) -> None:
        self._core = core
        self._config = config

    @property
    def config(self) -> Config:
        return self._config

    @property
    def username(self) -> str:
        """The same as ``config.username``."""
        return self._config.username

    @property
    def cluster_name(self) -> str:
        """The same as ``config.cluster_name``."""
        return self._config.cluster_name

    @property
    def presets(self) -> Mapping[str, Preset]:
        """The same as ``config.presets``."""
        return self._config.presets

    @cached_property
    def parse(self) -> Parser:
        return Parser._create(self._config)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs._create(self._core, self._config, self.parse)

    @cached_property
    def users(self) -> Users:
        return Users._create(self._core, self._config)

    @cached_property
    def quota(self) -> Quota:
        return Quota._create(self._core, self._config)

    @property
    def _quota(self) -> Quota:
        """The name in the SDKs of 20.12 and 21.x."""
        return self.quota

    async def close(self) -> None:
        """Close the connections; what is loaded stays readable. Twice does no harm."""
        await self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
