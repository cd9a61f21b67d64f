"""The column language of job lists: ``id/name status/when {command;max=30;WHAT RUNS}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, cast

from neuro_cli.render.table import Column

PS_FORMAT: Final = "id/name status/when image owner command"
TOP_FORMAT: Final = "id/name when cpu memory gpu gpu_memory"

Fields = Mapping[str, tuple[str, Callable[[Any], str]]]  # id -> title, text of a thing

_DIGITS: Final = 4  # of a width: wider is no terminal


class FormatError(ValueError):
    """The text is not in the column language; the message says where."""


class Spec(NamedTuple):
    """One column as the user described it."""

    ids: tuple[str, ...]
    title: str | None = None
    align: Literal["left", "right", "center"] | None = None  # None: as is usual for the field
    min: int = 0
    max: int | None = None


_ITEM: Final = re.compile(r"\{([^{}]*)\}|([^\s,{}]+)")
_BETWEEN: Final = re.compile(r"[\s,]*")


def parse(text: str, known: Sequence[str]) -> list[Spec]:
    """Read column descriptions; raise :class:`FormatError` for what is none."""
    specs = []
    at = _skip(text, 0)
    while at < len(text):
        match = _ITEM.match(text, at)
        if match is None:
            raise FormatError(f"cannot read {text[at:]!r}; a column is FIELD or {{FIELD;width=N;TITLE}}")
        specs.append(_described(match[1], known) if match[1] is not None else Spec(_ids(match[2], known)))
        at = _skip(text, match.end())
    if not specs:
        raise FormatError("there is no column")
    return specs


def build(
    specs: Sequence[Spec], fields: Fields, *, long: Container[str] = (), numbers: Container[str] = ()
) -> list[Column]:
    """Columns that can be drawn; those of ``long`` fields may give way to others, ``numbers`` stand to the right."""

    def column(spec: Spec) -> Column:
        texts = [fields[name][1] for name in spec.ids]
        title = "/".join(fields[name][0] for name in spec.ids) if spec.title is None else spec.title
        gives_way = any(name in long for name in spec.ids) and spec.max is None
        align = spec.align or ("right" if all(name in numbers for name in spec.ids) else "left")
        return Column(title, lambda thing: [text(thing) for text in texts], align, spec.min, spec.max, gives_way)

    return [column(spec) for spec in specs]


def _described(text: str, known: Sequence[str]) -> Spec:
    first, *rest = (part.strip() for part in text.split(";"))
    spec = Spec(_ids(first, known))
    for part in rest:
        name, sep, value = part.partition("=")
        if not sep:
            spec = spec._replace(title=part)
            continue
        match name.strip().lower(), value.strip().lower():
            case "align", ("left" | "right" | "center") as align:
                spec = spec._replace(align=cast(Any, align))
            case ("min" | "max" | "width") as key, number if _is_width(number):
                if key != "max":
                    spec = spec._replace(min=int(number))
                if key != "min":
                    spec = spec._replace(max=int(number))
            case _:
                raise FormatError(
                    f"{part!r} is none of align=left|right|center, min=N, max=N, width=N; "
                    f"N has at most {_DIGITS} digits"
                )
    if spec.max is not None and not 0 < spec.max >= spec.min:
        raise FormatError(f"{{{text}}} has no room: min is {spec.min}, max is {spec.max}")
    return spec


def _is_width(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _ids(text: str, known: Sequence[str]) -> tuple[str, ...]:
    return tuple(find(part.strip(), known) for part in text.split("/"))


def find(text: str, known: Sequence[str]) -> str:
    """The field of this name, or the only one whose name begins so; else :class:`FormatError`."""
    wanted = text.lower()
    if wanted in known:
        return wanted
    found = [name for name in known if wanted and name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise FormatError(f"{text!r} may be {' or '.join(found)}")
    import difflib  # only to suggest

    close = difflib.get_close_matches(wanted, known, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise FormatError(f"{text!r} is no field.{guess} There are {' '.join(known)}")


def _skip(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at
