"""What users write for themselves: ``user.toml`` in the configuration folder, ``.neuro.toml`` in a project.

Both are read anew on every use; the project's values win, table by table.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from neuro_sdk.errors import ConfigError
from neuro_sdk.plugins import ConfigScope, known_keys

DEFAULT_CONFIG_PATH: Final = "~/.nmrc"
CONFIG_ENV_NAME: Final = "NEUROMATION_CONFIG"
USER_FILE: Final = "user.toml"
PROJECT_FILE: Final = ".neuro.toml"

_ALIAS_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def find_project_root(path: Path | None = None) -> Path:
    """The nearest folder with a ``.neuro.toml``, from ``path`` (default: the working directory) upwards."""
    here = path if path is not None else _working_directory()
    for folder in [here, *here.absolute().parents]:
        if str(folder) != folder.anchor and (folder / PROJECT_FILE).exists():  # the root of the file system is nobody's
            return folder
    raise ConfigError(f"Project root is not found for {here}: neither it nor a folder above it has a {PROJECT_FILE}")


def config_folder(path: Path | None = None) -> Path:
    """Where the login and ``user.toml`` are: ``path``, else ``NEUROMATION_CONFIG``, else ``~/.nmrc``."""
    return (path or Path(os.environ.get(CONFIG_ENV_NAME) or DEFAULT_CONFIG_PATH)).expanduser()


def user_config_files(path: Path | None = None) -> list[Path]:
    """The files that there are: the user's in the configuration folder ``path``, then the project's."""
    files = [config_folder(path) / USER_FILE]
    with contextlib.suppress(ConfigError):
        files.append(find_project_root() / PROJECT_FILE)
    return [file for file in files if file.exists()]


def read_user_config(path: Path | None = None) -> dict[str, Any]:
    """What ``Config.get_user_config()`` says, without a login: both files as one, ``{}`` when there is neither."""
    return user_config(config_folder(path))


def user_config(folder: Path) -> dict[str, Any]:
    """Both files as one; an empty dict when there is neither."""
    return _merge(_read(folder / USER_FILE, is_project=False), project_config())


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
    known = known_keys()
    if unknown := sorted(set(document) - {"alias", *known}):
        raise ConfigError(f"{path}: unsupported config sections: {', '.join(unknown)}")
    for name, section in document.items():
        if not isinstance(section, dict):
            raise ConfigError(f"{path}: {name} should be a section, [{name}]")
        if name == "alias":
            _check_aliases(path, section)
            continue
        if unknown := sorted(f"{name}.{key}" for key in section if key not in known[name]):
            raise ConfigError(f"{path}: unknown parameters {', '.join(unknown)}")
        for key, value in section.items():
            _check_scope(path, f"{name}.{key}", known[name][key].scope, is_project=is_project)
            if problem := known[name][key].problem(f"{name}.{key}", value):
                raise ConfigError(f"{path}: {problem}")


def _check_scope(path: Path, name: str, scope: ConfigScope, *, is_project: bool) -> None:
    if (ConfigScope.LOCAL if is_project else ConfigScope.GLOBAL) in scope:
        return
    shown = "job.cluster name" if name == "job.cluster-name" else name
    only = f"in {USER_FILE}" if is_project else f"in the {PROJECT_FILE} of a project"
    raise ConfigError(f"{path}: {shown} is not allowed here, only {only}")


def _check_aliases(path: Path, aliases: Mapping[str, Any]) -> None:
    for name, alias in aliases.items():
        if not _ALIAS_NAME.fullmatch(name):
            raise ConfigError(f"{path}: invalid alias name {name!r}: letters, digits and hyphens, first a letter")
        if not isinstance(alias, dict):
            raise ConfigError(f"{path}: invalid alias command type of {name!r}: [alias.{name}] should be a section")


def _merge(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(older)
    for key, value in newer.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
