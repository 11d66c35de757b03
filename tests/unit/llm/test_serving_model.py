"""Which weights a name means, and which names are refused."""

from __future__ import annotations

import pytest

from services.llm import registry
from services.llm.serving.model import choose
from services.llm.serving.refusals import Exit, Refusal
from services.llm.serving.variables import wanted

SERVABLE = {key: entry for key, entry in registry.models().items() if entry.serving}


def chosen(name: str, **ours: str):  # type: ignore[no-untyped-def]
    env = {f"CUTOVER_VLLM_{key.upper()}": value for key, value in ours.items()}
    return choose(wanted(env, name), registry.models(), lambda path: False)


@pytest.mark.parametrize("key", SERVABLE)
def test_a_key_gives_the_widest_weights_and_answers_to_key_and_repository(key: str) -> None:
    found = chosen(key)

    first = next(p for p in ("bf16", "fp8", "mxfp4", "w4") if p in SERVABLE[key].serving.weights)
    assert found.location == SERVABLE[key].serving.weights[first].hugging_face
    assert found.served[:2] == (SERVABLE[key].names["vllm"], found.location)


def test_other_weights_of_the_same_key_are_one_variable_away() -> None:
    assert chosen("qwen3-8b", quantisation="w4").location == "Qwen/Qwen3-8B-AWQ"


def test_a_hugging_face_id_of_the_registry_is_its_entry() -> None:
    found = chosen("Qwen/Qwen3-8B-FP8@220b46e3")

    assert (found.entry.alias, found.precision, found.revision) == ("qwen3-8b", "fp8", "220b46e3")


def test_a_hugging_face_id_that_nobody_knows_is_taken_as_it_is() -> None:
    found = chosen("acme/own-model", served_names="own")

    assert (found.entry, found.location, found.served) == (None, "acme/own-model", ("acme/own-model", "own"))


def test_a_folder_takes_the_place_of_the_download_and_the_key_keeps_its_names() -> None:
    found = chosen("smollm2-135m", weights="/models/smollm2-135m")

    assert (found.location, found.is_folder) == ("/models/smollm2-135m", True)
    assert found.served[0] == "smollm2-135m"


def test_clients_may_keep_saying_the_ollama_name() -> None:
    assert chosen("llama-3.2-3b", served_names="llama3.2,llama3.2:latest").served[-2:] == (
        "llama3.2",
        "llama3.2:latest",
    )


@pytest.mark.parametrize(
    ("tag", "key"),
    [
        ("llama3.2", "llama-3.2-3b"),
        ("llama3.2:latest", "llama-3.2-3b"),
        ("llama3.2:7b", "llama-3.2-3b"),
        ("qwen2.5:7b", "qwen2.5-7b"),
        ("mistral", "mistral-7b"),
    ],
)
def test_an_ollama_tag_is_refused_with_the_key_that_serves_it(tag: str, key: str) -> None:
    with pytest.raises(
        Refusal, match=rf"{tag!r} is an Ollama tag.*CUTOVER_VLLM_MODEL={key} and .*SERVED_NAMES={tag}$"
    ) as it:
        chosen(tag)
    assert it.value.code == Exit.CONFIG


def test_the_tag_of_the_exact_size_is_preferred_to_its_family() -> None:
    with pytest.raises(Refusal, match="CUTOVER_VLLM_MODEL=gpt-oss-120b "):
        chosen("gpt-oss:120b")


@pytest.mark.parametrize(("name", "meant"), [("qwen3-8", "qwen3-8b"), ("Qwen3-4b", "qwen3-4b")])
def test_a_misspelt_key_is_answered_with_the_closest(name: str, meant: str) -> None:
    with pytest.raises(Refusal, match=f"set CUTOVER_VLLM_MODEL to {meant}$"):
        chosen(name)


def test_what_only_embeds_has_nothing_for_vllm() -> None:
    with pytest.raises(Refusal, match="smollm2-135m-embed has no weights for vLLM"):
        chosen("smollm2-135m-embed")


def test_weights_that_the_registry_lacks_are_refused() -> None:
    with pytest.raises(Refusal, match=r"no 'w4' weights of mistral-7b.*CUTOVER_VLLM_QUANTISATION to one of bf16$"):
        chosen("mistral-7b", quantisation="w4")
