"""What the pages of one service are made with, put on its app by `install`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment

from services.llm.rollout import RolloutWatch

TEMPLATES = Path(__file__).with_name("templates")
STATIC = Path(__file__).with_name("static")

TITLES: Mapping[str, str] = {"rag": "RAG", "notes": "Notes", "ner": "NER"}
"""What people read for a service's name, in the order of the top bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """An entry of a service's own menu: what it says, and its path under /ui, as `documents` or "" for the first.

    `holds` is the path of the pages that belong to the first, as `notes` for `/ui/notes/ID`.
    """

    title: str
    path: str
    holds: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The pages of one service. `ports` are where this host has each service; `model` is the alias that it asks."""

    service: str
    tabs: Sequence[Tab]
    environment: Environment
    ports: Mapping[str, int]
    model: str
    rollout: RolloutWatch


def site(request: Request) -> Site:
    """The pages that `request` came to."""
    found = request.app.state.site
    assert isinstance(found, Site)
    return found


def sisters(request: Request) -> list[dict[str, Any]]:
    """The services for the top bar. Behind a root path nobody knows where the others are: this one alone then."""
    here = site(request)
    host = request.url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    found = []
    for name, title in TITLES.items():
        is_here = name == here.service
        url = f"{root(request)}/ui/" if is_here else f"{request.url.scheme}://{host}:{here.ports[name]}/ui/"
        if is_here or not root(request):
            found.append({"title": title, "url": url, "is_here": is_here})
    return found


def root(request: Request) -> str:
    """What a proxy put in front of every path, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")
