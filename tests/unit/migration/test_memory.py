"""Memory beside a load: what counts as idle, steady and peak; what it buys; and that it never fails a gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.migration import cache_config, capacity, measure, memory, memory_document, report_data, report_text
from services.migration.capacity import Capacity
from services.migration.memory import IDLE, NEITHER, Seen, Watch
from services.migration.memory_document import Load, Memory
from services.migration.records import Engine
from services.migration.report_html import page
from services.migration.verdict import Verdict
from tests.unit.migration.house import TOKEN, House

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A reading, as a sampler of another room makes it."""

    engine: str = "vllm"
    quantity: str = "pss"
    at_s: float = 1.0
    source: str = "a test"
    bytes: int | None = None
    unknown: str = ""


@dataclass
class Given:
    """A sampler of given amounts; `broken` makes it raise from its second look on."""

    amounts: Mapping[str, int] = field(default_factory=lambda: {"ollama": 100 * MIB, "vllm": 250 * MIB})
    broken: bool = False
    looks: int = 0

    def read(self, *, thorough: bool) -> Sequence[Read]:
        self.looks += 1
        if self.broken and self.looks > 1:
            raise RuntimeError("the kernel said no")
        unknown = Read(quantity="gpu", unknown="no NVML: no driver")
        return [*(Read(engine=e, bytes=b) for e, b in self.amounts.items()), *([unknown] if thorough else [])]

    def told(self) -> Mapping[str, Mapping[str, str]]:
        return {"ollama": {"OLLAMA_NUM_PARALLEL": "2"}, "vllm": {"max-num-seqs": "4"}}


def seen(loaded: str | None, *amounts: int | None, engine: str = "vllm") -> list[Seen]:
    return [Seen(reading=Read(engine=engine, bytes=a), loaded=loaded) for a in amounts]


def test_idle_is_before_the_load_steady_is_its_own_turns_and_peak_is_everything() -> None:
    """Warm-up and the other engine's turns are in the peak alone."""
    found = [*seen(IDLE, 10), *seen(NEITHER, 90), *seen("vllm", 20, 22, 30), *seen("ollama", 50)]
    taken = memory.taken(found)

    assert (taken.idle, taken.steady, taken.peak, taken.samples) == (10, 22, 90, 3)


def test_beside_a_gate_both_engines_are_loaded_in_turn() -> None:
    assert memory.taken([*seen(IDLE, 10), *seen(None, 20, 30)]).steady == 25


def test_what_nobody_could_read_is_unknown_and_not_0() -> None:
    """With the reason of the last try."""
    unread = [Seen(reading=Read(unknown="no driver"), loaded=loaded) for loaded in (IDLE, None)]
    taken = memory.taken(unread)

    assert (taken.idle, taken.steady, taken.peak, taken.samples) == (None, None, None, 0)
    assert taken.unknown == "no driver"


async def test_a_sampler_that_breaks_ends_the_sampling_and_nothing_else() -> None:
    watch = Watch(sampler=Given(broken=True))
    await watch.look(thorough=True)
    await watch.go_on(0.0)

    assert watch.problem == "RuntimeError: the kernel said no"
    assert len(watch.seen) == 3


async def test_a_look_during_which_the_turn_changed_belongs_to_neither() -> None:
    """It may have read one engine before the change and the other one after it."""
    watch = Watch(sampler=Given(), loaded="vllm")

    class Changes(Given):
        def read(self, *, thorough: bool) -> Sequence[Read]:
            watch.loaded = "ollama"
            return Given.read(self, thorough=thorough)

    watch.sampler = Changes()
    await watch.look(thorough=False)

    assert watch.seen == []


SMOLLM2 = {
    "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576, "head_dim": 64,
    "dtype": "float32",
}  # fmt: skip
SHOWN = {
    "model_info": {
        "general.architecture": "llama", "llama.block_count": 30, "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3, "llama.embedding_length": 576,
    },
    "parameters": "stop  \"<|im_end|>\"\nnum_ctx                        4096",
}  # fmt: skip
TOLD = {"ctx-size": "8192", "parallel": "2"}
METRICS = """# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",cache_dtype="auto",kv_cache_memory_bytes="1073741824",\
kv_cache_size_tokens="23296",num_gpu_blocks="182"} 1.0
"""


