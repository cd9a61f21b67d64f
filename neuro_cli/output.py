"""The forms in which data is shown: a table, JSON, JSON lines, YAML, names."""

from __future__ import annotations

import enum
import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from typing import Any, Final


class Output(enum.StrEnum):
    """How the user wants data."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    NAME = "name"

    @property
    def is_json(self) -> bool:
        return self in (Output.JSON, Output.JSONL)


def document(value: object, output: Output) -> str:
    """One value, a model or plain, as a document without the line end."""
    import json

    from neuro_sdk import to_plain

    plain = to_plain(value)
    if output is Output.YAML:
        return to_yaml(plain)
    return json.dumps(plain, indent=None if output is Output.JSONL else 2, ensure_ascii=False)


async def documents(items: AsyncIterable[Any], output: Output) -> AsyncGenerator[str, None]:
    """Many values as one JSON array, as JSON lines or as one YAML sequence, in pieces as they come."""
    import json

    from neuro_sdk import to_plain

    encode = json.JSONEncoder(ensure_ascii=False).encode
    first = True
    async for item in items:
        plain = to_plain(item)
        match output:
            case Output.JSONL:
                yield encode(plain) + "\n"
            case Output.YAML:
                yield to_yaml([plain]) + "\n"
            case _:
                yield ("[\n" if first else ",\n") + encode(plain)
        first = False
    if output is Output.JSON:
        yield "[]\n" if first else "\n]\n"
    elif output is Output.YAML and first:
        yield "[]\n"


def line(value: object, output: Output) -> str:
    """One of many values that have no end: a line of JSON, or an item of a YAML sequence."""
    import json

    from neuro_sdk import to_plain

    plain = to_plain(value)
    return (to_yaml([plain]) if output is Output.YAML else json.dumps(plain, ensure_ascii=False)) + "\n"


def to_yaml(value: object) -> str:
    """Plain values as block-style YAML 1.1, which readers of 1.2 take for the same."""
    return "\n".join(_lines(value, ""))


# What every YAML reader takes for a string as it stands; all else is quoted. Dates, numbers and the many words for
# true and false all fall outside or are listed.
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"})
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]')


def _lines(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(f"{indent}{_scalar(str(key))}:", item, indent)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for item in value:
            if isinstance(item, Mapping | list | tuple) and item:
                first, *rest = _lines(item, indent + "  ")
                yield f"{indent}- {first.lstrip(' ')}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(item)}"
    else:
        yield indent + _scalar(value)


def _entry(head: str, item: object, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping | list | tuple) and item:
        yield head
        yield from _lines(item, indent + "  ")
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
                return value
            return '"' + _ESCAPED.sub(_escape, value) + '"'
        case Mapping():
            return "{}"
        case _:
            return "[]"


def _float(value: float) -> str:
    text = repr(value)
    if text in ("inf", "-inf"):
        return text.replace("inf", ".inf")
    if text == "nan":
        return ".nan"
    mantissa, e, exponent = text.partition("e")
    if e and "." not in mantissa:
        mantissa += ".0"  # YAML 1.1 takes 1e5 for a string
    if e and exponent[0] not in "+-":
        exponent = "+" + exponent
    return mantissa + e + exponent


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in '"\\':
        return "\\" + char
    if char == "\n":
        return "\\n"
    if char == "\t":
        return "\\t"
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
