"""Ready means that the engine has generated a token, not that a port is open. Also who it is: version and model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import httpx2

from services.settings import Settings
from services.stack.errors import StackError
from services.stack.venvs import Cancelled

POLL_S = 0.5
CONNECT_S = 2.0
GENERATE_S = 30.0
"""How long one try may take. A first token on two busy cores takes seconds; a try that ended early is made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that generates."""

    name: str
    url: str
    version: str
    model: str


class Check(Protocol):
    """One try. Returns "" when ready, else why not yet; raises `StackError` when waiting cannot help."""

    def __call__(self, client: httpx2.Client) -> str: ...


def wait(
    what: str,
    check: Check,
    *,
    died: Callable[[], str],
    deadline_s: float,
    cancelled: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Poll `check` until it is content. Fails at once with the last log lines when `died` says so."""
    end, why = clock() + deadline_s, "not asked yet"
    with client() as http:
        while True:
            if last := died():
                raise StackError(last)
            try:
                why = check(http)
            except httpx2.HTTPError as exc:
                why = f"{type(exc).__name__}: {exc}"
            if not why:
                return
            if clock() > end:
                raise StackError(f"{what} did not become ready in {deadline_s:.0f} s: {why}")
            if cancelled.wait(POLL_S):
                raise Cancelled(what)


def client() -> httpx2.Client:
    """A client for local engines: no proxy from the environment, explicit time limits."""
    return httpx2.Client(trust_env=False, timeout=httpx2.Timeout(GENERATE_S, connect=CONNECT_S))


def vllm_generates(settings: Settings, model: str) -> Check:
    """One token by vLLM's chat endpoint."""
    body = {"model": model, "max_tokens": 1, "temperature": 0, "messages": [{"role": "user", "content": "Hi"}]}
    url = f"{settings.vllm_url}/v1/chat/completions"
    return lambda http: _verdict(
        http.post(url, json=body, headers=_bearer(settings)), lambda a: a["usage"]["completion_tokens"], "VLLM_URL"
    )


def ollama_generates(settings: Settings, model: str, context: int) -> Check:
    """One token by Ollama's chat endpoint, in the window that services ask for: another one reloads the model."""
    body = {
        "model": model,
        "stream": False,
        "messages": [{"role": "user", "content": "Hi"}],
        "options": {"num_predict": 1, "num_ctx": context, "temperature": 0},
    }
    url = f"{settings.ollama_url}/api/chat"
    return lambda http: _verdict(http.post(url, json=body), lambda a: a["eval_count"], "OLLAMA_URL")


def ollama_listens(settings: Settings) -> Check:
    """Ollama answers, with or without a model."""
    return lambda http: _status(http.get(f"{settings.ollama_url}/api/version"))


def service_is_ready(url: str) -> Check:
    """A service says that it can serve."""
    return lambda http: _status(http.get(f"{url}/readyz"))


def answers(url: str) -> Check:
    """A page is there."""
    return lambda http: _status(http.get(url))


def vllm_version(settings: Settings) -> str:
    return _version(f"{settings.vllm_url}/version", _bearer(settings))


def ollama_version(settings: Settings) -> str:
    return _version(f"{settings.ollama_url}/api/version", {})


def _version(url: str, headers: dict[str, str]) -> str:
    with client() as http:
        try:
            return str(http.get(url, headers=headers).json()["version"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return "unknown"  # told for information only; it has generated already


def _bearer(settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.vllm_api_key.value}"} if settings.vllm_api_key else {}


def _status(answer: httpx2.Response) -> str:
    return "" if answer.status_code == httpx2.codes.OK else _said(answer)


def _verdict(answer: httpx2.Response, tokens: Callable[[dict[str, dict[str, int]]], object], variable: str) -> str:
    match answer.status_code:
        case 200:
            return "" if tokens(answer.json()) == 1 else f"no token in {answer.text[:200]!r}"
        case 401 | 403 | 404 as code:
            raise StackError(
                f"{answer.url} answers {code}: {answer.text[:300]}. That engine has another model or key: "
                f"`cutover down` and again if Cutover started it, else correct {variable}, VLLM_API_KEY or LLM_MODEL"
            )
        case _:
            return _said(answer)


def _said(answer: httpx2.Response) -> str:
    return f"{answer.url} answers {answer.status_code}: {answer.text[:300]}"
