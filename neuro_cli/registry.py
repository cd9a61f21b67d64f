"""The command tree as data: what there is, in the order of the help, without importing any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A command, or a group when other paths begin with its own; ``help`` is its one line in listings."""

    help: str
    hidden: bool = False
    shortcut_of: str | None = None  # the path of the command that this is another name for


def _shortcut(target: str, *, hidden: bool = False) -> Entry:
    return Entry(_TREE[target].help, hidden, target)


_TREE: Final[dict[str, Entry]] = {
    "job": Entry("Run programs, watch them, talk to them."),
    "job run": Entry("Start a program on the platform, see its output, exit as it does."),
    "job ls": Entry("List jobs."),
    "job status": Entry("Show all about one job."),
    "job logs": Entry("Print what a job wrote."),
    "job exec": Entry("Run one more command inside a running job."),
    "job attach": Entry("Connect to a running job's program."),
    "job port-forward": Entry("Lead ports of this machine to ports of a job."),
    "job browse": Entry("Open what a job publishes over HTTP in your browser."),
    "job wait": Entry("Wait until jobs have ended, or have another status."),
    "job top": Entry("Show what running jobs use: CPU, memory, GPUs."),
    "job kill": Entry("Stop jobs."),
    "job save": Entry("Save a running job's container as an image."),
    "job bump-life-span": Entry("Let a job run longer."),
    "job tags": Entry("List the tags of your jobs.", hidden=True),
    "job why": Entry("Say why a job waits or how it ended."),
    "job generate-run-command": Entry("Print the line that starts a job again."),
    "acl": Entry("Share jobs with others, and see who may do what."),
    "acl grant": Entry("Share a job, all jobs, or a role with somebody."),
    "acl revoke": Entry("Stop sharing with somebody."),
    "acl ls": Entry("List permissions."),
    "acl add-role": Entry("Make a role."),
    "acl remove-role": Entry("Remove a role, and with it what it allowed."),
    "acl list-roles": Entry("List roles."),
    "config": Entry("Log in and out, look at clusters, choose one."),
    "config login": Entry("Log in to a platform."),
    "config login-headless": Entry("Log in where there is no browser: over SSH, in a container."),
    "config login-with-token": Entry("Log in with a token that you already have."),
    "config logout": Entry("Forget the login."),
    "config show": Entry("Show who you are, where, and what the cluster offers."),
    "config show-token": Entry("Print the token that requests carry."),
    "config get-clusters": Entry("Ask the platform for its clusters, and list them."),
    "config fetch": Entry("Ask the platform again for its clusters and presets."),
    "config switch-cluster": Entry("Choose the cluster that commands work on."),
    "config switch-org": Entry("Choose an organisation, on platforms that have some.", hidden=True),
    "config switch-project": Entry("Choose a project, on platforms that have some.", hidden=True),
    "config show-quota": Entry("Show how long your jobs have run, and may run."),
    "config aliases": Entry("List the commands that you have made."),
    "platform": Entry("Run the platform that comes with neuro, on this machine."),
    "platform up": Entry("Start the platform; do nothing if it runs already."),
    "platform down": Entry("Stop the platform; its jobs run on."),
    "platform status": Entry("Say whether the platform runs, and where."),
    "platform logs": Entry("Print the platform's own log."),
    "platform user": Entry("Manage who may log in to the platform."),
    "platform user add": Entry("Add a user who logs in with a password."),
    "platform user ls": Entry("List the users."),
    "platform user rm": Entry("Remove a user."),
    "platform user passwd": Entry("Give a user a new password."),
    "platform token": Entry("Manage tokens for scripts and services."),
    "platform token create": Entry("Make a token and print it, once."),
    "platform token ls": Entry("List tokens, without their secrets."),
    "platform token revoke": Entry("Make a token worthless."),
    "completion": Entry("Have the shell complete commands and options."),
    "completion generate": Entry("Print the code that a shell needs to complete neuro."),
    "completion patch": Entry("Add the completion of neuro to the shell's profile."),
    "help": Entry("Explain a command or a topic."),
}

for _name, _target in {
    "run": "job run",
    "ps": "job ls",
    "status": "job status",
    "logs": "job logs",
    "exec": "job exec",
    "attach": "job attach",
    "port-forward": "job port-forward",
    "top": "job top",
    "kill": "job kill",
    "save": "job save",
    "share": "acl grant",
    "login": "config login",
    "logout": "config logout",
}.items():
    _TREE[_name] = _shortcut(_target)
for _name, _target in {
    "job list": "job ls",
    "job monitor": "job logs",
    "acl list": "acl ls",
    "config refresh": "config fetch",
}.items():
    _TREE[_name] = _shortcut(_target, hidden=True)

TREE: Final[Mapping[str, Entry]] = _TREE

TOPICS: Final[Mapping[str, str]] = {
    "aliases": "Commands of your own: short forms of ours, and programs.",
    "exit-codes": "What a command's exit code says.",
    "output": "Tables, JSON, YAML; what goes to which stream.",
    "secrets": "What jobs can be given that others are not to see.",
    "sharing": "How to share jobs with other users, and with roles.",
    "ps-format": "How to choose the columns of job lists.",
    "top-format": "How to choose the columns of neuro top, and their order.",
    "user-config": "Files with defaults for you and for a project.",
}


def children(path: str) -> Iterator[tuple[str, Entry]]:
    """The last words and entries right below a group; the root's path is empty."""
    depth = len(path.split())
    for other, entry in TREE.items():
        words = other.split()
        if len(words) == depth + 1 and " ".join(words[:depth]) == path:
            yield words[-1], entry


def is_group(path: str) -> bool:
    """Whether other commands lie below this one."""
    return any(other.startswith(path + " ") for other in TREE)


def module(path: str) -> str:
    """Where a command lives: the command line is the path."""
    path = TREE[path].shortcut_of or path
    return "neuro_cli.commands." + path.replace("-", "_").replace(" ", ".")
