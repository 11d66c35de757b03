"""The doctor on fake engines: healthy ones pass every check, and each difference is found and explained."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from services.migration import doctor as room
from services.migration import engines, kept_findings
from services.migration.errors import EngineUnreachable
from services.migration.findings import Finding, Level, failed
from tests.unit.migration.house import TOKEN, House, weights


async def examine(house: House, token: str = TOKEN) -> dict[str, Finding]:
    found = await room.doctor(house.settings, "notes", house.recipe, token, seams=house.seams)
    return {f.check: f for f in found}


def replies(house: House, key: str, body: dict[str, Any], status: int = 200) -> None:
    house.answers[key] = lambda _: httpx2.Response(status, json=body)


def altered(house: House, engine: str, **changes: Any) -> None:
    """Let an engine answer as it would, with other numbers or another text."""
    key, native = ("ollama /api/chat", True) if engine == "ollama" else ("vllm /v1/chat/completions", False)

    def answer(body: dict[str, Any]) -> httpx2.Response:
        real = house.generated(body, native=native)
        if (real.status_code != 200 and "status" not in changes) or body.get("stream"):
            return real
        document = json.loads(real.content)
        if "text" in changes:
            (document["message"] if native else document["choices"][0]["message"])["content"] = changes["text"]
        if "prompt" in changes and not native:
            document["usage"]["prompt_tokens"] += changes["prompt"]
        if "made" in changes:
            document.update({"eval_count": changes["made"]})
            document.setdefault("usage", {})["completion_tokens"] = changes["made"]
        return httpx2.Response(changes.get("status", 200), json=document)

    house.answers[key] = answer


async def test_two_like_engines_fail_nothing(house: House) -> None:
    found = await examine(house)
    assert {check: f.next for check, f in found.items() if f.level is Level.FAIL} == {}
    assert not failed(list(found.values()))


async def test_each_finding_that_is_no_pass_says_what_to_do(house: House) -> None:
    for finding in (await examine(house)).values():
        assert bool(finding.next) is (finding.level is not Level.PASS)


@pytest.mark.parametrize(
    "check",
    [
        "generates", "versions", "model names", "context window", "quantisation", "sampling complete",
        "max_tokens honoured", "schema kept", "unknown model refused", "greedy repeats", "prompt tokens, user only",
        "prompt tokens, system and user", "prompt tokens, several turns", "prompt tokens, own prompt n00",
    ],
)  # fmt: skip
async def test_a_healthy_pair_passes(house: House, check: str) -> None:
    assert (await examine(house))[check].level is Level.PASS


async def test_an_engine_that_gives_no_token_fails_and_ends_the_examination(house: House) -> None:
    altered(house, "vllm", made=0)
    found = await examine(house)
    assert found["generates"].level is Level.FAIL
    assert "schema kept" not in found


@pytest.mark.parametrize("engine", ["ollama", "vllm"])
async def test_an_engine_that_is_not_there_is_named(house: House, engine: str) -> None:
    house.refused = frozenset({engine})
    with pytest.raises(EngineUnreachable, match="(?i)" + engine):
        await examine(house)


async def test_a_version_that_is_not_told_is_a_warning(house: House) -> None:
    replies(house, "vllm /version", {})
    assert (await examine(house))["versions"].level is Level.WARN


async def test_a_model_that_is_not_pulled_is_named_with_the_command(house: House) -> None:
    replies(house, "ollama /api/tags", {"models": []})
    finding = (await examine(house))["model names"]
    assert (finding.level, finding.next) == (Level.FAIL, "`ollama pull smollm2-135m:latest`")


async def test_a_served_name_that_differs_is_named_with_the_flag(house: House) -> None:
    replies(house, "vllm /v1/models", {"data": [{"id": "/models/x", "max_model_len": 4096}]})
    assert "--served-model-name smollm2-135m" in (await examine(house))["model names"].next


async def test_a_smaller_window_of_vllm_fails(house: House) -> None:
    replies(house, "vllm /v1/models", {"data": [{"id": "smollm2-135m", "max_model_len": 2048}]})
    finding = (await examine(house))["context window"]
    assert (finding.level, finding.vllm) == (Level.FAIL, "2048")


async def test_another_window_of_ollama_is_a_warning(house: House) -> None:
    replies(house, "ollama /api/ps", {"models": [{"name": "smollm2-135m:latest", "context_length": 8192}]})
    finding = (await examine(house))["context window"]
    assert finding.level is Level.WARN
    assert finding.ollama.startswith("8192")


async def test_other_weights_are_not_like_for_like(house: House) -> None:
    weights(house, dtype="bfloat16")
    finding = (await examine(house))["quantisation"]
    assert (finding.level, finding.ollama, finding.vllm) == (Level.WARN, "F16", "bfloat16")
    assert "not like-for-like" in finding.next


async def test_weights_dequantised_from_ollamas_own_file_are_like_for_like(house: House) -> None:
    gguf = house.home / "m.gguf"
    gguf.write_bytes(b"weights")
    digest = engines._digest(gguf)
    body = {
        "parameters": "num_ctx 4096",
        "details": {"quantization_level": "Q4_1"},
        "modelfile": f"FROM /b/sha256-{digest}",
    }
    replies(house, "ollama /api/show", body)
    finding = (await examine(house))["quantisation"]
    assert (finding.level, finding.vllm) == (Level.PASS, "Q4_1 dequantised")


async def test_another_template_fails_on_every_shape_that_services_use(house: House) -> None:
    altered(house, "vllm", prompt=21)
    found = await examine(house)
    assert found["prompt tokens, user only"].level is Level.WARN
    assert found["prompt tokens, system and user"].level is Level.FAIL
    assert found["prompt tokens, several turns"].level is Level.FAIL
    assert "chat template" in found["prompt tokens, several turns"].next


async def test_another_prompt_through_the_service_fails(house: House) -> None:
    counts = iter([20, 31, 20, 31])

    def answer(_: dict[str, Any]) -> httpx2.Response:
        count = next(counts)
        provider = "ollama" if count == 20 else "vllm"
        llm = {"provider": provider, "attempts": [], "usage": {"prompt_tokens": count}}
        return httpx2.Response(200, json={"summary": "x", "llm": llm})

    house.answers["service /v1/summarize"] = answer
    finding = (await examine(house))["prompt tokens, own prompt n00"]
    assert (finding.level, finding.ollama, finding.vllm) == (Level.FAIL, "20 tokens", "31 tokens")


async def test_a_service_that_falls_back_fails(house: House) -> None:
    house.vllm_fails = True
    finding = (await examine(house))["prompt tokens, own prompt n00"]
    assert finding.level is Level.FAIL
    assert "answered by ollama" in finding.vllm


async def test_a_service_that_holds_nothing_is_told_how_to_fill_it(house: House) -> None:
    """RAG with an empty store answers by itself; that is no engine's fault and no difference of templates."""
    replies(house, "service /v1/summarize", {"answer": "The documents say nothing about this.", "llm": None})
    finding = (await examine(house))["prompt tokens, own prompt n00"]
    assert finding.level is Level.FAIL
    assert (finding.ollama, finding.vllm) == ("no engine was asked", "no engine was asked")
    assert "cutover sample" in finding.next