def ollama(told: Mapping[str, str] = TOLD, **answers: Any) -> Capacity:
    given = {"shown": SHOWN, "loaded": {"name": "m", "size": 300}, "tag": {"size": 98}, **answers}
    return capacity.ollama(told, given["shown"], given["loaded"], given["tag"])


def vllm(told: Mapping[str, str] | None = None, metrics: str = METRICS, config: Any = SMOLLM2) -> Capacity:
    return capacity.vllm(told or {}, cache_config.cache_configs(metrics), config, weights=538, window=4096)


def test_ollama_s_cache_is_what_its_log_says_for_this_model() -> None:
    """`KV self size = 90.00 MiB` for one slot of 4096 tokens, f16."""
    found = ollama()

    assert (found.token_bytes, found.kv_tokens, found.slots) == (23040, 8192, 2)
    assert found.kv_bytes == 2 * 90 * MIB


def test_vllm_s_cache_is_what_its_metrics_say() -> None:
    """23,296 tokens in 1 GiB, as its log has it; float32 by the model's config."""
    found = vllm()

    assert (found.kv_tokens, found.kv_bytes, found.token_bytes, found.slots) == (23296, 2**30, 46080, None)
    assert any("max_num_seqs" in note for note in found.notes)


def test_a_formula_that_the_engine_contradicts_gives_way_to_the_engine() -> None:
    """Started with another dtype than its config names."""
    found = vllm(config={**SMOLLM2, "dtype": "bfloat16"})

    assert found.token_bytes == round(2**30 / 23296)
    assert any("its own are used" in note for note in found.notes)


def test_a_request_holds_blocks_in_vllm_and_a_whole_slot_in_ollama() -> None:
    assert vllm().held(300) == 3 * 128 * 46080
    assert ollama().held(300) == 4096 * 23040


@pytest.mark.parametrize(
    ("found", "tokens", "count"),
    [
        (vllm(), 4096, 5),
        (vllm({"max-num-seqs": "4"}), 300, 4),
        (vllm(), 4097, 0),
        (ollama(), 4096, 2),
        (ollama(), 4097, 0),
        (ollama(told={}), 300, None),
    ],
)
def test_how_many_fit_at_once(found: Capacity, tokens: int, count: int | None) -> None:
    """By the cache, the slots and the window; a request that fits nowhere is 0, an engine that hides is unknown."""
    assert found.at_once(tokens) == count


@pytest.mark.parametrize(
    "config",
    [
        {},
        {**SMOLLM2, "kv_lora_rank": 512},
        {**SMOLLM2, "sliding_window": 1024},
        {**SMOLLM2, "layer_types": ["full_attention", "sliding_attention"]},
    ],
)
def test_the_formula_is_for_plain_attention_only(config: Mapping[str, Any]) -> None:
    assert capacity.transformer(config) is None


def test_a_window_that_is_switched_off_is_plain_attention() -> None:
    """As Qwen2's config has it."""
    assert capacity.transformer({**SMOLLM2, "sliding_window": 4096, "use_sliding_window": False})


@pytest.mark.parametrize("answer", ["", "<html>no</html>", "vllm:cache_config_info{block_size="])
def test_engines_that_answer_nonsense_leave_everything_unknown(answer: str) -> None:
    found = vllm(metrics=answer)

    assert (found.kv_tokens, found.kv_bytes, found.unit_tokens) == (None, None, None)
    assert found.notes[0] == "/metrics has no vllm:cache_config_info"
    assert ollama(shown={"model_info": [1]}, loaded={}, tag={}).token_bytes is None


