"""The containers of our compose project, as Docker tells: who they are, how they are, and where the engine answers.

The only room that knows Docker. An engine that is not there is no error here; one that was named and is silent is.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.stack import compose_env
from services.stack.errors import StackError
from services.stack.memory_container import sockets as usual_sockets

LABEL = "com.docker.compose"
PROJECT_NAME = "cutover"
"""What docker-compose.yml names itself; COMPOSE_PROJECT_NAME, Docker's own variable (`.env`'s too), wins over it."""

LIMIT_S = 4
NEVER = "0001-01-01T00:00:00Z"
"""What Docker writes for a time that has not come."""


class NoEngine(StackError):
    """No Docker engine answers, or the project has no such container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a Docker engine may be, and which project of it is ours. `named`: somebody set DOCKER_HOST."""

    project: str
    environment: Mapping[str, str]
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container at one moment. Times in seconds since 1970; None where there is none."""

    id: str
    name: str
    container: str
    image: str
    status: str
    health: str | None
    restarts: int
    exit_code: int | None
    out_of_memory: bool
    started_at: float | None
    ended_at: float | None
    complaint: str = ""

    @property
    def failed(self) -> bool:
        """Whether it has died of itself, dies again and again, or says that it is ill."""
        return bool(self.exit_code) or self.restarts > 0 or self.status == "restarting" or self.health == "unhealthy"


def place(env: Mapping[str, str], sockets: Callable[[], Sequence[Path]] = usual_sockets) -> Place | None:
    """Where to ask by Docker's own variables, else the first socket that is there; None: no Docker on this machine."""
    project = compose_env.value("COMPOSE_PROJECT_NAME", env) or PROJECT_NAME
    if env.get("DOCKER_HOST", "").strip():
        return Place(project=project, environment=dict(env), named=True)
    found = next((path for path in sockets() if path.is_socket()), None)
    if found is None:
        return None
    return Place(project=project, environment={**env, "DOCKER_HOST": f"unix://{found}"}, named=False)


@contextlib.contextmanager
def engine(where: Place | None, limit_s: float = LIMIT_S) -> Iterator[Any]:
    """The SDK's client. Raises `NoEngine` for what Docker refuses or does not answer, in the block as well.

    The SDK is imported here, because it takes a fifth of a second.
    """
    if where is None:
        raise NoEngine("no Docker on this machine: no socket is there, and DOCKER_HOST names none")
    docker = importlib.import_module("docker")
    host = where.environment["DOCKER_HOST"]
    try:
        client = docker.from_env(environment=dict(where.environment), timeout=limit_s)
        with contextlib.closing(client):
            yield client
    except (docker.errors.DockerException, OSError) as exc:
        raise NoEngine(f"Docker at {host} does not do it: {exc}; does `docker ps` work for you?") from exc


def found(client: Any, project: str) -> list[Any]:
    """The SDK's containers of a project, stopped ones included, without those of `docker compose run`."""
    labels = [f"{LABEL}.project={project}", f"{LABEL}.oneoff=False"]
    listed: list[Any] = client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    return sorted(listed, key=lambda c: name(c.attrs))


def one(client: Any, project: str, service: str) -> Any:
    """The container of one service. Raises `NoEngine`."""
    for container in found(client, project):
        if name(container.attrs) == service:
            return container
    raise NoEngine(
        f"the project {project!r} has no container {service!r}; "
        "`docker compose -f docker-compose-vllm.yml up --detach` makes it"
    )


def name(attrs: Mapping[str, Any]) -> str:
    """Its service, with a number from the second replica on."""
    labels = label_map(attrs)
    service, number = labels.get(f"{LABEL}.service", "?"), labels.get(f"{LABEL}.container-number", "1")
    return service if number == "1" else f"{service}-{number}"


def label_map(attrs: Mapping[str, Any]) -> Mapping[str, str]:
    """What compose wrote on the container."""
    return attrs["Config"].get("Labels") or {}


def read(attrs: Mapping[str, Any]) -> Container:
    """What `docker inspect` says, without what nobody needs. Pure."""
    state = attrs["State"]
    health = state.get("Health") or {}
    alive = state["Status"] in ("running", "paused")
    return Container(
        id=attrs["Id"],
        name=name(attrs),
        container=attrs["Name"].lstrip("/"),
        image=attrs["Config"]["Image"],
        status=state["Status"],
        health=health.get("Status") if health.get("Status") != "none" else None,
        restarts=int(attrs.get("RestartCount") or 0),
        exit_code=None if alive or state["Status"] == "created" else int(state["ExitCode"]),
        out_of_memory=bool(state.get("OOMKilled")),
        started_at=moment(state.get("StartedAt") or NEVER),
        ended_at=moment(state.get("FinishedAt") or NEVER),
        complaint=_complaint(health) if health.get("Status") == "unhealthy" else state.get("Error") or "",
    )


def _complaint(health: Mapping[str, Any]) -> str:
    """What the last health check printed: its last line."""
    log = health.get("Log") or [{}]
    lines = str(log[-1].get("Output") or "").strip().splitlines()
    return lines[-1] if lines else "its health check fails and prints nothing"


def moment(text: str) -> float | None:
    """`2026-11-21T12:00:00.123456789Z` as seconds since 1970; Docker's nanoseconds are cut to Python's microseconds."""
    if text == NEVER:
        return None
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    return datetime.fromisoformat(cut).astimezone(UTC).timestamp()
