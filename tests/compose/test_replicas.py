"""compose/replicas.yml on top of the stack after: who asks whom, what is published, and that the rest is as it was."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.compose.running import AFTER, Compose, said
from tests.conftest import REPO

pytestmark = pytest.mark.compose

OVER = "compose/replicas.yml"
ASK = {"rag", "notes", "ner"}

Model = dict[str, Any]


@pytest.fixture
def before(compose_command: None, tmp_path: Path) -> Model:
    """The stack after, as it is without the file."""
    compose = Compose(file=AFTER, project="cutover", env_file=tmp_path / ".env")
    compose.set()
    found: Model = compose.config("*")["services"]
    return found


@pytest.fixture
def replicas(compose_command: None, tmp_path: Path) -> Model:
    """The same with the file on top, on cards."""
    return config(tmp_path)


def config(folder: Path, **settings: str) -> Model:
    env_file = folder / "replicas.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    files = ["-f", AFTER, "-f", OVER, "--profile", "*"]
    argv = ["docker", "compose", "-p", "cutover", "--env-file", str(env_file), *files]
    found: Model = json.loads(said([*argv, "config", "--format", "json"]))["services"]
    return found


def test_it_adds_a_replica_and_the_router(before: Model, replicas: Model) -> None:
    """And changes where services and Prometheus ask, and which card the first replica sees; nothing else."""
    assert set(replicas) - set(before) == {"vllm-2", "router"}
    assert {name for name in before if replicas[name] != before[name]} == ASK | {"vllm", "prometheus"}
    for name in ASK:
        there = replicas[name]["environment"] | {"VLLM_URL": before[name]["environment"]["VLLM_URL"]}
        assert replicas[name] | {"environment": there} == before[name]


def test_the_services_ask_the_router_and_the_router_both_replicas(replicas: Model) -> None:
    command = replicas["router"]["command"]
    port = next(flag.partition("=")[2] for flag in command if flag.startswith("--port="))

    assert {replicas[name]["environment"]["VLLM_URL"] for name in ASK} == {f"http://router:{port}"}
    assert [word for word in command if word.startswith("http")] == ["http://vllm:8000", "http://vllm-2:8000"]
    assert {replicas[name]["environment"]["CUTOVER_VLLM_PORT"] for name in ("vllm", "vllm-2")} == {"8000"}


def test_prometheus_asks_the_second_replica_too(before: Model, replicas: Model) -> None:
    """By a file where the checked-in configuration looks for more of them."""
    known = {v["target"] for v in before["prometheus"]["volumes"]}
    [added] = [v for v in replicas["prometheus"]["volumes"] if v["target"] not in known]
    looked_for = re.search(r'file_sd_configs: \[\{files: \["([^"]+)"', (REPO / "monitoring/prometheus.yml").read_text())

    assert looked_for and PurePosixPath(added["target"]).match(f"/etc/prometheus/{looked_for[1]}")
    assert '"vllm-2:8000"' in Path(added["source"]).read_text()


def test_the_replicas_differ_in_their_card_and_their_graphs_only(replicas: Model) -> None:
    """Another model, key or template in one of them would make answers depend on who is asked."""
    first, second = replicas["vllm"]["environment"], replicas["vllm-2"]["environment"]
    own = {"CUDA_VISIBLE_DEVICES": None, "VLLM_CACHE_ROOT": None}

    assert (first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]) == ("0", "1")
    assert replicas["vllm"] | {"environment": first | own} == replicas["vllm-2"] | {"environment": second | own}


def test_on_a_cpu_no_replica_reserves_a_card(compose_command: None, tmp_path: Path) -> None:
    found = config(tmp_path, VLLM_DEVICE="cpu")

    assert not [n for n in ("vllm", "vllm-2") if found[n]["deploy"]["resources"].get("reservations")]


def test_neither_router_nor_replicas_are_published_and_all_are_locked_down(replicas: Model) -> None:
    """The router passes on what it gets, routes without a key included."""
    for name in ("vllm", "vllm-2", "router"):
        service = replicas[name]
        assert set(service["networks"]) == {"engines"} and not service.get("ports"), name
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["user"] == "10001:10001", name
        assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert service["restart"] == "unless-stopped", name
    assert not replicas["router"].get("secrets"), "it needs none: the caller's key goes through"
    waiting = {name for name in replicas if replicas[name].get("depends_on", {}).keys() & {"vllm", "vllm-2", "router"}}
    assert waiting == set(), "Ollama answers until they do"


def test_version_and_image_of_the_router_are_those_of_its_lock(replicas: Model) -> None:
    [version] = re.findall(r"^vllm-router==(\S+)", (REPO / "requirements/router.txt").read_text(), re.MULTILINE)
    dockerfile = (REPO / "compose/Dockerfile.router").read_text()

    assert replicas["router"]["image"] == f"cutover/router:{version}"
    assert f'version="{version}"' in dockerfile
    assert f"docker build -f compose/Dockerfile.router -t cutover/router:{version} ." in dockerfile
    base = replicas["router"]["build"]["args"]["BASE_IMAGE"]
    assert f"ARG BASE_IMAGE={base}\n" in dockerfile
