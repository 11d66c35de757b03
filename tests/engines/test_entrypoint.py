"""What the vLLM image would start, read by vLLM's own parser: every registry key on every card that it fits.

Those that embed, too.

No engine is started; vLLM is installed and imported once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from services import settings as settings_room
from services.llm import registry
from services.llm.registry_gpus import Gpu, gpus
from services.llm.serving import options
from services.llm.sizing import plan
from services.stack import local, vllm
from tests.unit.llm.serving_world import card, launched, with_cpu, with_gpu

pytestmark = pytest.mark.engines

ROOT = Path(__file__).parents[2]
PARSER = Path(__file__).with_name("vllm_parser.py")
MODELS = {key: entry for key, entry in registry.models().items() if entry.serving}
EMBEDDING = {key for key, entry in registry.models().items() if entry.space and "vllm" in entry.names}
TOKEN = {"HF_TOKEN": "x"}
COMMAND = {"vllm": 2, "python": 3}
"""Words of the command before vLLM's arguments: `vllm serve`, `python -m MODULE`."""

WRONG = {
    "removed": ["--swap-space", "4"],
    "ambiguous": ["--device", "cpu"],
    "misspelt": ["--max-model-length", "4096"],
    "no such tool parser": ["--enable-auto-tool-choice", "--tool-call-parser", "llama32_json"],
    "half a pair": ["--enable-auto-tool-choice"],
    "no number": ["--max-num-seqs", "many"],
    "no such pooling": ["--pooler-config", '{"seq_pooling_type":"MEDIAN"}'],
    "no such runner": ["--runner", "embedding"],
}
"""Appended to a right list; each must be refused, else the test would not see a wrong one of ours."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """What vLLM's parser said: lists that it refused, and all the options it knows."""

    refused: Mapping[str, str]
    options: Sequence[str]


def fitting(key: str, gpu: Gpu) -> list[tuple[str, int]]:
    """Weights and the least number of cards on which they fit."""
    serving, found = MODELS[key].serving, []
    assert serving
    for precision in serving.weights:
        for cards in (1, 2, 4):
            if plan(MODELS[key], gpu, context=None, ollama_resident=0, quantisation=precision, cards=cards).fits:
                found.append((precision, cards))
                break
    return found


def lists() -> dict[str, list[str]]:
    """Every argument list worth asking for, by what it is of."""
    found = {}
    for key in MODELS:
        found[f"{key} on CPU"] = words(launched(key, with_cpu(), env=TOKEN).argv)
        for tier, gpu in gpus().items():
            for precision, cards in fitting(key, gpu):
                machine, ours = with_gpu(*[card(tier)] * cards), {"quantisation": precision, "cards": str(cards)}
                found[f"{key} {precision} on {cards} {tier}"] = words(launched(key, machine, env=TOKEN, **ours).argv)
    for key in EMBEDDING:
        found[f"{key} on CPU"] = words(launched(key, with_cpu()).argv)
        for tier in gpus():
            found[f"{key} on {tier}"] = words(launched(key, with_gpu(card(tier)), weights="/models/x").argv)
    all_on = {"fast_boot": "1", "lora": "a=/models/a,b=/models/b", "served_names": "llama3.2,llama3.2:latest"}
    found["everything on"] = words(launched("llama-3.2-3b", with_gpu(card("rtx-3090")), env=TOKEN, **all_on).argv)
    found["not in the registry"] = words(launched("acme/own@main", with_gpu(card("l4")), context="4096").argv)
    return found


def words(argv: Sequence[str]) -> list[str]:
    return list(argv[COMMAND[argv[0]] :])


def printed(key: str, tier: str, folder: Path) -> list[str] | None:
    """What the script itself prints on a machine with one such card; None where it says that it does not fit."""
    gpu = gpus()[tier]
    capability = ".".join(map(str, gpu.compute_capability))
    mib = gpu.memory_bytes // 2**20
    smi = folder / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho '0, GPU-a, {tier}, {mib}, {mib}, {capability}'\n")
    smi.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "CUTOVER_VLLM_PYTHON": sys.executable, **TOKEN}
    done = subprocess.run(
        [ROOT / "vllm-entrypoint.sh", "--print", key], env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode in (0, 78), done.stderr
    return words(done.stdout.splitlines()) if done.returncode == 0 else None


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("smi")
    found = lists()
    for key in (*MODELS, *EMBEDDING):
        for tier in gpus():
            argv = printed(key, tier, folder)
            if argv is not None:
                found[f"printed: {key} on {tier}"] = argv
    return found


@pytest.fixture(scope="module")
def read(asked: dict[str, list[str]], child_env: dict[str, str], progress: local.Progress) -> Read:
    """One run of vLLM's Python, which takes longer to import vLLM than to parse everything."""
    settings = settings_room.load(child_env)
    with local.work(settings, progress, child_env) as job:
        command = Path(vllm.prepare(job, registry.model("smollm2-135m")).argv[0])
    python = command.with_name("python") if command.name == "vllm" else command
    right = next(iter(asked.values()))
    wrong = {name: [*right, *more] for name, more in WRONG.items()}
    wrong["half a pair"] = ["smollm2", *WRONG["half a pair"]]
    done = subprocess.run(
        [python, PARSER],
        input=json.dumps({**asked, **wrong}),
        env={**child_env, "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return Read(**json.loads(done.stdout.splitlines()[-1]))


def test_vllm_takes_every_list_for_every_key_and_card(asked: dict[str, list[str]], read: Read) -> None:
    assert {name: why for name, why in read.refused.items() if name in asked} == {}


def test_every_key_is_printed_for_some_card_or_needs_several(asked: dict[str, list[str]]) -> None:
    shown = {name.removeprefix("printed: ").partition(" on ")[0] for name in asked if name.startswith("printed: ")}
    assert {*MODELS, *EMBEDDING} - shown == {"qwen3-235b"}
    assert "qwen3-235b fp8 on 4 a100-80" in asked


def test_vllm_refuses_what_is_wrong(read: Read) -> None:
    assert set(WRONG) <= set(read.refused)


def test_the_options_that_the_entrypoint_knows_are_vllms(read: Read) -> None:
    """Where not: services/llm/serving/options.py says how to renew its file."""
    assert sorted(options.known()) == sorted(read.options)
