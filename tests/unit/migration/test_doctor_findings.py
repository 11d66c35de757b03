"""What the doctor finds beyond the basics: each real difference between the engines, on fakes that have it."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx2
import pytest

from services.llm.registry import model
from services.migration import doctor as room
from services.migration import doctor_embeddings as vectors
from services.migration.doctor_checks import CHECKS, check_of
from services.migration.engines import Reached
from services.migration.findings import Finding, Level, document
from services.migration.modelfile import defaults_of_ollama, parameters
from services.migration.parity import version_of
from tests.house.sources import ROOT
from tests.unit.migration.fake_pair import SHOWN
from tests.unit.migration.house import TOKEN, House
from tests.unit.migration.test_doctor import altered, examine, replies


def changed(house: House, path: str, change: Any, when: Any = lambda _: True) -> None:
    """Let one path answer as it would, but for what `change` makes of the document."""

    def answer(body: dict[str, Any]) -> httpx2.Response:
        del house.answers[path]
        engine, where = path.split(" ")
        request = httpx2.Request("POST", f"http://{engine}{where}", json=body)
        real = getattr(house, f"_{engine}")(request, body)
        house.answers[path] = answer
        if real.status_code != 200 or not when(body):
            return real
        return httpx2.Response(200, json=change(json.loads(real.content)))

    house.answers[path] = answer


def shown(house: House, **changes: Any) -> None:
    replies(house, "ollama /api/show", {**SHOWN, **changes})


async def test_every_finding_is_of_the_catalogue(house: House) -> None:
    """So that a waiver can name it and the page explains it."""
    found = await examine(house)
    assert [check for check in found if check_of(check) is None] == []
    assert all(document(f)["why"] and document(f)["id"] for f in found.values())


def test_the_page_and_the_catalogue_are_the_same() -> None:
    """docs/DOCTOR.md has a row for each check, with its number and its reason, in order."""
    rows = [line for line in (ROOT / "docs/DOCTOR.md").read_text().splitlines() if line.startswith("| `")]
    told = [tuple(cell.strip() for cell in row.strip("|").split("|")[:3]) for row in rows]
    assert told == [(f"`{name}`", check.id, check.why) for name, check in CHECKS.items()]


@pytest.mark.parametrize("word", ["SYSTEM You are a pirate.", "ADAPTER /b/lora", "MESSAGE user hi"])
async def test_what_the_modelfile_adds_to_requests_fails(house: House, word: str) -> None:
    shown(house, modelfile=f"FROM /b/x\n{word}\n")
    finding = (await examine(house))["Modelfile"]
    assert finding.level is Level.FAIL
    assert word.split()[0] in finding.ollama


async def test_a_stop_of_the_modelfile_that_is_no_single_token_fails(house: House) -> None:
    replies(house, "vllm /tokenize", {"count": 3, "tokens": [1, 2, 3]})
    finding = (await examine(house))["Modelfile"]
    assert (finding.level, "'<|end|>'" in finding.next) == (Level.FAIL, True)


@pytest.mark.parametrize(("version", "level"), [("0.9.3", "pass"), ("0.50.1", "warn"), ("main", "warn"), ("", "warn")])
async def test_a_version_that_the_checks_do_not_know_is_told(house: House, version: str, level: str) -> None:
    replies(house, "ollama /api/version", {"version": version})
    assert (await examine(house))["versions"].level == level


def test_defaults_follow_the_modelfile_then_the_version() -> None:
    told = parameters({"parameters": 'temperature  0.3\nstop  "<|a|>"\nstop  "b"\n'})
    native, v1 = defaults_of_ollama(told, (0, 9))
    assert (native["temperature"], native["top_k"], native["repeat_penalty"]) == ("0.3", "40", "1.1")
    assert v1["temperature"] == "1"  # /v1 forces it, whatever the Modelfile says
    assert defaults_of_ollama({}, (0, 33))[0]["repeat_penalty"] == "1.0"
    assert told["stop"] == ["<|a|>", "b"]


@pytest.mark.parametrize(("text", "number"), [("0.32.0", (0, 32)), ("v1.2-rc1", (1, 2)), ("dev", None), ("", None)])
def test_versions_are_read_as_far_as_they_are_numbers(text: str, number: tuple[int, int] | None) -> None:
    assert version_of(text) == number


async def test_what_generation_config_sets_is_shown(house: House) -> None:
    (house.home / "weights" / "generation_config.json").write_text('{"temperature": 0.6, "max_new_tokens": 5}')
    finding = (await examine(house))["sampling defaults"]
    assert "temperature 0.6" in finding.vllm
    assert "max_tokens 5" in finding.vllm


async def test_a_model_that_spills_to_the_cpu_is_no_baseline(house: House) -> None:
    entry = {"name": "smollm2-135m:latest", "size": 2**31, "size_vram": 2**30}
    replies(house, "ollama /api/ps", {"models": [entry]})
    finding = (await examine(house))["GPU share"]
    assert (finding.level, finding.ollama) == (Level.FAIL, "1.00 of 2.00 GiB on a GPU")


async def test_another_template_shows_both_prompts(house: House) -> None:
    altered(house, "vllm", prompt=21)
    replies(house, "vllm /detokenize", {"prompt": "<|im_start|>system\nYou are SmolLM"})
    finding = (await examine(house))["prompt tokens, several turns"]
    assert "You are SmolLM" in finding.vllm
    assert "{{ .Prompt }}" in finding.ollama


async def test_a_doubled_begin_of_text_fails(house: House) -> None:
    replies(house, "vllm /tokenize", {"count": 3, "tokens": [1, 1, 5], "token_strs": ["<s>", "<s>", "x"]})
    assert (await examine(house))["begins once"].level is Level.FAIL


async def test_a_missing_tool_parser_is_named_with_the_flag(house: House) -> None:
    finding = (await examine(house))["tool calls"]
    assert finding.level is Level.WARN
    assert "--tool-call-parser" in finding.next
    assert "auto: HTTP 400" in finding.vllm


async def test_a_tool_call_told_as_text_is_seen(house: House) -> None:
    text = {"message": {"content": "<tool_call>get"}, "finish_reason": "length"}
    house.answers["vllm /v1/chat/completions"] = lambda body: (
        httpx2.Response(200, json={"choices": [text]}) if body.get("tools") else house.generated(body, native=False)
    )
    assert "required: text and no call: '<tool_call>get'" in (await examine(house))["tool calls"].vllm


async def test_swallowed_fields_are_listed_for_each_engine(house: House) -> None:
    finding = (await examine(house))["swallowed fields"]
    assert finding.level is Level.WARN
    assert "max_completion_tokens" in finding.ollama.split(";")[0]
    assert "honours max_completion_tokens" in finding.vllm


async def test_ollamas_v1_is_left_alone_where_it_would_load_the_model_anew(house: House) -> None:
    shown(house, parameters="")
    found = await examine(house)
    assert found["swallowed fields"].ollama.startswith("not asked: /v1 would load the model anew (window unset")
    assert not [key for key, _ in house.asked if key == "ollama /v1/chat/completions"]


async def test_spellings_of_a_schema_that_are_dropped_are_listed(house: House) -> None:
    finding = (await examine(house))["response formats"]
    assert (finding.level, "drops guided_json, format" in finding.vllm) == (Level.WARN, True)


@pytest.mark.parametrize("broken", ["data: {}\n\n", 'data: {"error": {"message": "x"}}\n\ndata: [DONE]\n\n'])
async def test_a_stream_without_its_end_or_with_an_error_fails(house: House, broken: str) -> None:
    house.answers["vllm /v1/chat/completions"] = lambda body: (
        httpx2.Response(200, text=broken) if body.get("stream") else house.generated(body, native=False)
    )
    assert (await examine(house))["stream framing"].level is Level.FAIL


async def test_a_stop_that_is_ignored_fails(house: House) -> None:
    altered(house, "ollama", text="hello word")
    finding = (await examine(house))["stop honoured"]
    assert (finding.level, "Ollama did not stop" in finding.next) == (Level.FAIL, True)


async def test_a_bad_request_that_looks_like_an_ill_engine_fails(house: House) -> None:
    house.answers["vllm /v1/chat/completions"] = lambda body: (
        httpx2.Response(500, json={"error": "oops"}) if body["temperature"] > 2 else house.generated(body, native=False)
    )
    assert (await examine(house))["bad requests refused"].level is Level.FAIL


async def test_a_model_that_loads_at_each_call_is_no_fair_baseline(house: House) -> None:
    changed(house, "ollama /api/chat", lambda d: {**d, "load_duration": 3_000_000_000}, lambda b: not b.get("stream"))
    assert (await examine(house))["warm"].level is Level.WARN


def rows(*angles: float) -> list[list[float]]:
    return [[math.cos(a), math.sin(a), *[0.0] * 574] for a in angles]


def space(theirs: list[list[float]], *, served: bool = True) -> Finding:
    ours = rows(*[0.1] * 20)
    answers = (Reached(status=200, body={}), Reached(status=200 if served else 404, body={"detail": "Not Found"}))
    return vectors._space(model("smollm2-135m-embed"), ours, theirs, 20, answers)


def test_equal_vectors_are_one_space() -> None:
    assert space(rows(*[0.1] * 20)).level is Level.PASS


def test_vectors_that_point_elsewhere_are_another_space() -> None:
    finding = space(rows(*[0.1] * 18, 1.0, 1.0))
    assert (finding.level, "p5 0.62" in finding.vllm) == (Level.FAIL, True)


def test_vectors_of_another_length_are_another_space() -> None:
    assert space([[x * 2 for x in row] for row in rows(*[0.1] * 20)]).level is Level.FAIL
    assert space([row[:100] for row in rows(*[0.1] * 20)]).level is Level.FAIL


def test_a_vllm_that_does_not_embed_is_a_warning_that_says_what_to_start() -> None:
    finding = space([], served=False)
    assert (finding.level, "--runner pooling" in finding.next) == (Level.WARN, True)


async def test_only_a_service_that_searches_by_vectors_is_asked_for_them(house: House) -> None:
    assert "embedding space" not in await examine(house)
    other = House(home=house.home, service="rag")
    found = await room.doctor(other.settings, "rag", other.recipe, TOKEN, seams=other.seams)
    assert "embedding space" in {f.check for f in found}


async def test_embeddings_of_both_engines_are_compared_pair_by_pair(house: House) -> None:
    """Where vLLM embeds too, every chunk is sent to both, and a long text as well."""
    other = House(home=house.home, service="rag")
    other.answers["vllm /v1/embeddings"] = lambda body: httpx2.Response(
        200, json={"data": [{"embedding": [0.0, 1.0, *[0.0] * 574]} for _ in body["input"]]}
    )
    found = await room.doctor(other.settings, "rag", other.recipe, TOKEN, seams=other.seams)
    told = {f.check: f for f in found}
    assert told["embedding space"].level is Level.FAIL
    assert f"paired cosine p5 0.0000 on {other.items} texts" in told["embedding space"].vllm
    assert told["embedding of long texts"].level is Level.PASS
