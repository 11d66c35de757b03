"""The whole command and environment of vLLM: secrets, names, files, what the caller adds."""

from __future__ import annotations

import pytest

from services.llm.serving.launch import Files, merged
from services.llm.serving.refusals import Exit, Refusal
from tests.unit.llm.serving_world import card, launched, unreadable, value, with_cpu, with_gpu

RTX_3090 = with_gpu(card("rtx-3090"))


def test_the_key_reaches_vllm_by_its_environment_and_never_by_argv() -> None:
    made = launched("qwen3-4b", RTX_3090, api_key_file="/run/secrets/key")

    assert made.env["VLLM_API_KEY"] == "s3cret"
    assert "s3cret" not in " ".join((*made.argv, *made.notes))


@pytest.mark.parametrize("text", ["", "\n", "two words"])
def test_a_key_file_that_holds_no_key_is_refused_without_showing_it(text: str) -> None:
    files = Files(is_there=lambda path: False, unreadable=lambda path: "", read=lambda path: text)
    with pytest.raises(Refusal, match=r"/run/secrets/key does not hold one word") as refused:
        launched("qwen3-4b", RTX_3090, files=files, api_key_file="/run/secrets/key")
    assert "two words" not in str(refused.value)


def test_nothing_of_ours_and_nothing_misread_reaches_vllm() -> None:
    env = {"VLLM_URL": "http://vllm:8000", "VLLM_PORT": "tcp://10.0.0.1:8000", "VLLM_LOGGING_LEVEL": "DEBUG"}
    made = launched("qwen3-4b", RTX_3090, env=env, ollama_resident="3GiB")

    assert not [name for name in made.env if name.startswith("CUTOVER_VLLM_") or name in ("VLLM_URL", "VLLM_PORT")]
    assert made.env["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert [note.split()[0] for note in made.notes] == ["VLLM_URL", "VLLM_PORT"]


def test_offline_asks_no_hub() -> None:
    assert launched("qwen3-4b", RTX_3090, offline="1").env["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in launched("qwen3-4b", RTX_3090).env


def test_the_cpu_build_gets_a_cache_size_that_may_be_tuned() -> None:
    assert launched("smollm2-135m", with_cpu()).env["VLLM_CPU_KVCACHE_SPACE"] == "1"
    tuned = launched("smollm2-135m", with_cpu(), env={"VLLM_CPU_KVCACHE_SPACE": "3"})
    assert tuned.env["VLLM_CPU_KVCACHE_SPACE"] == "3"


def test_fast_boot_is_eager() -> None:
    assert "--enforce-eager" in launched("qwen3-4b", RTX_3090, fast_boot="1").argv
    assert "--enforce-eager" not in launched("qwen3-4b", RTX_3090).argv


def test_adapters_are_enabled_and_named() -> None:
    argv = launched("qwen3-4b", RTX_3090, lora="a=/models/a,b=/models/b").argv

    at = argv.index("--lora-modules")
    assert argv[at - 1 : at + 3] == ("--enable-lora", "--lora-modules", "a=/models/a", "b=/models/b")


def test_it_drains_when_it_is_told_to_stop() -> None:
    """vLLM's own default is 0: running requests are cut off."""
    assert value(launched("qwen3-4b", RTX_3090).argv, "--shutdown-timeout") == "30"


def test_a_gated_model_wants_a_token() -> None:
    with pytest.raises(
        Refusal, match=r"Llama-3.2-3B-Instruct is gated.*https://huggingface.co/meta-llama/.*HF_TOKEN_FILE"
    ) as it:
        launched("llama-3.2-3b", RTX_3090)
    assert it.value.code == Exit.FORBIDDEN


@pytest.mark.parametrize(
    "ours",
    [{"hf_token_file": "/run/secrets/hf"}, {"offline": "1"}, {"weights": "/models/llama"}, {"quantisation": "fp8"}],
)
def test_a_gated_model_starts_with_a_token_from_the_cache_a_folder_or_somebody_elses_copy(ours: dict[str, str]) -> None:
    assert launched("llama-3.2-3b", RTX_3090, **ours).argv


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_the_hubs_own_variables_are_tokens_too(name: str) -> None:
    assert launched("llama-3.2-3b", RTX_3090, env={name: "x"}).argv


@pytest.mark.parametrize("name", ["weights", "chat_template", "api_key_file", "hf_token_file"])
def test_a_file_that_may_not_be_read_is_refused_by_its_name(name: str) -> None:
    """A model folder of mode 0600 mounted from the host otherwise dies deep inside vLLM."""
    files = Files(is_there=lambda path: False, unreadable=unreadable, read=lambda path: "x")
    with pytest.raises(Refusal, match=r"/models/x may not be read by uid 10001.*chmod") as it:
        launched("qwen3-4b", RTX_3090, files=files, **{name: "/models/x"})
    assert it.value.code == Exit.UNREADABLE


def test_the_callers_arguments_win_over_the_plans() -> None:
    argv = launched("qwen3-4b", RTX_3090, extra=["--max_num_seqs=3", "--async-scheduling"]).argv

    assert [word for word in argv if "max-num-seqs" in word or "max_num_seqs" in word] == ["--max_num_seqs=3"]
    assert argv[-1] == "--async-scheduling"


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("--port", "PORT"),
        ("-tp", "CARDS"),
        ("--api-key=k", "API_KEY_FILE"),
        ("--served_model_name", "SERVED_NAMES"),
        ("--model", "MODEL"),
    ],
)
def test_what_a_variable_sets_is_not_given_twice(word: str, ours: str) -> None:
    with pytest.raises(Refusal, match=f"next: set CUTOVER_VLLM_{ours}$") as it:
        launched("qwen3-4b", RTX_3090, extra=[word, "9"])
    assert it.value.code == Exit.USAGE


def test_a_second_model_among_vllms_arguments_is_refused() -> None:
    with pytest.raises(Refusal, match="name one model"):
        launched("qwen3-4b", RTX_3090, extra=["qwen3-8b"])


def test_merging_keeps_the_order_and_repeated_options_of_one_part() -> None:
    found = merged(["--a", "1", "--b"], ["--c", "-1"], ["--a", "2", "3", "--d", "x", "--d", "y"])

    assert found == ["--a", "2", "3", "--b", "--c", "-1", "--d", "x", "--d", "y"]


@pytest.mark.parametrize(
    ("words", "then"),
    [
        (["--max-num-seq", "3"], "use --max-num-seqs"),
        (["--swap-space", "4"], "use --kv-offloading-size"),
        (["--device", "cpu"], "the build decides"),
        (["--frobnicate-everything-now"], "vllm serve --help=all"),
    ],
)
def test_an_option_that_vllm_does_not_have_is_refused_at_once(words: list[str], then: str) -> None:
    """Not after a minute of imports; some are in every older page."""
    with pytest.raises(Refusal, match=f"vLLM has no option {words[0]}; next: .*{then}") as refused:
        launched("qwen3-4b", RTX_3090, extra=words)
    assert refused.value.code == Exit.USAGE


@pytest.mark.parametrize(
    "word", ["-ep", "-O2", "--compilation-config.mode=3", "--no-enable-prefix-caching", "--max_num_seqs=4"]
)
def test_every_spelling_that_vllm_takes_is_let_through(word: str) -> None:
    assert word in launched("qwen3-4b", RTX_3090, extra=[word]).argv
