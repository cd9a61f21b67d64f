"""What users write for themselves: ``user.toml`` in the configuration folder, ``.neuro.toml`` in a project.

Both are read anew on every use; the project's values win, table by table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from neuro_sdk.errors import ConfigError

PROJECT_FILE: Final = ".neuro.toml"

_KEYS: Final[Mapping[str, Mapping[str, type | tuple[type]]]] = {
    "job": {"cluster-name": str, "ps-format": str, "top-format": str, "life-span": str},
    "storage": {"cp-exclude": (str,), "cp-exclude-from-files": (str,)},
    "disk": {"life-span": str, "timeout-unused": str},
}
_ALIAS_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def find_project_root(path: Path | None = None) -> Path:
    """The nearest folder with a ``.neuro.toml``, from ``path`` (default: the working directory) upwards."""
    here = path if path is not None else _working_directory()
    for folder in [here, *here.absolute().parents]:
        if str(folder) != folder.anchor and (folder / PROJECT_FILE).exists():  # the root of the file system is nobody's
            return folder
    raise ConfigError(f"Project root is not found for {here}: neither it nor a folder above it has a {PROJECT_FILE}")


def user_config(folder: Path) -> dict[str, Any]:
    """Both files as one; an empty dict when there is neither."""
    return _merge(_read(folder / "user.toml", is_project=False), project_config())


def project_config() -> dict[str, Any]:
    """The project's file alone."""
    try:
        root = find_project_root()
    except ConfigError:
        return {}
    return _read(root / PROJECT_FILE, is_project=True)


def pinned_cluster() -> str | None:
    """The cluster that the project asks for; cheap when there is no project."""
    name = project_config().get("job", {}).get("cluster-name")
    return name if isinstance(name, str) else None


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # removed under our feet: then there is no project either
        return Path("/")


def _read(path: Path, *, is_project: bool) -> dict[str, Any]:
    if not path.exists():
        return {}
    if not path.is_file():
        raise ConfigError(f"{path}: not a regular file")
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}") from exc
    _check(path, document, is_project=is_project)
    return document


def _check(path: Path, document: Mapping[str, Any], *, is_project: bool) -> None:
    if unknown := sorted(set(document) - {"alias", *_KEYS}):
        raise ConfigError(f"{path}: unsupported config sections: {', '.join(unknown)}")
    for name, section in document.items():
        if not isinstance(section, dict):
            raise ConfigError(f"{path}: {name} should be a section, [{name}]")
        if name == "alias":
            _check_aliases(path, section)
            continue
        if unknown := sorted(f"{name}.{key}" for key in section if key not in _KEYS[name]):
            raise ConfigError(f"{path}: unknown parameters {', '.join(unknown)}")
        for key, value in section.items():
            _check_type(path, f"{name}.{key}", value, _KEYS[name][key])
    if not is_project and "cluster-name" in document.get("job", {}):
        raise ConfigError(f"{path}: job.cluster name is not allowed here, only in the {PROJECT_FILE} of a project")


def _check_aliases(path: Path, aliases: Mapping[str, Any]) -> None:
    for name, alias in aliases.items():
        if not _ALIAS_NAME.fullmatch(name):
            raise ConfigError(f"{path}: invalid alias name {name!r}: letters, digits and hyphens, first a letter")
        if not isinstance(alias, dict):
            raise ConfigError(f"{path}: invalid alias command type of {name!r}: [alias.{name}] should be a section")


def _check_type(path: Path, name: str, value: object, kind: type | tuple[type]) -> None:
    if isinstance(kind, type):
        if type(value) is not kind:
            raise ConfigError(f"{path}: invalid type for {name}, {kind.__name__} is expected")
        return
    if not isinstance(value, list):
        raise ConfigError(f"{path}: invalid type for {name}, list is expected")
    for index, item in enumerate(value):
        _check_type(path, f"{name}[{index}]", item, kind[0])


def _merge(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(older)
    for key, value in newer.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
