"""Shows a page to a browser: a template from ``pages/`` with every value escaped, and a strict content policy."""

from __future__ import annotations

import functools
import html
import secrets
from pathlib import Path
from string import Template
from typing import Final

from aiohttp import web

_FOLDER: Final = Path(__file__).parent / "pages"
_STATIC: Final = {"style.css": "text/css", "copy.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def page(
    name: str,
    title: str,
    /,
    *,
    status: int = 200,
    form_action: str = "'self'",
    refresh: str | None = None,
    **values: str,
) -> web.Response:
    """The page ``name``.html within the frame that all pages share; ``refresh`` is where it goes on by itself.

    Browsers hold redirects after a form to its ``form-action`` policy too, hence the argument.
    """
    body = Html(_fill(name, values))
    headers = {} if refresh is None else {"Refresh": f"0; url={refresh}"}
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
            **headers,
        },
    )


def standalone(name: str, title: str, status: int, /, *, reload: int | None = None, **values: str) -> web.Response:
    """A page that needs nothing else of ours, for an origin where nothing else is; reloads itself after seconds."""
    nonce = secrets.token_urlsafe(16)
    body = Html(_fill(name, {"title": title, **values}))
    text = _fill(
        "job-frame",
        {
            "title": title,
            "body": body,
            "nonce": nonce,
            "style": Html(_text("style.css")),
            "refresh": Html("" if reload is None else f'<meta http-equiv="refresh" content="{reload}">'),
        },
    )
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


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
