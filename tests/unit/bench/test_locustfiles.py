"""The locustfiles under the real Locust, against a service that answers slowly, badly or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.bench.conftest import FIRST_TOKEN_S, ROOT, TOKEN, FakeService, Locust

RAG = "rag /v1/ask"
ASKED = (RAG, "notes /v1/summarize", "notes /v1/tags", "ner /v1/extract")


def each_service_answered(records: list[dict[str, Any]]) -> bool:
    """At least twice by RAG, the slow one, and by Notes at both of its paths."""
    kinds = {r["item"][0] for r in records if r["service"] == "notes"} | {r["service"] for r in records}
    return {"n", "t", "ner"} <= kinds and sum(r["service"] == "rag" for r in records) > 1


def test_one_command_drives_all_three_services_and_times_streams_at_the_first_token(
    locust: Locust, service: FakeService
) -> None:
    """TTFT is the first token with text: not the headers, a keep-alive, an empty token, or a token made void."""
    service.script = ["whole", "restart"]
    run = locust("-f", "bench/", "-u", "3", "-r", "3", "-t", "300s", enough=each_service_answered)
    assert run.code == 0, run.shown
    assert all(run.row("POST", name)["num_requests"] > 0 for name in ASKED)
    streams = [r for r in run.records if r["service"] == "rag"]
    first_ms = FIRST_TOKEN_S * 1000
    assert all(r["ttft_ms"] >= (r["restarts"] + 1) * first_ms for r in streams)
    assert {r["restarts"] for r in streams} == {0, 1}
    assert all(r["headers_ms"] < r["ttft_ms"] < r["duration_ms"] for r in streams)
    assert run.row("TTFT", RAG)["min_response_time"] >= first_ms
    assert run.row("POST", RAG)["min_response_time"] > run.row("TTFT", RAG)["min_response_time"]
    assert run.row("TPOT", RAG)["num_requests"] == len(streams)
    assert not [s for s in run.stats if s["method"] == "TTFT" and s["name"] != RAG]
    assert {r["llm"]["provider"] for r in run.records} == {"ollama"}
    assert "Answered by" in run.shown
    tagged = [r for r in run.records if r["service"] == "notes" and r["item"][0] == "t"]
    assert run.row("POST", "notes /v1/tags")["num_requests"] == len(tagged)
    assert sum("vocabulary" in body for body in service.bodies) >= len(tagged)
    asked = [str(body.get("question") or body["text"]) for body in service.bodies]
    assert all(text[0] == "[" and text[5:7] == "] " for text in asked)


def test_every_way_to_end_badly_is_a_failure(locust: Locust, service: FakeService) -> None:
    """An error event, a partial answer, a cut stream, a refusal, another engine's answer: each is told apart."""
    service.script = ["error", "partial", "cut", "refused", "fallback", "whole"]
    run = locust(
        *("-f", "bench/rag.py", "-u", "6", "-r", "6", "--arm", "vllm"),
        env={"ADMIN_TOKEN": TOKEN},
        enough=lambda records: len({r["problem"] for r in records}) == len(service.script),
    )
    assert run.code == 1
    assert {r["problem"] for r in run.records} == {
        "error event: The engine went away",
        "done, but the answer is partial",
        "stream ended without a terminal event: HTTPParseError",
        "503 No engine can answer",
        "answered by ollama, asked vllm",
        None,
    }
    failed = [r for r in run.records if r["problem"]]
    assert run.row("POST", RAG)["num_failures"] == len(failed)
    assert run.row("POST", RAG)["num_requests"] == len(run.records)


def test_an_arm_is_asked_for_with_the_token_that_cutover_made(locust: Locust, tmp_path: Path) -> None:
    """From another working directory as well, because only the token is looked up there."""
    home = tmp_path / ".cutover"
    home.mkdir()
    (home / "admin-token").write_text(f"{TOKEN}\n")
    run = locust("-f", str(ROOT / "bench" / "notes.py"), "-u", "1", "--arm", "vllm", cwd=tmp_path)
    assert run.code == 0, run.shown
    assert {(r["arm"], r["llm"]["provider"]) for r in run.records} == {("vllm", "vllm")}


def test_a_service_that_is_not_there_fails_without_a_flood(locust: Locust) -> None:
    """Each refused user pauses before it asks again."""
    nowhere = "http://127.0.0.1:9"
    run = locust("-f", "bench/ner.py", "-u", "2", "-r", "2", "--ner-url", nowhere)
    assert run.code == 1
    assert 0 < len(run.records) < 20
    assert {r["problem"] for r in run.records} == {"no answer: ConnectionRefusedError"}


def test_what_cannot_work_is_refused_before_any_load(locust: Locust, tmp_path: Path) -> None:
    """An arm without a token, one address for three services: told in one line each."""
    run = locust("-f", str(ROOT / "bench"), "-u", "1", "--arm", "ollama", cwd=tmp_path)
    assert run.code != 0
    assert "--arm needs the admin token" in run.shown
    assert run.records == []
    run = locust("-f", "bench/", "-u", "1", "--host", "http://127.0.0.1:9")
    assert run.code != 0
    assert "--host would send every service's requests to one address" in run.shown
