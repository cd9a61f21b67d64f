"""What other packages may add to the TOML files: keys, declared by their entry points (`docs/plugins.md`)."""

from __future__ import annotations

import enum
import functools
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from neuro_sdk.errors import ConfigError

GROUP: Final = "neuro_api"


class ConfigScope(enum.Flag):
    """Which files may have a key: the user's ``user.toml``, the project's ``.neuro.toml``, or both."""

    GLOBAL = enum.auto()
    LOCAL = enum.auto()
    ALL = GLOBAL | LOCAL


@dataclass(frozen=True)
class Key:
    """What a key's value has to be, and where it may stand."""

    kind: type
    is_list: bool = False
    scope: ConfigScope = ConfigScope.ALL

    def problem(self, name: str, value: object) -> str | None:
        """What is wrong with a value, if anything is."""
        if not self.is_list:
            return None if self._is_good(value) else f"invalid type for {name}, {self.kind.__name__} is expected"
        if not isinstance(value, list):
            return f"invalid type for {name}, list is expected"
        for index, item in enumerate(value):
            if not self._is_good(item):
                return f"invalid type for {name}[{index}], {self.kind.__name__} is expected"
        return None

    def _is_good(self, value: object) -> bool:
        if self.kind is int:
            return isinstance(value, numbers.Integral)
        if self.kind is float:
            return isinstance(value, numbers.Real)
        return type(value) is self.kind


_BUILT_IN: Final[Mapping[str, Mapping[str, Key]]] = {
    "job": {
        "cluster-name": Key(str, scope=ConfigScope.LOCAL),
        "ps-format": Key(str),
        "top-format": Key(str),
        "life-span": Key(str),
    },
    "storage": {"cp-exclude": Key(str, is_list=True), "cp-exclude-from-files": Key(str, is_list=True)},
    "disk": {"life-span": Key(str), "timeout-unused": Key(str)},
}


class ConfigBuilder:
    """Declares keys of the TOML files; sections are made as they are needed.

    Each method raises :class:`ConfigError` for the section ``alias``, whose keys are the user's, and for a key that has
    been declared before, by us or by another plugin.
    """

    def __init__(self) -> None:
        self._keys = {section: dict(keys) for section, keys in _BUILT_IN.items()}

    @property
    def keys(self) -> Mapping[str, Mapping[str, Key]]:
        """All keys by section."""
        return self._keys

    def define_int(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        """A whole number; ``true`` and ``false`` pass as 1 and 0."""
        self._define(section, name, Key(int, scope=scope))

    def define_bool(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        self._define(section, name, Key(bool, scope=scope))

    def define_str(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        self._define(section, name, Key(str, scope=scope))

    def define_float(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        """Any number."""
        self._define(section, name, Key(float, scope=scope))

    def define_int_list(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        self._define(section, name, Key(int, True, scope))

    def define_bool_list(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        self._define(section, name, Key(bool, True, scope))

    def define_str_list(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        self._define(section, name, Key(str, True, scope))

    def define_float_list(self, section: str, name: str, *, scope: ConfigScope = ConfigScope.ALL) -> None:
        self._define(section, name, Key(float, True, scope))

    def _define(self, section: str, name: str, key: Key) -> None:
        if section == "alias":
            raise ConfigError(f"The section 'alias' is for the user's commands: {name!r} cannot be declared there")
        keys = self._keys.setdefault(section, {})
        if name in keys:
            raise ConfigError(f"The key {section}.{name} has been declared already")
        keys[name] = key


class VersionChecker:
    """Where plugins of 21.11 ask for a look at newer versions of themselves; we look for none."""

    def register(self, package: str, update_text: object, *, exclusive: bool = False, delay: float = 0) -> None:
        """Accepted, and nothing comes of it: no index of packages is asked, for us or for others."""


class PluginManager:
    """What a plugin's function is given."""

    def __init__(self) -> None:
        self._config = ConfigBuilder()
        self._version_checker = VersionChecker()

    @property
    def config(self) -> ConfigBuilder:
        """Declares keys of the user's TOML files."""
        return self._config

    @property
    def version_checker(self) -> VersionChecker:
        return self._version_checker


@functools.cache
def known_keys() -> Mapping[str, Mapping[str, Key]]:
    """Our keys and those of the installed plugins, which are called for this, once in a process."""
    from importlib.metadata import entry_points

    manager = PluginManager()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            entry.load()(manager)
        except Exception as exc:
            said = str(exc) if isinstance(exc, ConfigError) else f"{type(exc).__name__}: {exc}"
            raise ConfigError(f"The plugin {entry.name} ({entry.value}) cannot be used: {said}") from exc
    return manager.config.keys
