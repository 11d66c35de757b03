"""A container's memory by Docker's own statistics, counted as `docker stats` counts it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.stack.memory_readings import Quantity, Reading

LIMIT_S = 10
SOURCE = "Docker's container stats, usage without inactive_file"


def sockets() -> Sequence[Path]:
    """Where Docker listens: the system's daemon, or this user's own."""
    return (Path("/var/run/docker.sock"), Path(f"/run/user/{os.getuid()}/docker.sock"))


def _docker() -> Any:
    """The SDK; imported when a socket is there, because it takes a fifth of a second."""
    return importlib.import_module("docker")


@dataclass(slots=True, kw_only=True)
class Containers:
    """The containers of this machine's Docker, if it has one."""

    load: Callable[[], Any] = field(default=_docker)
    sockets: Callable[[], Sequence[Path]] = field(default=sockets)

    def read(self, engine: str, port: int, at: float) -> Reading:
        """The memory of the container that publishes the port."""
        count, source, unknown = self._read(port)
        return Reading(
            engine=engine, quantity=Quantity.CONTAINER, at_s=at, source=source or SOURCE, bytes=count, unknown=unknown
        )

    def _read(self, port: int) -> tuple[int | None, str, str]:
        place = next((path for path in self.sockets() if path.is_socket()), None)
        if place is None:
            return None, "", "no Docker socket on this machine"
        try:
            docker = self.load()
        except ImportError:
            return None, "", "the package docker is not installed"
        try:
            client = docker.DockerClient(base_url=f"unix://{place}", timeout=LIMIT_S)
            try:
                found = next((c for c in client.containers.list() if publishes(c.ports, port)), None)
                stats = found.stats(stream=False) if found else {}
            finally:
                client.close()
        except (docker.errors.DockerException, OSError) as exc:
            return None, "", f"Docker at {place} does not tell: {exc}"
        if found is None:
            return None, "", f"no container publishes port {port}"
        count = in_use(stats.get("memory_stats") or {})
        return count, f"{SOURCE}, container {found.name}", "" if count is not None else "Docker tells no memory usage"


def publishes(ports: Mapping[str, Sequence[Mapping[str, str]] | None], port: int) -> bool:
    """Whether a container's port table, as the SDK gives it, maps something to the host's `port`."""
    return any(bound.get("HostPort") == str(port) for binds in ports.values() for bound in binds or ())


def in_use(stats: Mapping[str, Any]) -> int | None:
    """Usage without the page cache that the kernel would give back first.

    As docker/cli computes it (`calculateMemUsageUnixNoCache` in cli/command/container/stats_helpers.go, v20.10.5):
    `total_inactive_file` under cgroup v1, `inactive_file` under v2, each only if smaller than the usage.
    """
    usage, parts = stats.get("usage"), stats.get("stats") or {}
    if not isinstance(usage, int):
        return None
    for key in ("total_inactive_file", "inactive_file"):
        if key in parts:
            return int(usage - parts[key]) if parts[key] < usage else usage
    return usage
