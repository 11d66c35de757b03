"""What Docker 26.1 said of containers of a compose project, as the SDK's `attrs`; what nobody reads is left out."""

from __future__ import annotations

from typing import Any

STARTED, ENDED = "2026-11-21T16:15:40.123456789Z", "2026-11-21T16:15:38.987654321Z"


def attrs(service: str = "vllm", **state: Any) -> dict[str, Any]:
    """A running, healthy container that has never failed, but for what is given."""
    given: dict[str, Any] = {
        "Status": "running", "OOMKilled": False, "ExitCode": 0, "Error": "", "StartedAt": STARTED,
        "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "healthy", "FailingStreak": 0, "Log": []},
    }  # fmt: skip
    labels = {
        "com.docker.compose.project": "cutover",
        "com.docker.compose.project.config_files": "/srv/cutover/docker-compose-vllm.yml",
        "com.docker.compose.project.environment_file": "/srv/cutover/.env",
        "com.docker.compose.project.working_dir": "/srv/cutover",
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": "1",
    }
    return {
        "Id": f"id-{service}",
        "Name": f"/cutover-{service}-1",
        "RestartCount": 0,
        "Config": {"Image": f"cutover/{service}:1", "Labels": labels, "Env": ["PATH=/bin", "UVICORN_PORT=8502"]},
        "State": given | state,
        "Mounts": [],
    }
