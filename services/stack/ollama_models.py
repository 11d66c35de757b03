"""Gives a running Ollama the models that the services ask for: made from our file, or pulled. No engine starts here."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

import httpx2

from services.llm.registry import Model, RegistryError, chat_model
from services.settings import Settings
from services.stack import ollama, ready
from services.stack.errors import StackError
from services.stack.job import Job, Progress
from services.stack.processes import Processes

STEP = "ollama models"
PULL_READ_S = 300.0
"""Seconds without a word from Ollama while it pulls; it says how far it is several times a second."""

NEXT = (
    "its container needs the network for that (CUTOVER_OFFLINE=false), and the name must be one of ollama.com/library"
)


def provide(settings: Settings, progress: Progress, *, env: Mapping[str, str]) -> list[str]:
    """Every model of the services, ready in the Ollama at OLLAMA_URL. Gives their names there. Raises `StackError`."""
    job = Job(
        settings=settings,
        env=env,
        progress=progress,
        processes=Processes(home=settings.home),
        cancelled=threading.Event(),
        started=[],
    )
    return [_provide(job, alias) for alias in sorted(set(settings.aliases.values()))]


def _provide(job: Job, alias: str) -> str:
    try:
        served = chat_model(alias, job.settings.models_file)
    except RegistryError as exc:
        raise StackError(f"{exc}; set LLM_MODEL to one of these") from exc
    if served.missing("ollama"):
        raise StackError(f"the model {alias!r} has no name for ollama in models.toml; choose another with LLM_MODEL")
    name = served.names["ollama"]
    job.progress.begin(STEP, name)
    if served.source is None:
        _pull(job, name)
    elif not ollama.is_made(job, served):
        ollama.create(job, served)
    _generates(job, served)
    job.progress.end(STEP, f"{name} is there")
    return name


def _pull(job: Job, name: str) -> None:
    """Does nothing that costs anything where the model is there already."""
    url, order = f"{job.settings.ollama_url}/api/pull", {"model": name, "stream": True}
    limits = httpx2.Timeout(PULL_READ_S, connect=ready.CONNECT_S)
    try:
        with (
            httpx2.Client(trust_env=False, timeout=limits) as http,
            http.stream("POST", url, json=order) as answer,
        ):
            last = ""
            for line in answer.iter_lines():
                said = json.loads(line) if line else {}
                if "error" in said:
                    raise StackError(f"Ollama cannot pull {name}: {said['error']}; {NEXT}")
                if said.get("status", last) != last:
                    last = said["status"]
                    job.progress.note(STEP, f"{name}: {last}")
            if last != "success":
                raise StackError(f"Ollama ended the pull of {name} with {last!r}; {NEXT}")
    except (httpx2.HTTPError, ValueError) as exc:
        raise StackError(f"Ollama went away while pulling {name}: {exc} ({url}); {NEXT}") from exc


def _generates(job: Job, served: Model) -> None:
    """Loads it, so that the first request does not wait for that."""
    ready.wait(
        f"{served.names['ollama']} at {job.settings.ollama_url}",
        ready.ollama_generates(job.settings, served.names["ollama"], served.context),
        died=lambda: "",
        deadline_s=ollama.START_S,
        cancelled=job.cancelled,
    )
