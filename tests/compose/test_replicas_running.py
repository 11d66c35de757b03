"""compose/replicas.yml under a real Docker engine: the real router in its own image, and one of two replicas killed.

The replicas are the fake engine in the router's image, which has all that it imports: this is about names, networks,
users and health of the containers. What the client makes of a killed replica is in tests/engines/test_router.py.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compose.running import AFTER, said
from tests.conftest import REPO

pytestmark = pytest.mark.compose

REPLICAS = {"vllm": "one", "vllm-2": "two"}
ASK = """
import json, urllib.request
body = json.dumps({"model": "m", "messages": []}).encode()
asked = urllib.request.Request("http://router:8000/v1/chat/completions", body, {"Content-Type": "application/json"})
for _ in range(8):
    print(json.load(urllib.request.urlopen(asked, timeout=20))["choices"][0]["message"]["content"].split()[0])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The router and its replicas, up and healthy; nothing else of the stack."""

    project: str
    files: tuple[str, ...]
    env_file: Path

    def __call__(self, *arguments: str, check: bool = True) -> str:
        named = [word for file in self.files for word in ("-f", file)]
        argv = ["docker", "compose", "-p", self.project, "--env-file", str(self.env_file), *named, *arguments]
        return said(argv, check=check)

    def answers(self) -> set[str]:
        """Who answers eight requests to the router, asked from within the network."""
        return set(self("exec", "-T", "router", "python", "-c", ASK).split())


@pytest.fixture(scope="module")
def running(engine: None, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("replicas")
    standins = folder / "standins.yml"
    standins.write_text(json.dumps({"services": {name: _standin(name) for name in REPLICAS}}))
    base = os.environ.get("BASE_IMAGE")
    lines = ["VLLM_DEVICE=cpu", f"CUTOVER_SECRETS={secrets}", *([f"BASE_IMAGE={base}"] if base else [])]
    (folder / ".env").write_text("\n".join(lines) + "\n")
    files = (AFTER, "compose/replicas.yml", str(standins))
    made = Running(project=f"cutover-test-{uuid.uuid4().hex[:8]}", files=files, env_file=folder / ".env")
    try:
        made("build", "router")
        made("up", "--detach", "--wait", "--wait-timeout", "240", "--no-build", "--no-deps", "router", *REPLICAS)
        yield made
    finally:
        made("--profile", "*", "down", "--volumes", "--timeout", "2", check=False)


def _standin(name: str) -> dict[str, object]:
    health = "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"
    return {
        "image": "cutover/router:0.1.17",
        "entrypoint": ["python", "-m", "tests.engines.replica", REPLICAS[name], "8000", "--host=0.0.0.0"],
        "working_dir": "/app",
        "volumes": [f"{REPO / 'tests'}:/app/tests:ro"],
        "healthcheck": {"test": ["CMD", "python", "-c", health], "interval": "2s", "start_period": "60s"},
    }


def test_the_router_shares_out_and_goes_on_with_one(running: Running) -> None:
    """Healthy as soon as one answers, shared out when both do; a killed one takes part again when it is back."""
    assert _until_both(running)

    running("kill", "vllm-2")
    assert running.answers() == {"one"}
    assert running("exec", "-T", "router", "id", "-u").strip() == "10001"

    running("up", "--detach", "--wait", "--wait-timeout", "240", "--no-build", "--no-deps", "router", *REPLICAS)
    assert _until_both(running)


def _until_both(running: Running) -> bool:
    """The router looks every 5 s, and its breaker for a dead one is open for 10 s."""
    return any(running.answers() == {"one", "two"} for _ in range(60))


def test_nobody_outside_reaches_router_or_replicas(running: Running) -> None:
    for line in running("ps", "--format", "json").splitlines():
        found = json.loads(line)
        assert not [p for p in found.get("Publishers") or [] if p["PublishedPort"]], found["Service"]