async def test_a_refused_token_is_told(house: House) -> None:
    assert "ADMIN_TOKEN" in (await examine(house, token="no"))["prompt tokens, own prompt n00"].next


@pytest.mark.parametrize("engine", ["ollama", "vllm"])
async def test_a_swallowed_schema_fails(house: House, engine: str) -> None:
    altered(house, engine, text="Hello!")
    assert (await examine(house))["schema kept"].level is Level.FAIL


@pytest.mark.parametrize("engine", ["ollama", "vllm"])
async def test_an_ignored_limit_fails(house: House, engine: str) -> None:
    altered(house, engine, made=8)
    assert (await examine(house))["max_tokens honoured"].level is Level.FAIL


async def test_a_refusal_of_vllm_still_warns_of_ollamas_silent_cut(house: House) -> None:
    finding = (await examine(house))["over-long prompt"]
    assert (finding.level, finding.vllm) == (Level.WARN, "refused, HTTP 400")
    assert "Ollama cuts" in finding.next


async def test_ollama_is_never_sent_a_prompt_that_fills_its_window(house: House) -> None:
    await examine(house)
    longest = max(len(str(b)) for k, b in house.asked if k == "ollama /api/chat")
    assert longest < 1000


async def test_a_vllm_that_takes_over_long_prompts_fails(house: House) -> None:
    house.answers["vllm /v1/chat/completions"] = lambda body: house.generated(
        {**body, "messages": body["messages"][:1] if len(str(body)) < 5000 else [{"content": "cut"}]}, native=False
    )
    assert (await examine(house))["over-long prompt"].level is Level.FAIL


async def test_an_engine_that_answers_under_any_name_is_a_warning(house: House) -> None:
    house.answers["vllm /v1/chat/completions"] = lambda body: house.generated(
        {**body, "model": "smollm2-135m"}, native=False
    )
    assert (await examine(house))["unknown model refused"].level is Level.WARN


async def test_a_greedy_flip_is_told_and_not_failed(house: House) -> None:
    flips = iter(range(1000))

    def answer(body: dict[str, Any]) -> httpx2.Response:
        answer = house.generated(body, native=False)
        if answer.status_code != 200 or not str(body["messages"][0]["content"]).startswith("Name three"):
            return answer
        real = json.loads(answer.content)
        real["choices"][0]["message"]["content"] = f"answer {next(flips)}"
        return httpx2.Response(200, json=real)

    house.answers["vllm /v1/chat/completions"] = answer
    finding = (await examine(house))["greedy repeats"]
    assert (finding.level, finding.vllm) == (Level.PASS, "3 different of 3")


async def test_ollama_is_always_told_the_registrys_window(house: House) -> None:
    await examine(house)
    asked = [b for k, b in house.asked if k == "ollama /api/chat" and b]  # one of them is no JSON
    assert {b["options"]["num_ctx"] for b in asked} == {4096}


async def test_the_findings_are_kept_with_the_time_and_the_engines_that_were_looked_at(house: House) -> None:
    house.started = {"vllm": "a" * 64}
    now = house.seams.now()
    found = await examine(house)
    kept = kept_findings.saved(house.state, "notes")
    assert list(kept.findings) == list(found.values())
    assert kept.at is not None and kept.at >= now
    assert [(e.engine, e.started_with) for e in kept.engines] == [("ollama", ""), ("vllm", "a" * 64)]


def test_no_findings_are_no_health() -> None:
    assert failed([])
