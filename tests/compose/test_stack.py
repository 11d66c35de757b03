"""The stack after, for real: images built, up and healthy, answers by vLLM, then everything that may happen to it."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from services.settings import SERVICES
from tests.compose import images
from tests.compose.running import AFTER, ASKED, BEFORE, Compose, said
from tests.conftest import free_ports
from tests.engines.test_kill import NOTE, Load, under_load
from tests.engines.test_kill import until as answered

pytestmark = pytest.mark.compose

RUNNING = {*SERVICES, "ollama", "vllm", "monitor", "prometheus", "alertmanager"}
LIMIT_S = 300
KILL_ENGINE = """
import os, pathlib, signal
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    if (entry / "cmdline").read_bytes().startswith(b"VLLM::EngineCore"):
        os.kill(int(entry.name), signal.SIGKILL)
        print("killed", entry.name)
"""
LOOK = """
import errno, os, pathlib
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
try:
    pathlib.Path("/written").touch()
    root = "writable"
except OSError as exc:
    root = errno.errorcode[exc.errno]
print(os.getuid(), status["CapEff"].strip(), status["CapBnd"].strip(), status["NoNewPrivs"].strip(), root)
"""
MOVE = """
from pathlib import Path
from services.llm.rollout import Stage, Standing
from services.migration import ledger, rollout
entry = ledger.Entry(
    service="ner", source=Standing(), target=Standing(stage=Stage.FULL, share=1.0), actor="test", reasons=("a test",)
)
rollout.move(Path("/var/lib/cutover/state"), entry, expected=None)
"""
CALL_OUT = """
import socket
try:
    socket.create_connection(("1.1.1.1", 443), 3).close()
    print("out")
except OSError:
    print("cut off")
"""


def until(holds: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """Look again until it holds; what does not answer yet does not hold."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {limit_s:g} s in vain until {what}"
        time.sleep(1)


def by_vllm(stack: Compose, service: str) -> bool:
    return stack.provider(service) == "vllm"


def test_every_service_answers_from_vllm(stack: Compose) -> None:
    """`up --wait` came back, so all are healthy; each question is answered by the engine that the flag names.

    The first one may come from Ollama: a vLLM that has never generated is slow at its first token.
    """
    assert {name for name, c in stack.containers().items() if c["State"]["Running"]} == RUNNING
    for name in ASKED:
        until(functools.partial(by_vllm, stack, name), f"vLLM answers for {name}")


def test_containers_are_what_the_files_promise(stack: Compose) -> None:
    """Looked at from within: no user but ours, no capability, nothing to write to."""
    for name in ("rag", "notes", "ner", "monitor", "vllm"):
        python = "python3" if name == "vllm" else "python"
        told = stack("exec", "-T", name, python, "-c", LOOK).split()
        assert told == ["10001", "0" * 16, "0" * 16, "1", "EROFS"], name
    for name in ("prometheus", "alertmanager"):
        assert stack("exec", "-T", name, "id", "-u").strip() == "65534"
    capabilities = stack("exec", "-T", "ollama", "grep", "Cap", "/proc/self/status").split()[1::2]
    assert set(capabilities) == {"0" * 16}


def test_vllm_is_for_the_network_of_the_engines_alone(stack: Compose) -> None:
    """No port of the host leads to it, and with CUTOVER_OFFLINE nothing leads from it to the outside."""
    found = stack.containers()
    assert not any(found["vllm"]["NetworkSettings"]["Ports"].values())
    assert stack("exec", "-T", "vllm", "python3", "-c", CALL_OUT).strip() == "cut off"
    for name in ("rag", "prometheus"):
        bound = [b["HostIp"] for ports in found[name]["NetworkSettings"]["Ports"].values() for b in ports or []]
        assert set(bound) == {"127.0.0.1"}


def test_prometheus_sees_every_target(stack: Compose) -> None:
    """By the names of monitoring/prometheus.yml; dcgm's is down without a GPU."""
    port = dict(line.split("=", 1) for line in stack.env_file.read_text().splitlines())["CUTOVER_PROMETHEUS_PORT"]

    def up() -> dict[str, str]:
        answer = httpx2.get(
            f"http://127.0.0.1:{port}/api/v1/query", params={"query": "up"}, trust_env=False, timeout=60
        )
        return {row["metric"]["job"]: row["value"][1] for row in answer.json()["data"]["result"]}

    expected = {**dict.fromkeys((*SERVICES, "vllm", "monitor"), "1"), "dcgm": "0"}
    until(lambda: up() == expected, f"all targets are up: {up()}", 300)


def test_the_command_line_works_in_a_container(stack: Compose) -> None:
    """In the engines' network, with the token and the state of the stack."""
    status = json.loads(stack("run", "--rm", "-T", "cutover", "status", "--json"))

    assert {name: found["up"] for name, found in status["engines"].items()} == {"vllm": True, "ollama": True}
    assert {name: status["services"][name]["provider"] for name in SERVICES} == dict.fromkeys(SERVICES, "vllm")


async def test_kill_9_under_load_loses_no_request(stack: Compose, capfd_disabled: images.Say) -> None:
    """The engine's process dies in its container. vLLM ends with code 0, Docker starts it again, traffic returns."""
    settings = stack.settings()
    await asyncio.to_thread(stack.post, "rag", "/v1/documents", {"title": "Backups", "text": NOTE})
    restarts = stack.containers()["vllm"]["RestartCount"]

    async with under_load(settings) as load:
        began = await _killed(stack, load)

    assert load.failed == []
    assert stack.containers()["vllm"]["RestartCount"] == restarts + 1
    counts = {name: load.providers.count(name) for name in ("vllm", "ollama")}
    capfd_disabled(
        f"kill -9 in the container: {counts}, 0 failed, vLLM answered again after {time.monotonic() - began:.0f} s"
    )


