"""`cutover status`: asks engines and services, reads the files, never fails because one of them is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from services import cli_status_containers
from services.cli_status_times import Buckets, Window, buckets, quantile
from services.cli_status_work import at_work
from services.llm.registry import RegistryError, model
from services.llm.rollout import FILE_NAME, Rollout, RolloutError, Standing, parse
from services.llm.routing import route
from services.migration import pages
from services.settings import SERVICES, Secret, Settings
from services.stack import local

LIMIT_S = 2.0


async def collect(
    settings: Settings, window: Window | None = None, *, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The document of `cutover status --json`. Unreachable parts are `up: false`; what is odd is in `problems`.

    Whoever looks again and again brings a `window`, so that times are those of the last minutes. With `env`, where
    Docker's own variables may be, containers are looked at as well.
    """
    problems: list[str] = []
    rollout = _rollout(settings.state_dir / FILE_NAME, problems)
    token = local.admin_token(settings)
    async with httpx2.AsyncClient(timeout=LIMIT_S, trust_env=False) as http:
        told, pages, vllm, ollama, containers = await asyncio.gather(
            asyncio.gather(*(_service(http, settings, s, token, problems) for s in SERVICES)),
            asyncio.gather(*(_metrics(http, settings, s) for s in SERVICES)),
            _vllm(http, settings),
            _ollama(http, settings),
            asyncio.to_thread(cli_status_containers.look, env, problems) if env is not None else _none(),
        )
    services = {
        name: _row(settings, name, rollout.standing(name), live, problems)
        for name, live in zip(SERVICES, told, strict=True)
    }
    problems += [f"{s.name}: {s.problem}" for s in local.snapshot(settings).values() if s.problem]
    counted, over_s = (window or Window(time.monotonic)).recent(_buckets(pages, problems))
    return {
        "services": services,
        "engines": {"ollama": ollama, "vllm": vllm},
        "providers": _providers(dict(zip(SERVICES, told, strict=True)), counted),
        "first_token_over_s": over_s,
        "containers": containers,
        "at_work": at_work(settings),
        "problems": problems,
    }


async def _none() -> dict[str, dict[str, Any]]:
    return {}


def _buckets(pages: Sequence[str | None], problems: list[str]) -> Buckets:
    try:
        return buckets(page for page in pages if page is not None)
    except (ValueError, KeyError) as exc:
        problems.append(f"a service's /metrics cannot be read: {exc!r}")
        return {}


def _providers(told: Mapping[str, Mapping[str, Any] | None], counted: Buckets) -> dict[str, dict[str, Any]]:
    """What the services together say of each provider. `first_token` in seconds; None where nothing was streamed."""
    found: dict[str, dict[str, Any]] = {}
    for service, live in told.items():
        for name, state in (live["providers"] if live else {}).items():
            row = found.setdefault(name, {"in_flight": 0, "queued": 0, "open_for": [], "last_error": None})
            row["in_flight"] += state["in_flight"]
            row["queued"] += state["queued"]
            if state["breaker"] == "open":
                row["open_for"].append(service)
                row["last_error"] = state["last_error"]
    for name, row in found.items():
        edges = counted.get(name, {})
        row["first_token"] = {
            "p50_s": quantile(edges, 0.5),
            "p95_s": quantile(edges, 0.95),
            "streams": int(max(edges.values(), default=0)),
        }
    return found


def _rollout(path: Path, problems: list[str]) -> Rollout:
    try:
        return parse(path.read_text(), where=str(path))
    except FileNotFoundError:
        return Rollout()
    except (OSError, UnicodeDecodeError, RecursionError, RolloutError) as exc:
        problems.append(str(exc))
        return Rollout()


