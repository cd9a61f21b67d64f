"""Shows a page to a browser: a template from ``pages/`` with every value escaped, and a strict content policy."""

from __future__ import annotations

import functools
import html
from pathlib import Path
from string import Template
from typing import Final

from aiohttp import web

_FOLDER: Final = Path(__file__).parent / "pages"
_STATIC: Final = {"style.css": "text/css", "copy.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def page(name: str, title: str, /, *, status: int = 200, form_action: str = "'self'", **values: str) -> web.Response:
    """The page ``name``.html within the frame that all pages share.

    Browsers hold redirects after a form to its ``form-action`` policy too, hence the argument.
    """
    body = Html(_fill(name, values))
    return web.Response(
        text=_fill("frame", {"title": title, "body": body}),
        status=status,
        content_type="text/html",
        headers={
            "Content-Security-Policy": (
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
                f"form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
            ),
            "Cache-Control": "no-store",
        },
    )


def notice(sentence: str) -> Html:
    """A sentence about what went wrong, read out by screen readers; nothing for an empty one."""
    return Html(_fill("notice", {"sentence": sentence}) if sentence else "")


def static(name: str) -> web.Response:
    """One of the files that pages refer to."""
    if name not in _STATIC:
        raise web.HTTPNotFound
    return web.Response(text=_text(name), content_type=_STATIC[name], headers={"Cache-Control": "public, max-age=3600"})


def _fill(name: str, values: dict[str, str]) -> str:
    return Template(_text(f"{name}.html")).substitute(
        {key: value if isinstance(value, Html) else html.escape(value) for key, value in values.items()}
    )


@functools.cache
def _text(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")