def measured(tokens: int | None = 154) -> Memory:
    watch = Watch(sampler=Given(), told=Given().told())
    for engine, amounts in {"ollama": (90, 100), "vllm": (240, 250)}.items():
        watch.seen += [*seen(IDLE, amounts[0] * MIB, engine=engine), *seen(None, amounts[1] * MIB, engine=engine)]
    watch.seen.append(Seen(reading=Read(quantity="gpu", unknown="no NVML: no driver"), loaded=None))
    pair = (
        Engine(engine="ollama", version="0.9.3", model="m", quantization="Q4_1"),
        Engine(engine="vllm", version="0.32.0", model="m", quantization="Q4_1 dequantised"),
    )
    load = Load(what="a test", in_flight=2, seconds=60, requests={"ollama": 9}, errors={}, tokens=tokens)
    return memory_document.build(
        watch, (ollama({"parallel": "1", "ctx-size": "4096"}), vllm()), service="notes", created="2026-11-21",
        context=4096, engines=pair, load=load, period_s=1.0, machine="m", raw="notes-1.jsonl",
    )  # fmt: skip


def test_the_claim_of_less_memory_is_measured() -> None:
    found = {r.what: r.ratio for r in measured().ratios}

    assert found["total under load (pss)"] == 2.5
    assert found["KV cache, one request of this load (154 tokens)"] == pytest.approx(2 * 256 / 4096)
    assert found["at once, sequence of 4096 tokens"] == 5
    assert any("vLLM takes 2.50 times" in line and "150% more" in line for line in measured().says)


def test_it_is_said_that_vllm_preallocates_whatever_was_measured() -> None:
    """A total compares settings, and must not be read as efficiency."""
    assert memory_document.PREALLOCATES in measured().says
    assert memory_document.PREALLOCATES in replace(measured(), ratios=()).says


def test_a_measurement_is_read_back_as_it_was_and_a_damaged_one_is_none(house: House) -> None:
    memory_document.save(house.state, measured())
    assert memory_document.saved(house.state, "notes") == measured()

    path = memory_document.path(house.state, "notes")
    path.write_text(path.read_text()[:-20])
    assert memory_document.saved(house.state, "notes") is None


def test_every_form_of_the_report_has_the_memory(house: House) -> None:
    memory_document.save(house.state, measured())
    report = report_data.collect(house.state, "notes")

    assert json.loads(report_text.as_json(report))["memory"]["raw"] == "notes-1.jsonl"
    for text in (report_text.markdown(report), page(report)):
        assert "PSS, shared pages once" in text
        assert "no NVML: no driver" in text
        assert "250 MiB" in text


def test_a_report_without_a_measurement_has_no_such_section(house: House) -> None:
    report = report_data.collect(house.state, "notes")

    assert "Memory" not in report_text.markdown(report)
    assert 'id="memory"' not in page(report)


async def gated(house: House, sampler: Given) -> tuple[Verdict, list[str]]:
    notes: list[str] = []
    verdict = await measure.gate(
        house.settings, house.service, house.recipe, TOKEN, rounds=2, on_progress=lambda *told: notes.append(told[2]),
        seams=replace(house.seams, sampler=sampler),
    )  # fmt: skip
    return verdict, notes


async def test_a_gate_keeps_the_memory_with_its_raw_file_s_name(house: House) -> None:
    verdict, _ = await gated(house, Given())
    found = memory_document.saved(house.state, "notes")

    assert found is not None
    assert found.raw == verdict.raw.records
    assert {t.engine: t.idle for t in found.taken if t.quantity == "pss"} == {"ollama": 100 * MIB, "vllm": 250 * MIB}
    assert sum(found.load.requests.values()) > 0


async def test_a_sampler_that_fails_does_not_fail_the_gate_and_is_told(house: House) -> None:
    verdict, notes = await gated(house, Given(broken=True))

    assert measure.saved(house.state, "notes") == verdict
    assert any("the kernel said no" in note for note in notes)


async def test_a_memory_file_that_cannot_be_written_does_not_fail_the_gate(house: House) -> None:
    """A full disk, for example."""
    (house.state / "memory").parent.mkdir(parents=True, exist_ok=True)
    (house.state / "memory").write_text("in the way")
    verdict, notes = await gated(house, Given())

    assert measure.saved(house.state, "notes") == verdict
    assert any("memory was not kept" in note for note in notes)