def _row(
    settings: Settings, name: str, standing: Standing, live: Mapping[str, Any] | None, problems: list[str]
) -> dict[str, Any]:
    pin = live["pin"] if live else str(settings.pins[name])
    chain = route(name, "", pin=pin, standing=standing).chain
    provider = chain[0]
    if live:
        open_ = [p for p, state in live["providers"].items() if state["breaker"] == "open"]
        provider = next((p for p in chain if p not in open_), chain[-1])
        problems += [f"{name}: breaker of {p} is open: {live['providers'][p]['last_error']}" for p in open_]
        if live["rollout_problem"]:
            problems.append(f"{name}: {live['rollout_problem']}")
    return {
        "stage": str(standing.stage),
        "share": standing.share,
        "demo": standing.demo,
        "pin": pin,
        "provider": provider,
        "verdict": _outcome(settings.state_dir / "verdicts" / f"{name}.json", problems),
        "fallbacks_5m": live["fallbacks_5m"] if live else None,
        "in_flight": sum(p["in_flight"] for p in live["providers"].values()) if live else None,
        "open_breakers": [p for p, state in live["providers"].items() if state["breaker"] == "open"] if live else [],
        "up": live is not None,
        "url": settings.service_url(name),
    }


def _outcome(path: Path, problems: list[str]) -> str | None:
    try:
        return str(pages.parsed(path.read_text())["outcome"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        problems.append(f"{path} is not a verdict ({exc!r}); run `cutover gate {path.stem}` again")
        return None


async def _get(http: httpx2.AsyncClient, url: str, headers: Mapping[str, str]) -> Any | None:
    try:
        answer = await http.get(url, headers=dict(headers))
        return pages.parsed(answer.content) if answer.status_code == 200 else None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return None


async def _metrics(http: httpx2.AsyncClient, settings: Settings, service: str) -> str | None:
    try:
        answer = await http.get(f"{settings.service_url(service)}/metrics")
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return None
    return answer.text if answer.status_code == 200 else None


async def _service(
    http: httpx2.AsyncClient, settings: Settings, service: str, token: Secret | None, problems: list[str]
) -> Mapping[str, Any] | None:
    """A service's own account; None where it is down, or where something else is on its port, which is a problem."""
    headers = {"Authorization": f"Bearer {token.value}"} if token else {}
    url = f"{settings.service_url(service)}/api/admin/status"
    found = await _get(http, url, headers)
    if found is None or _is_account(found):
        return found
    problems.append(f"{service}: {url} does not answer as the service does; is another program on that port?")
    return None


def _is_account(found: object) -> bool:
    """Whether everything that is read of it is there, in shape."""
    told = pages.table(found)
    providers = pages.table(told.get("providers"))
    fits = isinstance(told.get("pin"), str) and type(told.get("fallbacks_5m")) is int and "rollout_problem" in told
    return fits and all(map(_is_provider, providers.values())) and isinstance(told.get("providers"), dict)


def _is_provider(state: object) -> bool:
    told = pages.table(state)
    counts = all(type(told.get(key)) is int for key in ("in_flight", "queued"))
    return counts and isinstance(told.get("breaker"), str) and "last_error" in told


async def _vllm(http: httpx2.AsyncClient, settings: Settings) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {settings.vllm_api_key.value}"} if settings.vllm_api_key else {}
    version = await _get(http, f"{settings.vllm_url}/version", headers)
    listed = await _get(http, f"{settings.vllm_url}/v1/models", headers)
    names = [name for m in pages.objects(listed, "data") if (name := pages.text(m, "id"))]
    return {
        "up": bool(names),
        "version": pages.text(version, "version") or None,
        "model": names[0] if names else None,
        "url": settings.vllm_url,
    }


async def _ollama(http: httpx2.AsyncClient, settings: Settings) -> dict[str, Any]:
    version = await _get(http, f"{settings.ollama_url}/api/version", {})
    listed = await _get(http, f"{settings.ollama_url}/api/tags", {})
    names = [pages.text(m, "name") for m in pages.objects(listed, "models")]
    return {
        "up": bool(pages.text(version, "version")),
        "version": pages.text(version, "version") or None,
        "model": next((n for n in names if n in _wanted(settings)), None),
        "url": settings.ollama_url,
    }


def _wanted(settings: Settings) -> set[str]:
    wanted = set()
    for alias in settings.aliases.values():
        try:
            wanted.add(model(alias, settings.models_file).names.get("ollama", ""))
        except RegistryError:
            continue
    return wanted
