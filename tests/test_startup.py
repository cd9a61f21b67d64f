"""What answers without a platform answers at once: none of the heavy libraries is imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.certificates import Authority

HEAVY = {"aiohttp", "asyncio", "rich", "msgspec", "ssl"}

PROBE = """
import runpy, sys
sys.argv = ["neuro", *sys.argv[1:]]
try:
    from neuro_cli.main import main
    main()
except SystemExit as exc:
    code = exc.code
else:
    code = 0
print("code", code or 0, file=sys.stderr)
print("imported", *sorted(set(sys.modules) & set(%r)), file=sys.stderr)
"""

COMPLETE = {"_NEURO_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
WORDS = "neuro\nru\n"  # what the shell hands over, on standard input

CASES = {
    "version": (["--version"], {}, 0),
    "help": (["--help"], {}, 0),
    "group help": (["job", "--help"], {}, 0),
    "command help": (["run", "--help"], {}, 0),
    "completion": ([], COMPLETE, 0),
    "unknown command": (["rnu"], {}, 2),
    "unknown option": (["run", "--no-such-option"], {}, 2),
    "missing argument": (["kill"], {}, 2),
}


@pytest.mark.parametrize(("words", "extra", "code"), CASES.values(), ids=CASES)
def test_nothing_heavy_is_imported(words: list[str], extra: dict[str, str], code: int, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NEUROMATION_CONFIG": str(tmp_path / "nmrc"), **extra}

    command = [sys.executable, "-c", PROBE % sorted(HEAVY), *words]
    done = subprocess.run(command, env=env, input=WORDS, capture_output=True, text=True, timeout=60)

    *_, exited, imported = done.stderr.splitlines()
    assert (exited, imported.split()[1:]) == (f"code {code}", [])


CERTIFICATES = """
import ssl
from neuro_cli.root import Root
async def nothing(): pass
Root().run(nothing())
from aiohttp import connector
context = connector._SSL_CONTEXT_VERIFIED
print(len(context.get_ca_certs()))
for _ in range(2):
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.org")
    print(len(context.get_ca_certs()), context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname)
"""


def test_certificates_are_read_once_and_not_before_they_are_needed(tmp_path: Path) -> None:
    env = {**os.environ, "SSL_CERT_FILE": str(Authority(tmp_path / "tls").file), "SSL_CERT_DIR": ""}

    done = subprocess.run(
        [sys.executable, "-c", CERTIFICATES], capture_output=True, text=True, timeout=60, check=True, env=env
    )

    assert done.stdout.splitlines() == ["0", "1 True True", "1 True True"]


def test_importing_the_sdk_costs_nothing() -> None:
    probe = f"import sys, neuro_sdk; print(*sorted(set(sys.modules) & {HEAVY!r}))"

    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == []
