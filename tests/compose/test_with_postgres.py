"""The profile `postgres`: the services keep their rows in a real PostgreSQL with pgvector, and outlive its restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.compose.conftest import UP_S
from tests.compose.running import DOCUMENT, Compose
from tests.compose.test_stack import until

pytestmark = pytest.mark.compose

SAVED = {"rag": ("/v1/documents", "document"), "notes": ("/v1/notes", "note")}


@pytest.fixture
def kept_in_postgres(stack: Compose, secrets: Path) -> Iterator[Compose]:
    """The shared stack with its rows in PostgreSQL; in their files again afterwards."""
    password = (secrets / "postgres_password").read_text().strip()
    (secrets / "store_url").write_text(f"postgresql://cutover:{password}@postgres/cutover")
    (secrets / "store_url").chmod(0o644)
    stack.set(COMPOSE_PROFILES="postgres", STORE_URL_FILE=str(secrets / "store_url"))
    try:
        stack("up", "--detach", "--wait", "--wait-timeout", str(UP_S), limit_s=UP_S + 60)
        yield stack
    finally:
        stack("--profile", "postgres", "rm", "--stop", "--force", "postgres", check=False)
        stack.set(COMPOSE_PROFILES="", STORE_URL_FILE="")
        stack("up", "--detach", "--wait", "--wait-timeout", str(UP_S), limit_s=UP_S + 60)


def rows(stack: Compose, service: str, table: str) -> int:
    """What the database itself has of one table of a service."""
    asked = f"SELECT count(*) FROM {service}.{table}"
    return int(stack("exec", "-T", "postgres", "psql", "-U", "cutover", "--no-align", "--tuples-only", "-c", asked))


def test_rows_are_in_postgres_and_outlive_its_restart(kept_in_postgres: Compose) -> None:
    stack = kept_in_postgres
    saved = {
        service: str(stack.post(service, path, {"title": "Kept", "text": DOCUMENT}).headers["Location"])
        for service, (path, _) in SAVED.items()
    }
    assert {service: rows(stack, service, table) for service, (_, table) in SAVED.items()} == {"rag": 1, "notes": 1}

    readyz = httpx2.get(f"{stack.settings().service_url('rag')}/readyz", trust_env=False, timeout=30)
    assert "shared_buffers 1GB" in readyz.text

    stack("restart", "postgres")

    for service, where in saved.items():
        url = f"{stack.settings().service_url(service)}{where}"
        until(lambda url=url: httpx2.get(url, trust_env=False, timeout=30).status_code == 200, f"{service} has it", 300)
    assert "Bergen" in stack.post("rag", "/v1/search", {"query": "tape library"}).text
    published = stack.containers()["postgres"]["NetworkSettings"]["Ports"]
    assert not any(published.values()), "nobody outside reaches it"