async def _killed(stack: Compose, load: Load) -> float:
    await answered(lambda: load.providers.count("vllm") >= 4, "vLLM answers", load)
    told = await asyncio.to_thread(stack, "exec", "-T", "vllm", "python3", "-c", KILL_ENGINE)
    assert told.startswith("killed")
    began, killed_at = time.monotonic(), len(load.answered)
    await answered(lambda: load.providers[killed_at:].count("ollama") >= 4, "Ollama answers", load)
    fallen_back = len(load.answered)
    await answered(lambda: load.providers[fallen_back:].count("vllm") >= 4, "vLLM answers again", load)
    return began


def test_a_flag_moves_one_service_and_touches_no_other(stack: Compose) -> None:
    """Its line in .env, `up -d`: that container is made anew, the others run on."""
    before = {name: (c["Id"], c["State"]["StartedAt"]) for name, c in stack.containers().items() if name in RUNNING}
    stack.set(NOTES_LLM_PROVIDER="ollama")
    try:
        stack("up", "--detach", "--wait", "--wait-timeout", "300")
        after = {name: (c["Id"], c["State"]["StartedAt"]) for name, c in stack.containers().items() if name in RUNNING}

        assert {name for name in after if after[name] != before[name]} == {"notes"}
        assert stack.provider("notes") == "ollama"
        until(lambda: {stack.provider("rag"), stack.provider("ner")} == {"vllm"}, "vLLM answers for the others")
    finally:
        stack.set(NOTES_LLM_PROVIDER="vllm")
        stack("up", "--detach", "--wait", "--wait-timeout", "300")


def test_a_newer_image_on_top_keeps_notes_and_stages(stack: Compose) -> None:
    """`up` with another pin recreates the services; their volumes and the ledger stay."""
    made = stack.post("notes", "/v1/notes", {"title": "Kept", "text": NOTE})
    stack("exec", "-T", "ner", "python", "-c", MOVE)
    old = stack.containers()["notes"]["Id"]
    said(["docker", "tag", f"{images.TAG}/services", images.NEWER])
    stack.set(CUTOVER_IMAGE=images.NEWER, NER_LLM_PROVIDER="auto")
    stack("up", "--detach", "--wait", "--wait-timeout", "300")

    assert stack.containers()["notes"]["Id"] != old
    url = f"{stack.settings().service_url('notes')}{made.headers['Location']}"
    assert httpx2.get(url, trust_env=False, timeout=30).json()["text"] == NOTE
    status = json.loads(stack("run", "--rm", "-T", "cutover", "status", "--json"))
    assert status["services"]["ner"]["stage"] == "full"
    until(lambda: by_vllm(stack, "ner"), "its stage, and no flag, sends it to vLLM")


def test_a_vllm_that_cannot_start_says_why_and_nobody_notices(stack: Compose) -> None:
    """A wrong setting: `up` succeeds, Ollama answers for all, and the log has a sentence with the next step."""
    stack.set(CUTOVER_VLLM_CONTEXT="banana")
    try:
        stack("up", "--detach")
        until(lambda: "cannot be read" in stack("logs", "--no-log-prefix", "vllm"), "the log says why", 300)

        assert "CUTOVER_VLLM_CONTEXT='banana' cannot be read" in stack("logs", "--no-log-prefix", "vllm")
        assert {name: stack.provider(name) for name in ASKED} == dict.fromkeys(ASKED, "ollama")
    finally:
        stack.set(CUTOVER_VLLM_CONTEXT="")
        stack("up", "--detach")


@pytest.fixture
def before(stack: Compose, leftovers: images.Leftovers, tmp_path: Path) -> Iterator[Compose]:
    """The stack before, up beside the other one; `down -v` then leaves no container, no volume and no network of it."""
    (tmp_path / ".env").write_text(stack.env_file.read_text())
    made = Compose(file=BEFORE, project=f"{stack.project}-before", env_file=tmp_path / ".env")
    names = [f"CUTOVER_{name}_PORT" for name in ("RAG", "NOTES", "NER", "PROMETHEUS", "ALERTMANAGER")]
    made.set(**dict(zip(names, map(str, free_ports(len(names))), strict=True)), LLM_PROVIDER="auto")
    try:
        made("up", "--detach", "--wait", "--wait-timeout", "300")
        assert len(leftovers(made.project)) >= len(RUNNING) - 1
        yield made
    finally:
        replace(made, file=AFTER)("down", "--volumes", "--timeout", "5")
    assert leftovers(made.project) == []


def test_the_stack_after_comes_on_top_of_the_one_before(before: Compose) -> None:
    """It adds vLLM and restarts nothing; where that cannot start, for want of a GPU say, everything else runs on."""
    assert {name: before.provider(name) for name in ASKED} == dict.fromkeys(ASKED, "ollama")
    ids = {name: c["Id"] for name, c in before.containers().items()}
    after = replace(before, file=AFTER)
    after.set(VLLM_DEVICE="gpu")
    after("up", "--detach", check=False)

    found = after.containers()
    assert set(found) - set(ids) == {"vllm"}
    assert {name: found[name]["Id"] for name in ids} == ids
    assert {name: after.provider(name) for name in ASKED} == dict.fromkeys(ASKED, "ollama")
