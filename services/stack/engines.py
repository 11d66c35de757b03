"""One engine brought up: given, running already, or installed and started; done when it has generated a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from services.llm.registry import Model, RegistryError, chat_model
from services.settings import Settings
from services.stack import ollama, ready, vllm
from services.stack.errors import StackError
from services.stack.job import Job, Launch
from services.stack.processes import Record
from services.stack.ready import Engine

EngineName = Literal["vllm", "ollama"]
ENGINES: tuple[EngineName, ...] = ("ollama", "vllm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What differs between the engines, seen from here."""

    prepare: Callable[[Job, Model], Launch]
    generates: ready.Check
    version: Callable[[Settings], str]
    url: str
    is_given: bool
    port: int
    start_s: float


def bring_up(job: Job, name: EngineName) -> Engine:
    """The engine, generating. Raises `StackError`, `venvs.InstallError`, `venvs.Cancelled`."""
    served = local_model(job.settings)
    kind = _kind(job.settings, name, served)
    step = f"{name} start"
    record = None if kind.is_given else job.running(name, kind.port, f"CUTOVER_{name.upper()}_PORT")
    if kind.is_given or record:
        job.progress.begin(step, f"asking {kind.url} for a token")
    else:
        launch = kind.prepare(job, served)
        job.progress.begin(step, f"port {launch.port}")
        record = job.start(launch)
    began = time.monotonic()
    if name == "ollama" and record:
        _wait(job, name, ready.ollama_listens(job.settings), record, kind)
        if not ollama.is_made(job, served):
            job.progress.note(step, f"making {served.names['ollama']}")
            ollama.create(job, served)
    _wait(job, name, kind.generates, record, kind)
    engine = Engine(name=name, url=kind.url, version=kind.version(job.settings), model=served.names[name])
    job.progress.end(step, f"{name} {engine.version} generates {engine.model} after {time.monotonic() - began:.0f} s")
    return engine


def local_model(settings: Settings) -> Model:
    """The one model that local engines serve. Raises `StackError` where services want several or an unknown one."""
    aliases = sorted(set(settings.aliases.values()))
    if len(aliases) > 1:
        raise StackError(
            f"services want different models ({', '.join(aliases)}), a local vLLM serves one; "
            "set LLM_MODEL alone, or give VLLM_URL and OLLAMA_URL and start the services yourself"
        )
    try:
        served = chat_model(aliases[0], settings.models_file)
    except RegistryError as exc:
        raise StackError(f"{exc}; set LLM_MODEL to one of these") from exc
    if missing := served.missing(*ENGINES):
        raise StackError(
            f"the model {served.alias!r} has no name for {' and '.join(missing)} in models.toml; "
            "choose another with LLM_MODEL, or start the services yourself"
        )
    return served


def _kind(settings: Settings, name: EngineName, served: Model) -> Kind:
    match name:
        case "vllm":
            return Kind(
                prepare=vllm.prepare,
                generates=ready.vllm_generates(settings, served.names["vllm"]),
                version=ready.vllm_version,
                url=settings.vllm_url,
                is_given=settings.vllm_is_given,
                port=settings.vllm_port,
                start_s=vllm.START_S,
            )
        case "ollama":
            return Kind(
                prepare=ollama.prepare,
                generates=ready.ollama_generates(settings, served.names["ollama"], served.context),
                version=ready.ollama_version,
                url=settings.ollama_url,
                is_given=settings.ollama_is_given,
                port=settings.ollama_port,
                start_s=ollama.START_S,
            )


def _wait(job: Job, name: str, check: ready.Check, record: Record | None, kind: Kind) -> None:
    if record is None:  # somebody else's: it is there now or it is not
        what = f"{name} at {kind.url} (from {name.upper()}_URL; unset it to have Cutover start one)"
        ready.wait(what, check, died=lambda: "", deadline_s=30.0, cancelled=job.cancelled)
        return
    what = f"{name} (pid {record.pid}, log {record.log})"
    ready.wait(what, check, died=lambda: death(job, name, record), deadline_s=kind.start_s, cancelled=job.cancelled)


def death(job: Job, name: str, record: Record | None) -> str:
    """A sentence with the last log lines once the process is gone, else ""."""
    if record and job.processes.running(name) == record:
        return ""
    if record is None:
        return f"{name} ended at once; see {job.settings.home / 'logs' / name}.log"
    return f"{name} died while starting; its log {record.log} ends:\n{job.processes.last_lines(record)}"
