"""The page of the engines: where the migration of every service stands, and how this one's providers are."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from services.llm.rollout import Stage, Standing
from services.pages.rendering import keys_are_wanted, page
from services.pages.site import TITLES, Site, site
from services.pages.words import engine
from services.web.page_paths import PAGES
from services.web.room import Client, room

READY_WITHIN_S = 2.0
"""An engine that hangs takes 15 s to say nothing."""

STAGES = {
    Stage.OLLAMA: "on Ollama; not moved yet",
    Stage.CANARY: "canary: a part of the requests asks vLLM first",
    Stage.FULL: "on vLLM, Ollama behind it",
    Stage.ROLLED_BACK: "rolled back to Ollama",
}
BREAKERS = {
    "closed": "well",
    "open": "not asked until it generates again",
}


def router() -> APIRouter:
    """The one route."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/engines", show, methods=["GET"])
    routes.add_api_route("/engines/now", now, methods=["GET"])
    return routes


async def show(request: Request) -> Response:
    """The whole page."""
    return page(request, "engines.html", **await _seen(request))


async def now(request: Request) -> Response:
    """The part of it that changes."""
    return page(request, "_engines.html", **await _seen(request))


async def _seen(request: Request) -> dict[str, Any]:
    here, client = site(request), room(request).client
    status = client.status()
    tells_errors = not keys_are_wanted(request)
    return {
        "services": _services(here),
        "rollout_problem": here.rollout.problem,
        "pin": status["pin"],
        "fallbacks": status.get("fallbacks_5m"),
        "providers": [_provider(name, state, tells_errors) for name, state in status["providers"].items()],
        "tells_errors": tells_errors,
        **await _readiness(client),
        "model": here.model,
    }


async def _readiness(client: Client) -> dict[str, Any]:
    """Why no provider generates, or that none said soon enough whether it does: somebody waits for the page."""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            return {"not_ready": await client.ready(), "is_unknown": False}
    except TimeoutError:
        return {"not_ready": None, "is_unknown": True}


def _services(here: Site) -> list[dict[str, Any]]:
    rollout = here.rollout.current()
    return [_standing(name, title, rollout.standing(name), here) for name, title in TITLES.items()]


def _standing(name: str, title: str, standing: Standing, here: Site) -> dict[str, Any]:
    return {
        "title": title,
        "is_here": name == here.service,
        "stage": str(standing.stage),
        "says": STAGES[standing.stage],
        "percent": f"{standing.share * 100:.3g}",
        "verdict": standing.verdict or "",
        "demo": standing.demo,
    }


def _provider(name: str, state: Any, tells_errors: bool) -> dict[str, Any]:
    """An error may hold an upstream's own words: with API keys it is an operator's to read, as over the API."""
    breaker = str(state["breaker"])
    return {
        "title": engine(name),
        "breaker": breaker,
        "says": BREAKERS.get(breaker, breaker),
        "in_flight": state.get("in_flight"),
        "limit": state.get("limit"),
        "queued": state.get("queued"),
        "last_error": (tells_errors and state.get("last_error")) or "",
    }
