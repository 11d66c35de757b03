"""A template becomes a page: everything that it is given is escaped, and every page knows where it stands."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.pages.site import TEMPLATES, TITLES, root, sisters, site
from services.pages.words import fallback_words, seconds, sentence
from services.web.keys import KeysError
from services.web.request_id import request_id
from services.web.room import room


def environment(own: Path) -> Environment:
    """Templates of the service's folder `own`, then of this room. A name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader([own, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=when, seconds=seconds, fallback_words=fallback_words, sentence=sentence)
    return made


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page of `template` with `values`; part of one where the template extends nothing."""
    return HTMLResponse(text(request, template, **values), status)


def text(request: Request, template: str, **values: Any) -> str:
    """The same as text."""
    return site(request).environment.get_template(template).render(**_common(request), **values)


def go(request: Request, path: str) -> Response:
    """To the page `path` (as `/ui/documents`) after a form was taken in; by GET, so that a reload sends nothing again.

    htmx follows a redirect unseen and would put the page into a piece of another: it is told by its own header.
    """
    where = f"{root(request)}{path}"
    if request.headers.get("HX-Request"):
        return Response(status_code=204, headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


def when(text: str) -> str:
    """A stored time to the minute, in UTC, as people read it; what is no time comes back as it is."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return text


def _common(request: Request) -> Mapping[str, Any]:
    here = site(request)
    return {
        "root": root(request),
        "service": here.service,
        "service_title": TITLES[here.service],
        "tabs": here.tabs,
        "sisters": sisters(request),
        "path": request.url.path.removeprefix(root(request)),
        "key_name": request.scope["state"].get("key"),
        "keys_are_wanted": keys_are_wanted(request),
        "request_id": request_id(request),
    }


def keys_are_wanted(request: Request) -> bool:
    """Whether this service asks for keys; where nobody can say it does."""
    try:
        return room(request).keys.keys() is not None
    except KeysError:
        return True
