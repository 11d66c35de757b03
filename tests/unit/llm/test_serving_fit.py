"""What the machine decides: cards with room, cards without, no card at all."""

from __future__ import annotations

import dataclasses

import pytest

from services.llm.serving.refusals import Exit, Refusal
from tests.unit.llm.serving_world import GIB, card, launched, value, with_cpu, with_gpu

RTX_3090 = with_gpu(card("rtx-3090"))


def test_an_empty_card_gets_what_the_plan_says() -> None:
    argv = launched("llama-3.2-3b", RTX_3090, env={"HF_TOKEN": "x"}).argv

    assert value(argv, "--gpu-memory-utilization") == "0.900"
    assert int(value(argv, "--kv-cache-memory-bytes")) > 13 * GIB
    assert value(argv, "--tool-call-parser") == "llama3_json"


def test_memory_kept_for_ollama_makes_the_cache_smaller() -> None:
    alone = launched("qwen3-4b", RTX_3090).argv
    beside = launched("qwen3-4b", RTX_3090, ollama_resident="6GiB").argv

    lost = int(value(alone, "--kv-cache-memory-bytes")) - int(value(beside, "--kv-cache-memory-bytes"))
    assert 4 * GIB < lost < 5 * GIB  # a tenth of the card was free before


def test_memory_that_is_taken_counts_like_memory_kept() -> None:
    kept = launched("qwen3-4b", RTX_3090, ollama_resident="6GiB").argv
    taken = launched("qwen3-4b", with_gpu(card("rtx-3090", taken=6 * GIB))).argv

    assert kept == taken


def test_what_ollama_holds_already_is_not_counted_twice() -> None:
    taken = with_gpu(card("rtx-3090", taken=5 * GIB))

    assert launched("qwen3-4b", taken, ollama_resident="6GiB") == launched("qwen3-4b", RTX_3090, ollama_resident="6GiB")


def test_weights_larger_than_the_card_are_refused_with_those_that_fit() -> None:
    """S4 of the source documents put this one on an A10G: 61 GB of weights on 24."""
    with pytest.raises(
        Refusal, match=r"need 58\.\d+ GiB of A10G.*set \S+QUANTISATION=bf16 and \S+CARDS=4, which"
    ) as it:
        launched("qwen3-30b-a3b", with_gpu(card("a10g")))
    assert it.value.code == Exit.CONFIG


def test_a_smaller_kind_of_weights_is_offered_on_the_same_card() -> None:
    machine = with_gpu(card("rtx-3090"))
    with pytest.raises(Refusal, match=r"no sequence of 40,960.*set CUTOVER_VLLM_QUANTISATION=fp8, which fits$"):
        launched("qwen3-8b", machine, context="40960")

    assert "Qwen/Qwen3-8B-FP8" in launched("qwen3-8b", machine, context="40960", quantisation="fp8").argv


def test_a_card_that_others_fill_is_a_refusal_of_its_own() -> None:
    """The model would fit the empty card: it is not the configuration that is wrong, so a later start may work."""
    with pytest.raises(Refusal, match=r"20\.00 GiB of this .* are taken already.*nvidia-smi") as it:
        launched("llama-3.2-3b", with_gpu(card("rtx-3090", taken=20 * GIB)), env={"HF_TOKEN": "x"})
    assert it.value.code == Exit.TAKEN


def test_a_context_beyond_the_model_is_refused() -> None:
    with pytest.raises(Refusal, match=r"40,961.*40,960.*CUTOVER_VLLM_CONTEXT") as it:
        launched("qwen3-8b", with_gpu(card("h100")), context="40961")
    assert it.value.code == Exit.CONFIG


def test_the_cuda_build_without_a_gpu_is_refused() -> None:
    with pytest.raises(Refusal, match="needs 1 GPU, and nvidia-smi shows 0") as it:
        launched("qwen3-4b", with_gpu())
    assert it.value.code == Exit.NO_ENGINE


def test_several_cards_share_the_weights_and_the_fullest_decides() -> None:
    free, full = card("a100-80"), dataclasses.replace(card("a100-80", taken=10 * GIB), index="1")
    argv = launched("qwen3-30b-a3b", with_gpu(free, full), cards="2").argv

    assert value(argv, "--tensor-parallel-size") == "2"
    assert float(value(argv, "--gpu-memory-utilization")) < 0.9


def test_more_cards_than_there_are_is_refused() -> None:
    with pytest.raises(Refusal, match="needs 2 GPU, and nvidia-smi shows 1"):
        launched("qwen3-4b", RTX_3090, cards="2")


def test_unknown_weights_get_what_is_free_and_a_note() -> None:
    made = launched("acme/own", with_gpu(card("rtx-3090", taken=6 * GIB)), context="4096")

    assert value(made.argv, "--gpu-memory-utilization") == "0.725"  # (24 - 6 - 0.6) / 24
    assert value(made.argv, "--max-model-len") == "4096"
    assert "nobody has checked that it fits" in made.notes[0]


def test_unknown_weights_on_a_full_card_are_refused() -> None:
    with pytest.raises(Refusal, match=r"20\.00 GiB of this") as it:
        launched("acme/own", with_gpu(card("rtx-3090", taken=20 * GIB)))
    assert it.value.code == Exit.TAKEN


def test_the_cpu_build_runs_eagerly_in_the_precision_that_its_cpu_has() -> None:
    argv = launched("smollm2-135m", with_cpu()).argv

    assert argv[:4] == ("python", "-m", "vllm.entrypoints.openai.api_server", "--model")
    assert "--enforce-eager" in argv
    assert (value(argv, "--dtype"), value(argv, "--max-model-len")) == ("float32", "4096")
    assert value(launched("smollm2-135m", with_cpu(has_bf16=True)).argv, "--dtype") == "bfloat16"
