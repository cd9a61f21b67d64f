"""The wheel has everything in it, and works in an empty environment, without and with the platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git would publish, so that nothing left over in the work tree gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    return path


class Empty:
    """A virtual environment with nothing in it, and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "venv" / "bin"
        self._home = folder / "home"
        self._home.mkdir()
        venv.create(folder / "venv", with_pip=True)

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self._home),
            "NEUROMATION_CONFIG": str(self._home / "nmrc"),
            "NEURO_PLATFORM_DATA": str(self._home / "platform"),
            **{key: value for key, value in os.environ.items() if key.startswith(("PIP_", "LANG", "LC_", "SSL_"))},
        }
        command = [str(self.bin / words[0]), *words[1:]]
        return subprocess.run(
            command, env=env, cwd=self._home, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
        )

    def install(self, requirement: str) -> None:
        done = self.run("python", "-m", "pip", "install", "--quiet", requirement, timeout=600)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Empty]:
    place = Empty(tmp_path_factory.mktemp("empty"))
    place.install(str(wheel))
    yield place
    if (place.bin / "alembic").exists():  # the last test installed the platform and may have left one running
        place.run("neuro", "platform", "down")


def test_wheel_has_what_is_not_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())

    tracked = {
        str(path.relative_to(ROOT))
        for package in ("neuro_sdk", "neuro_cli", "neuro_platform")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tracked - inside == set()
    assert {f"{package}/py.typed" for package in ("neuro_sdk", "neuro_cli", "neuro_platform")} <= inside
    assert any(name.startswith("neuro_platform/store/migrations/versions/0001") for name in inside)


def test_wheel_has_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"neuro_sdk", "neuro_cli", "neuro_platform"}


def test_client_alone(empty: Empty) -> None:
    version = empty.run("neuro", "--version")
    imported = empty.run("python", "-c", "import neuro_sdk as n; [getattr(n, name) for name in n.__all__]")
    local = empty.run("neuro", "login", "--local")

    assert version.returncode == 0
    assert imported.stderr == ""
    assert local.returncode == 70
    assert "pip install 'neuro-compute[platform]'" in local.stderr
    assert len(local.stderr.splitlines()) == 1


def test_with_the_platform(empty: Empty, wheel: Path) -> None:
    empty.install(f"neuro-compute[platform] @ {wheel.as_uri()}")

    up = empty.run("neuro", "platform", "up", "--port", "0")
    login = empty.run("neuro", "login", "--local")
    hello = empty.run("neuro", "run", "-T", "host", "--", "sh", "-c", "echo hello; exit 7")
    status = json.loads(empty.run("neuro", "platform", "status", "--json").stdout)
    down = empty.run("neuro", "platform", "down")

    assert (up.returncode, login.returncode, down.returncode) == (0, 0, 0), up.stderr + login.stderr + down.stderr
    assert (hello.returncode, hello.stdout) == (7, "hello\n")
    assert status["running"] is True
