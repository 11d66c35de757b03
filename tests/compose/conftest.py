"""A Docker engine that answers, the images built once, and one stack that all tests of this folder share."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import settings as settings_room
from services.llm.registry import model
from tests.compose import images
from tests.compose.running import AFTER, Compose, clean_environment, said
from tests.conftest import free_ports

UP_S = 900
PORTS = ("RAG", "NOTES", "NER", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")


def absent(why: str) -> None:
    """No Docker: a skip on somebody's laptop, a failure where `.ci/run` has promised one."""
    if os.environ.get("CUTOVER_REQUIRE_DOCKER") == "1":
        pytest.fail(f"{why}, and CUTOVER_REQUIRE_DOCKER=1", pytrace=False)
    pytest.skip(why)


def answers(*argv: str) -> bool:
    try:
        done = subprocess.run(argv, env=clean_environment(), capture_output=True, timeout=60, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@pytest.fixture(scope="session")
def compose_command() -> None:
    """`docker compose` is there; no engine is asked."""
    if not answers("docker", "compose", "version"):
        absent("no `docker compose` here: install Docker Engine with its compose plugin")


@pytest.fixture(scope="session")
def engine(compose_command: None) -> None:
    """A Docker engine that answers, here or at DOCKER_HOST."""
    if not answers("docker", "info"):
        absent("no Docker engine answers: start one, or set DOCKER_HOST")


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as docs/COMPOSE.md makes them: in a folder of the owner's, each readable by the container's user."""
    folder = tmp_path_factory.mktemp("secrets")
    for name in ("admin_token", "vllm_api_key", "grafana_password", "postgres_password"):
        (folder / name).write_text(f"{uuid.uuid4().hex}\n")
        (folder / name).chmod(0o644)
    return folder


@pytest.fixture(scope="package")
def stack(
    engine: None,
    child_env: dict[str, str],
    secrets: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd_disabled: images.Say,
) -> Iterator[Compose]:
    """The stack after, up and healthy on CPU with every service on vLLM; gone with all its volumes afterwards.

    Of this folder's tests and no longer: an idle vLLM would slow everything that is timed after them.
    """
    built = images.build(child_env, tmp_path_factory.mktemp("images"), capfd_disabled)
    compose = Compose(
        file=AFTER, project=f"cutover-test-{uuid.uuid4().hex[:8]}", env_file=tmp_path_factory.mktemp("env") / ".env"
    )
    ports = dict(zip((f"CUTOVER_{name}_PORT" for name in PORTS), map(str, free_ports(len(PORTS))), strict=True))
    compose.set(**_small(child_env), **built, **ports, CUTOVER_SECRETS=str(secrets), LLM_PROVIDER="vllm")
    try:
        began = time.monotonic()
        up(compose)
        capfd_disabled(f"compose up --wait: {time.monotonic() - began:.0f} s")
        yield compose
    finally:
        compose("--profile", "*", "down", "--volumes", "--timeout", "5", check=False)
        said(["docker", "rmi", images.NEWER], check=False)


def up(compose: Compose) -> None:
    """Where it fails, the end of every log says more than compose does."""
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", str(UP_S), limit_s=UP_S + 60)
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{compose('ps', '--all')}\n{compose('logs', '--tail', '15')}") from exc


def _small(child_env: dict[str, str]) -> dict[str, str]:
    """One small model for both engines, from files of this machine, and the engines cut off from everything else."""
    settings = settings_room.load(child_env)
    served = model(settings.aliases["notes"])
    assert served.source is not None
    where = f"/models/{served.alias}/{served.source.package.replace('==', '-')}"
    return {
        "VLLM_DEVICE": "cpu",
        "OLLAMA_DEVICE": "cpu",
        "VLLM_MEMORY": "8G",
        "OLLAMA_MEMORY": "4G",
        "CUTOVER_OFFLINE": "true",
        "CUTOVER_MODEL_FILES": str(settings.engines_dir / "models"),
        "CUTOVER_VLLM_WEIGHTS": f"{where}/dequantised",
        "CUTOVER_VLLM_CHAT_TEMPLATE": f"/templates/{served.alias}.jinja",
        "CUTOVER_VLLM_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    }


@pytest.fixture(scope="session")
def capfd_disabled(pytestconfig: pytest.Config) -> images.Say:
    """Tells a person a figure, past pytest's capture."""
    manager = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert manager is not None

    def tell(line: str) -> None:
        with manager.global_and_fixture_disabled():
            os.write(2, f"\n{line}\n".encode())

    return tell


@pytest.fixture(scope="session")
def leftovers() -> images.Leftovers:
    """What a project has left at the engine: names of containers, volumes and networks."""

    def find(project: str) -> list[str]:
        label = f"label=com.docker.compose.project={project}"
        found = said(["docker", "ps", "--all", "--quiet", "--filter", label]).split()
        for kind in ("volume", "network"):
            found += said(["docker", kind, "ls", "--quiet", "--filter", label]).split()
        return found

    return find
