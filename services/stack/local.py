"""The stack as processes of this machine, the face of this room: `up`, `down`, one engine, a snapshot, the admin token.

Linux only, because a process is told from a later one with the same pid by /proc.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from services.settings import SERVICES, Secret, Settings
from services.stack import embedder, ready, venvs
from services.stack.engines import ENGINES, EngineName, bring_up, death
from services.stack.errors import StackError
from services.stack.interrupts import held
from services.stack.job import PROJECT, Job, Launch, Progress, Serial
from services.stack.processes import Processes, ProcessState
from services.stack.ready import Engine

__all__ = [
    "ENGINES",
    "Engine",
    "EngineName",
    "ProcessState",
    "Progress",
    "StackError",
    "admin_token",
    "down",
    "snapshot",
    "start_engine",
    "stop_engine",
    "up",
]

MONITOR = "monitor"
READY_S = 180.0
LOOK_S = 0.2
TAKE_BACK_S = 2.0
"""What nobody uses yet need not be stopped politely; a vLLM that loads does not listen to SIGTERM at all."""


def up(settings: Settings, progress: Progress, *, env: Mapping[str, str], services: Sequence[str] = SERVICES) -> None:
    """Install what is missing, start both engines at once, wait until each generates, then start the services.

    The files of EMBED_MODEL come first, where services are to start: a download fails early, engines take minutes.
    With all services also the exporter of stages, verdicts and engines (`services.monitor`).
    What runs already is kept. On an error or an interrupt everything started by this call is stopped, nothing else.
    `env` is what the children get, with the resolved settings over it.
    """
    unknown = [name for name in services if name not in SERVICES]
    if unknown:
        raise StackError(f"no service {', '.join(map(repr, unknown))}; known: {', '.join(SERVICES)}")
    with work(settings, progress, env) as job:
        if services:
            embedder.provide(job)
        _engines(job)
        _services(job, services)


def start_engine(settings: Settings, name: EngineName, progress: Progress, *, env: Mapping[str, str]) -> Engine:
    """Bring one engine up, as `up` does. An engine that runs already is asked for a token and kept."""
    with work(settings, progress, env) as job:
        return bring_up(job, name)


def stop_engine(settings: Settings, name: EngineName, progress: Progress) -> bool:
    """Stop an engine that Cutover started. False: it is already stopped."""
    with _alone(settings):
        return _stop(Processes(home=settings.home), name, progress)


def down(settings: Settings, progress: Progress) -> list[str]:
    """Stop exactly what `up` started, services first. The names of those that were still running."""
    processes, problems, stopped = Processes(home=settings.home), [], []
    with _alone(settings):
        for name in sorted(processes.states(), key=lambda n: (n in ENGINES, n)):
            try:
                if _stop(processes, name, progress):
                    stopped.append(name)
            except StackError as exc:
                problems.append(str(exc))
    if problems:
        raise StackError("\n".join(problems))
    return stopped


def snapshot(settings: Settings) -> dict[str, ProcessState]:
    """Every process that `up` started and nobody stopped, by name, from the records alone."""
    return Processes(home=settings.home).states()


def admin_token(settings: Settings) -> Secret | None:
    """The token of /api/admin: the one given, else the one that `up` made for this CUTOVER_HOME."""
    if settings.admin_token:
        return settings.admin_token
    try:
        text = (settings.home / "admin-token").read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise StackError(f"cannot read {exc.filename}: {exc.strerror}; set ADMIN_TOKEN") from exc
    return Secret(text) if text else None


@contextlib.contextmanager
def work(settings: Settings, progress: Progress, env: Mapping[str, str]) -> Iterator[Job]:
    """A job that is alone in its CUTOVER_HOME, and taken back whole when the block fails or is interrupted."""
    with _alone(settings), held() as cancelled:
        job = Job(
            settings=settings,
            env=env,
            progress=Serial(progress),
            processes=Processes(home=settings.home),
            cancelled=cancelled,
            started=[],
        )
        try:
            yield job
        except BaseException as exc:
            _take_back(job)
            if isinstance(exc, venvs.InstallError):
                raise StackError(str(exc)) from exc
            raise


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    file = settings.home / "run" / "stack.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("a+")
    except OSError as exc:
        raise StackError(f"cannot write {file}: {exc.strerror}; set CUTOVER_HOME to a folder of yours") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"another cutover command (pid {lock.read().strip()}) starts or stops things in {settings.home}; "
                "wait for it, or end it with Ctrl-C"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _engines(job: Job) -> None:
    """Both at the same time: one downloads while the other loads."""
    with ThreadPoolExecutor(len(ENGINES), thread_name_prefix="engine") as pool:
        lanes = {pool.submit(bring_up, job, name) for name in ENGINES}
        try:
            _watch(job, lanes)
        except BaseException:
            job.cancelled.set()
            _take_back(job)  # also ends their open requests, so that the lanes come back at once
            raise


def _watch(job: Job, lanes: set[Future[Engine]]) -> None:
    while lanes:
        done, lanes = wait(lanes, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        for lane in done:
            lane.result()
        if job.cancelled.is_set():
            raise venvs.Cancelled("up")


def _take_back(job: Job) -> None:
    while job.started:
        name = job.started.pop()
        job.progress.begin(f"{name} stop", "taking back what this command started")
        job.processes.stop(name, TAKE_BACK_S)
        job.progress.end(f"{name} stop")


def _services(job: Job, names: Sequence[str]) -> None:
    env = service_env(job)
    for name in names:
        if not job.running(name, job.settings.ports[name], f"CUTOVER_{name.upper()}_PORT"):
            job.start(service_launch(job.settings, name, env))
    if set(names) == set(SERVICES) and not job.running(MONITOR, job.settings.monitor_port, "CUTOVER_MONITOR_PORT"):
        job.start(_monitor_launch(job.settings, env))
    for name in names:
        url = job.settings.service_url(name)
        _wait_for(job, name, url, ready.service_is_ready(url))
    if set(names) == set(SERVICES):
        url = f"http://{job.settings.bind}:{job.settings.monitor_port}/metrics"
        _wait_for(job, MONITOR, url, ready.answers(url))


def _wait_for(job: Job, name: str, url: str, check: ready.Check) -> None:
    step = f"{name} start"
    record = job.processes.running(name)
    job.progress.begin(step, url)
    ready.wait(
        f"{name} at {url} (log {job.settings.home / 'logs' / name}.log)",
        check,
        died=lambda: death(job, name, record),
        deadline_s=READY_S,
        cancelled=job.cancelled,
    )
    job.progress.end(step, f"{name} is ready at {url}")


def service_launch(settings: Settings, name: str, env: Mapping[str, str]) -> Launch:
    """How a service is started on its port of `settings`."""
    argv = [sys.executable, "-P", "-m", "uvicorn", f"services.{name}.app:create", "--factory"]
    argv += ["--app-dir", str(PROJECT), "--host", settings.bind, "--port", str(settings.ports[name])]
    argv += ["--no-access-log", "--timeout-graceful-shutdown", "5"]
    return Launch(
        name=name, argv=tuple(argv), env=env, port=settings.ports[name], port_variable=f"CUTOVER_{name.upper()}_PORT"
    )


def _monitor_launch(settings: Settings, env: Mapping[str, str]) -> Launch:
    """How the exporter is started, which shows stages, verdicts and engines to Prometheus."""
    argv = (sys.executable, "-P", "-m", "services.monitor")
    port = settings.monitor_port
    return Launch(name=MONITOR, argv=argv, env=env, port=port, port_variable="CUTOVER_MONITOR_PORT")


def service_env(job: Job) -> dict[str, str]:
    """What a service gets: the caller's environment, the resolved settings over it."""
    settings = job.settings
    env = {
        **job.env,
        "CUTOVER_HOME": str(settings.home),
        "CUTOVER_STATE_DIR": str(settings.state_dir),
        "CUTOVER_ENGINES_DIR": str(settings.engines_dir),
        "VLLM_URL": settings.vllm_url,
        "OLLAMA_URL": settings.ollama_url,
        "ADMIN_TOKEN": _make_admin_token(settings).value,
        "ADMIN_TOKEN_FILE": "",  # read already; a secret that is given twice is refused
    }
    key = settings.vllm_api_key
    return {**env, "VLLM_API_KEY": key.value, "VLLM_API_KEY_FILE": ""} if key else env


def _make_admin_token(settings: Settings) -> Secret:
    found = admin_token(settings)
    if found:
        return found
    token, file = secrets.token_urlsafe(32), settings.home / "admin-token"
    aside = file.with_name("admin-token.aside")
    try:
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(f"{token}\n")
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(file)
    except OSError as exc:
        raise StackError(f"cannot write {file}: {exc.strerror}; set ADMIN_TOKEN yourself") from exc
    return Secret(token)


def _stop(processes: Processes, name: str, progress: Progress) -> bool:
    step = f"{name} stop"
    progress.begin(step)
    was_running = processes.stop(name)
    progress.end(step, "" if was_running else "already stopped")
    return was_running
