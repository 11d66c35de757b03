"""The memory formula against hand-computed numbers and `reference/models.md` section C.3; what holds for every plan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm import sizing
from services.llm.registry import Model, models
from services.llm.registry_gpus import Gpu
from services.llm.sizing import GIB, Plan, PlanError, gpus, plan

ROOT = Path(__file__).parents[3]
SIZED = sorted(alias for alias, entry in models().items() if entry.serving)
TURING = Gpu(name="Quadro RTX 6000", memory_bytes=24 * GIB, compute_capability=(7, 5))


def asked(alias: str, card: str = "rtx-3090", *, context: int | None = 8192, ollama: int = 0, **more: object) -> Plan:
    return plan(models()[alias], gpus()[card], context=context, ollama_resident=ollama, **more)  # type: ignore[arg-type]


def flag(made: Plan, name: str) -> str:
    return made.flags[made.flags.index(name) + 1]


def test_qwen3_8b_beside_six_gib_of_ollama_by_hand() -> None:
    """Card 24 GiB = 25,769,803,776. Free of it (24 - 6 - 0.6) / 24 = 0.725, so 18,683,107,737 bytes.

    Less 16,381,470,720 of bf16 weights and 1,610,612,736 for activations: 691,024,281. A token takes
    2 x 36 x 8 x 128 x 2 = 147,456 bytes, a block of 16 tokens 2,359,296: 292 blocks, 4,672 tokens, no whole 8,192.
    """
    made = asked("qwen3-8b", ollama=6 * GIB)

    assert (made.memory.utilisation, made.memory.budget, made.memory.kv) == (0.725, 18_683_107_737, 691_024_281)
    assert (made.weights_bytes, made.kv_bytes_per_token) == (16_381_470_720, 147_456)
    assert (made.fits, made.kv_tokens, made.sequences, made.flags) == (False, 4_672, 0, ())
    assert "4,672 tokens would fit" in made.why


def test_its_fp8_weights_are_the_alternative_by_hand() -> None:
    """18,683,107,737 - 9,435,703,296 - 1,610,612,736 = 7,636,791,705: 3,236 blocks, 51,776 tokens, 6 x 512 blocks."""
    other = asked("qwen3-8b", ollama=6 * GIB).alternative
    fp8 = asked("qwen3-8b", ollama=6 * GIB, quantisation="fp8")

    assert other is not None
    assert (other.quantisation, other.hugging_face) == ("fp8", "Qwen/Qwen3-8B-FP8")
    assert (other.kv_tokens, other.sequences) == (51_776, 6) == (fp8.kv_tokens, fp8.sequences)
    assert fp8.fits
    assert flag(fp8, "--kv-cache-memory-bytes") == str(3_236 * 2_359_296)


REFERENCE = {
    ("llama-3.2-3b", "bf16"): (16, 14, 32, 73, 73),
    ("llama-3.1-8b", "bf16"): (5, 3, 19, 55, 55),
    ("llama-3.1-8b", "w4"): (14, 13, 29, 65, 64),
    ("qwen2.5-7b", "bf16"): (13, 10, 46, 128, 128),
    ("qwen3-8b", "fp8"): (10, 8, 22, 54, 54),
    ("qwen3-30b-a3b", "bf16"): (0, 0, 0, 18, 17),
    ("qwen3-235b", "fp8"): (0, 0, 0, 0, 0),
}
"""Full sequences of 8,192 tokens without Ollama, from the page: RTX 3090, A10G, A100-40, A100-80, H100."""


@pytest.mark.parametrize(("alias", "precision"), REFERENCE)
def test_the_table_of_the_reference_comes_out_again(alias: str, precision: str) -> None:
    """Within one, because the page rounds to GiB with two digits and this counts bytes."""
    cards = ("rtx-3090", "a10g", "a100-40", "a100-80", "h100")
    found = [asked(alias, card, quantisation=precision).sequences for card in cards]

    assert all(abs(a - b) <= 1 for a, b in zip(found, REFERENCE[alias, precision], strict=True)), found


def test_layers_with_a_window_are_counted_as_vllm_counts_them() -> None:
    """gpt-oss: 12 of 24 layers grow, 24,576 bytes a token, 393,216 a block of 16.

    A sequence of 8,192: 512 blocks, and in the windowed layers (127 + 2 x 2,048 in flight) / 16 = 264, and one: 777.
    KV = 0.9 x 25,769,803,776 - 13,761,264,768 - 1,610,612,736 = 7,820,945,894: 19,889 blocks, 25 sequences.
    """
    made = asked("gpt-oss-20b")

    assert made.kv_bytes_per_token == 24_576
    assert sizing.blocks_of_sequence(8192, models()["gpt-oss-20b"].serving.geometry) == 777  # type: ignore[union-attr]
    assert (made.memory.kv, made.sequences) == (7_820_945_894, 25)
    assert made.kv_tokens == 19_889 * 8192 // 777


def test_the_cpu_engine_s_figure_by_hand() -> None:
    """1 GiB of SmolLM2: 23,040 bytes a token in bf16, 364 blocks of 128, 46,592 tokens; half of that in float32."""
    shape = models()["smollm2-135m"].serving.geometry  # type: ignore[union-attr]
    counts = [sizing.blocks(GIB, shape, element_bytes=size, block=sizing.CPU_BLOCK) for size in (2, 4)]

    assert counts == [364, 182]
    assert [sizing.tokens(n, 4096, shape, block=sizing.CPU_BLOCK) for n in counts] == [46_592, 23_296]


def test_four_cards_share_weights_and_kv_heads() -> None:
    """235 billion parameters in FP8 fit no card; the answer names how many do, and their price is fourfold."""
    other = asked("qwen3-235b", "a100-80").alternative
    four = asked("qwen3-235b", "a100-80", cards=4)

    assert other is not None
    assert other.cards == 4
    assert four.fits
    assert flag(four, "--tensor-parallel-size") == "4"
    assert four.weights_bytes == 236_388_375_552 // 4
    assert four.kv_bytes_per_token == 192_512 // 4
    assert four.price is not None
    assert four.price.usd_per_hour == pytest.approx(4 * gpus()["a100-80"].price.usd_per_hour)  # type: ignore[union-attr]


def test_the_compute_capability_decides_type_and_fit() -> None:
    """Below 8.0 there is no bfloat16 and no MXFP4; a card made by hand has no price."""
    small, oss = (plan(models()[a], TURING, context=2048, ollama_resident=0) for a in ("smollm2-135m", "gpt-oss-20b"))

    assert flag(small, "--dtype") == "float16"
    assert flag(asked("llama-3.2-3b"), "--dtype") == "bfloat16"
    assert small.price is None
    assert (oss.fits, oss.flags, oss.sequences > 0) == (False, (), True)
    assert "compute capability 8.0, Quadro RTX 6000 has 7.5" in oss.why


def test_parsers_come_in_pairs_that_vllm_takes() -> None:
    """A tool parser without --enable-auto-tool-choice makes every request with tools a 400."""
    made = asked("qwen3-8b", "h100")

    assert flag(made, "--tool-call-parser") == "hermes"
    assert "--enable-auto-tool-choice" in made.flags
    assert flag(made, "--reasoning-parser") == "qwen3"
    assert "--reasoning-parser" not in asked("llama-3.2-3b").flags
    assert not {"--model", "--host", "--port", "--served-model-name"} & set(made.flags)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context": 0}, "1 to 40,960"),
        ({"context": 40_961}, "1 to 40,960"),
        ({"ollama": -1}, "give 0 or more"),
        ({"quantisation": "int3"}, "there are: bf16, fp8, w4"),
        ({"cards": 3}, "8 KV heads"),
        ({"cards": 0}, "8 KV heads"),
    ],
)
def test_a_question_without_an_answer_says_what_would_do(change: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        asked("qwen3-8b", **change)  # type: ignore[arg-type]


def test_a_model_of_unknown_size_cannot_be_planned() -> None:
    with pytest.raises(PlanError, match=r"no \[smollm2-135m-embed\.serving\] table"):
        asked("smollm2-135m-embed")


entries = st.sampled_from(SIZED).map(lambda alias: models()[alias])
card_bytes = st.integers(1 * GIB, 200 * GIB)


def on(entry: Model, memory: int, context: int, ollama: int) -> Plan:
    card = Gpu(name="any", memory_bytes=memory, compute_capability=(9, 0))
    return plan(entry, card, context=context, ollama_resident=ollama)


@given(entry=entries, memory=card_bytes, contexts=st.tuples(st.integers(1, 8192), st.integers(1, 8192)))
def test_more_context_never_means_more_sequences(entry: Model, memory: int, contexts: tuple[int, int]) -> None:
    short, long = (on(entry, memory, c, 0) for c in sorted(contexts))

    assert long.sequences <= short.sequences


@given(
    entry=entries,
    memories=st.tuples(card_bytes, card_bytes),
    ollama=st.integers(0, 40 * GIB),
    context=st.integers(1, 8192),
)
def test_what_fits_fits_a_larger_card(entry: Model, memories: tuple[int, int], ollama: int, context: int) -> None:
    """Neither does more memory cost a sequence, nor less of Ollama."""
    small, large = (on(entry, m, context, ollama) for m in sorted(memories))

    assert large.sequences >= small.sequences
    assert large.fits >= small.fits
    assert on(entry, max(memories), context, ollama // 2).sequences >= large.sequences


@given(entry=entries, memory=card_bytes, ollama=st.integers(0, 200 * GIB), context=st.integers(1, 8192))
def test_no_plan_takes_what_is_not_there(entry: Model, memory: int, ollama: int, context: int) -> None:
    """Ollama, both contexts and vLLM together stay within the card, and what is told is consistent."""
    made = on(entry, memory, context, ollama)

    assert made.memory.budget + min(ollama + made.memory.contexts, memory) <= memory
    assert made.fits == (made.sequences >= 1)
    assert bool(made.flags) == made.fits
    assert made.kv_tokens * made.kv_bytes_per_token <= max(0, made.memory.kv)
    if made.alternative:
        assert made.alternative.sequences > made.sequences


def test_it_needs_nothing_but_the_standard_library() -> None:
    """It is copied into the vLLM image, where no package of the services is installed. `-S`: no site-packages."""
    code = (
        "import sys; from services.llm import sizing, registry;"
        "plan = sizing.plan(registry.models()['qwen3-8b'], sizing.gpus()['l4'], context=None, ollama_resident=0);"
        "print(plan.fits, sorted(m.split('.')[0] for m in sys.modules"
        " if m.split('.')[0] not in sys.stdlib_module_names and m != '__main__' and not m.startswith('services')))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )

    assert done.stdout.strip() == "True []", done.stderr
