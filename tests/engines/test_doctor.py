"""The doctor on real vLLM and real Ollama: it finds what differs there, and stays away from what would block them."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from services.migration import doctor as room
from services.migration.doctor import Wanted
from services.migration.doctor_wire import Overrides
from services.migration.findings import Finding, Level, failed
from services.settings import Settings

pytestmark = pytest.mark.engines

RECIPES = Path(__file__).parents[2] / "bench" / "workloads"
OTHER = "doctor-other"  # the same weights under another template


async def examined(settings: Settings, overrides: Overrides = Overrides()) -> dict[str, Finding]:  # noqa: B008
    wanted = Wanted(engines_only=True, overrides=overrides)
    found = await room.doctor(settings, "rag", RECIPES / "rag.toml", "", wanted=wanted)
    return {f.check: f for f in found}


async def test_our_own_pair_has_no_failure_and_tells_the_known_differences(engines: Settings) -> None:
    found = await examined(engines)

    assert {c: f.next for c, f in found.items() if f.level is Level.FAIL} == {}
    assert found["stream framing"].level is found["schema cut short"].level is Level.PASS
    assert "--tool-call-parser" in found["tool calls"].vllm
    assert "swallows max_completion_tokens" in found["swallowed fields"].ollama
    assert "honours max_completion_tokens" in found["swallowed fields"].vllm
    assert "drops guided_json" in found["response formats"].vllm
    assert "--runner pooling" in found["embedding space"].next
    assert "dimension 576, length 1.000" in found["embedding space"].ollama


async def test_another_template_and_another_window_are_found_on_the_real_ollama(engines: Settings) -> None:
    """The same weights, made anew with a template that adds a system message, and with a smaller window."""
    source = "smollm2-135m:latest"
    body = {"model": OTHER, "from": source, "stream": False, "template": "system: be kind\n{{ .Prompt }}",
            "parameters": {"num_ctx": 2048}, "system": "You are a pirate."}  # fmt: skip
    async with httpx2.AsyncClient(timeout=120, trust_env=False) as http:
        assert (await http.post(f"{engines.ollama_url}/api/create", json=body)).status_code == 200
        try:
            found = await examined(engines, Overrides(ollama_model=f"{OTHER}:latest"))
        finally:
            await http.request("DELETE", f"{engines.ollama_url}/api/delete", json={"model": OTHER})

    assert found["prompt tokens, several turns"].level is Level.FAIL
    assert "be kind" in found["prompt tokens, several turns"].ollama
    assert found["context window"].ollama.startswith("2048")
    assert "SYSTEM" in found["Modelfile"].ollama
    assert found["swallowed fields"].ollama.startswith("not asked: /v1 would load the model anew")
    assert failed(list(found.values()))
