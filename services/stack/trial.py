"""Engines and service instances for one experiment, beside the stack that runs and without touching it.

Each contender has an instance of the service of its own that can reach one engine only: what it answers is that
engine's answer, and no other engine gets load meanwhile. All of it ends with the block, by its process group.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.llm.registry import Model
from services.settings import SERVICES, Settings
from services.stack import headroom, ollama, ready
from services.stack.engines import EngineName, death, local_model
from services.stack.errors import StackError
from services.stack.interrupts import held, raised
from services.stack.job import Job, Progress
from services.stack.local import READY_S, service_env, service_launch, work
from services.stack.processes import Processes, Record

PREFIX = "trial-"
NOBODY = "http://127.0.0.1:9"
"""A port on which nothing listens (discard): the engine that a trial instance must not reach."""

ON_GPU = 0.99
"""A share of the model on the GPU that counts as all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One contender: its engine, and the instance of the service that asks it alone.

    `parallel` is OLLAMA_NUM_PARALLEL, None for vLLM; `process` names the engine's process record, "" where it is not
    one that Cutover started.
    """

    name: str
    engine: EngineName
    engine_url: str
    service_url: str
    parallel: int | None = None
    process: str = ""


@contextlib.contextmanager
def trials(
    settings: Settings, service: str, progress: Progress, *, env: Mapping[str, str], parallel: Sequence[int],
    given: Mapping[int, str],
) -> Iterator[tuple[Trial, ...]]:  # fmt: skip
    """vLLM as it runs, and an Ollama for each setting of `parallel`: the one in `given`, else one started for this.

    Whatever was started is stopped when the block ends, is interrupted or fails. Raises `StackError`.
    """
    processes, homes = Processes(home=settings.home), settings.home / "trials"
    with raised():
        try:
            with work(settings, progress, env) as job:
                _stop(processes)  # what a sweep that was killed has left
                found = _begun(job, service, parallel, given, homes)
            yield found
        finally:
            with held():
                _stop(processes)
                shutil.rmtree(homes, ignore_errors=True)


def _stop(processes: Processes) -> None:
    """End every trial process, the services first; one that will not end does not keep the others."""
    problems = []
    for name in sorted(n for n in processes.states() if n.startswith(PREFIX)):
        try:
            processes.stop(name, grace_s=5.0)
        except StackError as exc:
            problems.append(str(exc))
    if problems:
        raise StackError("\n".join(problems))


def _begun(job: Job, service: str, parallel: Sequence[int], given: Mapping[int, str], homes: Path) -> tuple[Trial, ...]:
    settings, model = job.settings, local_model(job.settings)
    own = [n for n in parallel if n not in given]
    one = _room_for(settings, model, own, services=len(parallel) + 1) if own else None
    contenders = [Trial(name="vllm", engine="vllm", engine_url=settings.vllm_url, service_url="")]
    for n in parallel:
        name = f"ollama-{n}"
        url = given.get(n) or _ollama(job, model, n, one)
        process = "" if n in given else f"{PREFIX}{name}"
        contenders.append(
            Trial(name=name, engine="ollama", engine_url=url, service_url="", parallel=n, process=process)
        )
    return tuple(_instance(job, service, c, homes / c.name) for c in contenders)


def _room_for(settings: Settings, model: Model, own: Sequence[int], *, services: int) -> headroom.Loaded:
    if settings.ollama_is_given:
        raise StackError(
            "OLLAMA_URL names an Ollama that Cutover did not start, so it starts no trial ones beside it; start one "
            f"for each NUM_PARALLEL ({', '.join(map(str, own))}) and name them with `--ollama N=URL`"
        )
    one = headroom.loaded(settings.ollama_url, model.names["ollama"])
    headroom.enough(one, own, services=services, free=headroom.free_bytes())
    return one


def _ollama(job: Job, model: Model, parallel: int, one: headroom.Loaded | None) -> str:
    """A trial Ollama with its model loaded; same program, models and template as the one that runs."""
    name, port = f"{PREFIX}ollama-{parallel}", free_port()
    url = f"http://127.0.0.1:{port}"
    job = replace(job, settings=replace(job.settings, ollama_port=port, ollama_url=url))
    launch = ollama.prepared(job, model, name=name, parallel=parallel)
    job.progress.begin(name, url)
    record = job.start(replace(launch, env={**launch.env, "OLLAMA_NOPRUNE": "true"}))  # the models are not its own
    _wait(job, name, ready.ollama_listens(job.settings), record, ollama.START_S)
    if not ollama.is_made(job, model):
        ollama.create(job, model)
    check = ready.ollama_generates(job.settings, model.names["ollama"], model.context)
    _wait(job, name, check, record, ollama.START_S)
    _not_spilled(url, model, parallel, one)
    job.progress.end(name, f"generates with NUM_PARALLEL={parallel}")
    return url


def _not_spilled(url: str, model: Model, parallel: int, one: headroom.Loaded | None) -> None:
    """Ollama moves layers to the CPU in silence where the GPU is full; that would be another engine."""
    if one is None or one.share_on_gpu < ON_GPU:
        return
    found = headroom.loaded(url, model.names["ollama"])
    if found.share_on_gpu < ON_GPU:
        raise StackError(
            f"with NUM_PARALLEL={parallel} only {found.share_on_gpu:.0%} of the model fit on the GPU beside what runs, "
            "so it would not be measured fairly; try a smaller one with `--parallel`, or name one elsewhere with "
            "`--ollama N=URL`"
        )


def _instance(job: Job, service: str, contender: Trial, home: Path) -> Trial:
    """The contender with its own instance of the service, which works on a copy of the service's data."""
    copy = home / "data" / f"{service}.db"
    _copy(_file_of(job.settings, service), copy, service)
    port, name = free_port(), f"{PREFIX}{service}-{contender.name}"
    ports = {**job.settings.ports, service: port}
    settings = replace(job.settings, ports=ports, given_urls=dict.fromkeys(SERVICES, ""))
    urls = {"VLLM_URL": NOBODY, "OLLAMA_URL": NOBODY, f"{contender.engine.upper()}_URL": contender.engine_url}
    own = {
        "CUTOVER_HOME": str(home),
        "CUTOVER_STATE_DIR": str(home / "state"),
        f"{service.upper()}_LLM_PROVIDER": contender.engine,
        f"{service.upper()}_LLM_LAST_RESORT": "none",
        f"CUTOVER_{service.upper()}_PORT": str(port),
        f"{service.upper()}_STORE_URL": f"sqlite:///{copy}",
        f"{service.upper()}_STORE_URL_FILE": "",
    }
    url = settings.service_url(service)
    job.progress.begin(name, url)
    record = job.start(replace(service_launch(settings, service, {**service_env(job), **urls, **own}), name=name))
    _wait(job, name, ready.service_is_ready(url), record, READY_S)
    job.progress.end(name, f"asks {contender.name} alone")
    return replace(contender, service_url=url)


