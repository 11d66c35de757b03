"""`docker compose` with settings of a test's own: what is asked, what it said, and what the services answer."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from services import settings as settings_room
from services.settings import Settings
from tests.conftest import REPO

BEFORE, AFTER = "docker-compose.yml", "docker-compose-vllm.yml"
ASKED: Mapping[str, tuple[str, dict[str, object]]] = {
    "rag": ("/v1/ask", {"question": "Where does the tape library stand?", "max_tokens": 16}),
    "notes": ("/v1/summarize", {"text": "Backups run at 02:10 to the tape library in Bergen.", "max_tokens": 16}),
    "ner": ("/v1/extract", {"text": "Ingrid Solheim works for Haldorsen in Bergen."}),
}
DOCUMENT = "Backups of the mail server run at 02:10 to the tape library in Bergen. Ingrid checks them on Mondays."
QUIET_S = 600


def clean_environment() -> dict[str, str]:
    """This environment without any of Cutover's settings: what a test sets is in its own .env file."""
    ours = {v.name for v in settings_room.VARIABLES}
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("COMPOSE_")}
    return {name: value for name, value in kept.items() if not name.startswith("CUTOVER_VLLM_")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """One stack: its file, its project's name, its .env."""

    file: str
    project: str
    env_file: Path

    def __call__(self, *arguments: str, limit_s: float = QUIET_S, check: bool = True) -> str:
        """Standard output of one `docker compose` command. A failure shows what it said."""
        argv = ["docker", "compose", "-p", self.project, "--env-file", str(self.env_file), "-f", self.file, *arguments]
        return said(argv, limit_s=limit_s, check=check)

    def set(self, **values: str) -> None:
        """Write lines of .env; others stay."""
        lines = self.env_file.read_text().splitlines() if self.env_file.exists() else []
        known = dict(line.split("=", 1) for line in lines)
        self.env_file.write_text("".join(f"{n}={v}\n" for n, v in (known | values).items()))

    def config(self, *profiles: str) -> dict[str, Any]:
        """The whole model, as Docker understands it."""
        named = [word for profile in profiles for word in ("--profile", profile)]
        found: dict[str, Any] = json.loads(self(*named, "config", "--format", "json"))
        return found

    def containers(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """What Docker knows of each container of this stack, by its service."""
        ids = self("ps", "--all", "--quiet", *arguments).split()
        inspected = json.loads(said(["docker", "inspect", *ids])) if ids else []
        return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in inspected}

    def settings(self) -> Settings:
        """Where the services answer on this machine."""
        lines = dict(line.split("=", 1) for line in self.env_file.read_text().splitlines())
        return settings_room.load({n: v for n, v in lines.items() if n.startswith("CUTOVER_") and n.endswith("_PORT")})

    def provider(self, service: str) -> str:
        """Ask a service its question; who answered."""
        path, body = ASKED[service]
        if service == "rag":  # without a document it asks no engine
            self.post("rag", "/v1/documents", {"title": "Backups", "text": DOCUMENT})
        answer = self.post(service, path, body)
        return str(answer.json()["llm"]["provider"])

    def post(self, service: str, path: str, body: Mapping[str, object]) -> httpx2.Response:
        """An answer that is none of an error."""
        answer = httpx2.post(f"{self.settings().service_url(service)}{path}", json=body, timeout=150, trust_env=False)
        assert answer.status_code in (200, 201), answer.text
        return answer


def said(argv: Sequence[str], *, limit_s: float = QUIET_S, check: bool = True) -> str:
    """Standard output of a command that ends by itself."""
    done = subprocess.run(
        argv, cwd=REPO, env=clean_environment(), capture_output=True, text=True, timeout=limit_s, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    return done.stdout
