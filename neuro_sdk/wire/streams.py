"""What streams say in JSON: the commands run beside a program, sizes of terminals, how a program ended (chapter 6)."""

from __future__ import annotations

from collections.abc import Sequence

from neuro_sdk.wire.codec import Model


class ExecOrder(Model, frozen=True):
    """The body of ``exec_create``: one line, split as a shell splits words, or (ours) the words themselves."""

    command: str | None = None
    argv: Sequence[str] | None = None
    exec_id: str | None = None  # ours: chosen by the client, so that asking twice prepares the command once
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class ExecCreated(Model, frozen=True):
    """The answer to it."""

    job_id: str
    exec_id: str


class Exit(Model, frozen=True, omit_defaults=False):
    """The payload of an ``EXIT`` frame; of a command only the code."""

    exit_code: int | None = None
    status: str = ""
    reason: str = ""
    description: str = ""


class SavedContainer(Model, frozen=True):
    """What is to become of a container."""

    image: str  # a Docker reference


class SaveOrder(Model, frozen=True):
    """The body of ``POST …/save``."""

    container: SavedContainer


class Size(Model, frozen=True):
    """The payload of a ``RESIZE`` frame, in characters."""

    height: int
    width: int