def _file_of(settings: Settings, service: str) -> Path:
    """The file that a trial copies. Raises `StackError` where the data is in a server that it would have to share."""
    found = settings.stores.file(service)
    if found is None:
        raise StackError(
            f"{service} keeps its data in PostgreSQL, and a trial works on a copy of a SQLite file; "
            f"unset {service.upper()}_STORE_URL for a trial on data of its own"
        )
    return found


def _copy(source: Path, target: Path, service: str) -> None:
    """A copy of a SQLite file that others may be writing to, so that the trial neither changes nor locks it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        raise StackError(f"{service} has no data at {source}; bring it up first with `cutover up`")
    try:
        old = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
        with contextlib.closing(old), contextlib.closing(sqlite3.connect(target)) as new:
            old.backup(new)
    except sqlite3.Error as exc:
        raise StackError(f"cannot copy {source} to {target}: {exc}; is the disk full?") from exc


def _wait(job: Job, name: str, check: ready.Check, record: Record, deadline_s: float) -> None:
    what = f"{name} (pid {record.pid}, log {record.log})"
    ready.wait(what, check, died=lambda: death(job, name, record), deadline_s=deadline_s, cancelled=job.cancelled)


def free_port() -> int:
    """A port that nobody listens on now; whoever takes it meanwhile is named when the process is started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
