"""What things may be called: one pattern, one length, one sentence for each kind of name (API v1, chapter 2)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from neuro_sdk.errors import IllegalArgumentError

JOB_ID: Final = re.compile(r"job-[0-9a-z]{8}-[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{12}")


class Rule(NamedTuple):
    """A kind of name: its pattern (full match), its length, and how to say both."""

    kind: str
    pattern: re.Pattern[str]
    shortest: int
    longest: int
    words: str

    def check(self, name: str) -> str:
        """Return the name, or raise :class:`IllegalArgumentError` saying what it must look like."""
        if self.shortest <= len(name) <= self.longest and self.pattern.fullmatch(name):
            return name
        raise IllegalArgumentError(f"Invalid {self.kind} {name!r}: use {self.shortest} to {self.longest} {self.words}")


_WORDS = "lowercase letters, digits and single hyphens, not at either end"
_LABEL = re.compile(r"[a-z0-9](-?[a-z0-9])*")

JOB_NAME: Final = Rule(
    "job name",
    re.compile(r"(?!job-)[a-z](-?[a-z0-9])*"),
    3,
    40,
    "lowercase letters, digits and single hyphens, first a letter, not beginning with 'job-'",
)
USER_NAME: Final = Rule("user name", _LABEL, 3, 21, _WORDS)
ROLE_NAME: Final = Rule(
    "role name",
    re.compile(r"[a-z0-9](-?[a-z0-9])*(/[a-z0-9](-?[a-z0-9])*)+"),
    3,
    255,
    "characters: the name of a user, a slash, more such words with slashes between them, as in alice/team",
)
CLUSTER_NAME: Final = Rule("cluster name", _LABEL, 3, 255, _WORDS)
TAG: Final = Rule("tag", re.compile(r"\S+"), 1, 256, "characters without blanks")
TAGS_PER_JOB: Final = 16
ENV_NAME: Final = re.compile(r"[^\s=\0]+")


def is_utf8(text: str) -> bool:
    """Whether the text can be sent: bytes of a command line that are no UTF-8 cannot, and URLs drop them unasked."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def is_job_id(text: str) -> bool:
    """Whether the text has the form of a job id, so that no look-up by name is needed."""
    return JOB_ID.fullmatch(text) is not None
