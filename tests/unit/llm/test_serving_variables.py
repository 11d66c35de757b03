"""The entrypoint's variables: what they become, and what is refused with the name that was meant."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services.llm.serving.refusals import MEANING, Exit, Refusal
from services.llm.serving.variables import PREFIX, VARIABLES, Wanted, size, wanted

GIB = 1024**3


def test_defaults_need_nothing_but_a_model() -> None:
    found = wanted({}, "qwen3-8b")

    assert (found.model, found.host, found.port, found.ollama_resident) == ("qwen3-8b", "0.0.0.0", 8000, 0)
    assert not (found.fast_boot or found.offline)


def test_the_argument_wins_over_the_variable() -> None:
    assert wanted({"CUTOVER_VLLM_MODEL": "qwen3-4b"}, "qwen3-8b").model == "qwen3-8b"
    assert wanted({"CUTOVER_VLLM_MODEL": "qwen3-4b"}).model == "qwen3-4b"


def test_texts_become_values() -> None:
    env = {
        "CUTOVER_VLLM_OLLAMA_RESIDENT": "6GiB",
        "CUTOVER_VLLM_SERVED_NAMES": "llama3.2, llama3.2:latest",
        "CUTOVER_VLLM_LORA": "style=/models/style",
        "CUTOVER_VLLM_FAST_BOOT": "yes",
    }
    found = wanted(env, "llama-3.2-3b")

    assert found.ollama_resident == 6 * GIB
    assert found.served_names == ("llama3.2", "llama3.2:latest")
    assert found.lora == (("style", Path("/models/style")),)
    assert found.fast_boot


@pytest.mark.parametrize(
    ("text", "bytes_"), [("6GiB", 6 * GIB), ("6G", 6 * GIB), ("1.5GiB", GIB * 3 // 2), ("512MiB", GIB // 2), ("7", 7)]
)
def test_sizes_are_binary(text: str, bytes_: int) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "0"),
        ("PORT", "http"),
        ("FAST_BOOT", "maybe"),
        ("OLLAMA_RESIDENT", "6 apples"),
        ("LORA", "style"),
        ("CONTEXT", "8k"),
    ],
)
def test_a_value_that_cannot_be_read_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(Refusal, match=f"{PREFIX}{name}={text!r}") as refused:
        wanted({PREFIX + name: text}, "qwen3-8b")
    assert refused.value.code == Exit.USAGE


def test_a_misspelt_variable_is_answered_with_the_closest() -> None:
    with pytest.raises(Refusal, match=r"no variable CUTOVER_VLLM_SERVE_NAME; next: use CUTOVER_VLLM_SERVED_NAMES"):
        wanted({"CUTOVER_VLLM_SERVE_NAME": "x"}, "qwen3-8b")


@pytest.mark.parametrize(
    ("name", "ours"), [("VLLM_MODEL", "MODEL"), ("VLLM_PORT", "PORT"), ("GPU_MEMORY_UTILIZATION", "OLLAMA_RESIDENT")]
)
def test_names_of_older_setups_are_refused_with_ours(name: str, ours: str) -> None:
    with pytest.raises(Refusal, match=f"use {PREFIX}{ours} and unset {name}") as refused:
        wanted({name: "8000"}, "qwen3-8b")
    assert refused.value.code == Exit.USAGE


def test_what_kubernetes_sets_for_a_service_called_vllm_is_no_mistake_of_the_user() -> None:
    assert wanted({"VLLM_PORT": "tcp://10.0.0.1:8000"}, "qwen3-8b").port == 8000


def test_a_model_must_be_named() -> None:
    with pytest.raises(Refusal, match="CUTOVER_VLLM_MODEL"):
        wanted({})


def test_every_variable_is_a_field_and_every_field_a_variable() -> None:
    assert [v.field for v in VARIABLES] == [f.name for f in dataclasses.fields(Wanted)]


def test_every_exit_code_is_explained() -> None:
    assert set(MEANING) == set(Exit)
