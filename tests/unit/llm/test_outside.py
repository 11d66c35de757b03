"""A service's client as its settings have it: what may leave this host, when, and how it is counted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.llm.build import client_for
from services.llm.client import LLMClient
from services.llm.errors import AllProvidersFailed, Kind
from services.llm.outside import INSTALL
from services.llm.registry import RegistryError
from services.llm.rollout import FILE_NAME, Rollout, Stage, Standing, dump
from services.llm.types import ChatRequest
from services.settings import SERVICES, SettingsError, load
from tests.fakes.engine import FakeEngine, Fault, free_port, serving
from tests.fakes.messages import ENTRY, FakeMessages
from tests.house.sources import ROOT
from tests.unit.llm.conftest import ask, end, read, shown

NAMED = replace(ENTRY, names={"vllm": "writer", "ollama": "writer:latest", "anthropic": "claude-sonnet-5-5"})


@dataclass
class Site:
    """Fakes of all four providers and a client of Notes over them, made from an environment."""

    vllm: FakeEngine
    ollama: FakeEngine
    remote: FakeEngine
    claude: FakeMessages
    client: LLMClient
    registry: CollectorRegistry
    state: Path

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"service": "notes", **labels})

    def spent(self) -> int:
        return int(json.loads((self.state / "spent-notes.json").read_text())["spent"])


@contextlib.asynccontextmanager
async def site(folder: Path, *, engines_up: bool = False, **env: str) -> AsyncIterator[Site]:
    vllm, ollama, remote, claude = FakeEngine(), FakeEngine(), FakeEngine(words=("far",)), FakeMessages()
    registry = CollectorRegistry()
    async with contextlib.AsyncExitStack() as stack:
        urls = {}
        for name, fake in (("VLLM", vllm), ("OLLAMA", ollama), ("REMOTE_VLLM", remote), ("ANTHROPIC", claude)):
            up = engines_up or name not in ("VLLM", "OLLAMA")
            app = await stack.enter_async_context(serving(fake.app())) if up else f"http://127.0.0.1:{free_port()}"
            urls[f"{name}_URL"] = app
        given = {"CUTOVER_HOME": str(folder), "LLM_EGRESS": "on", "ANTHROPIC_API_KEY": "hunter2"}
        settings = load({**given, "ANTHROPIC_TOKENS_PER_DAY": "100000", **urls, **env})
        client = client_for(settings, "notes", registry, entry=NAMED)
        await stack.enter_async_context(client)
        yield Site(vllm, ollama, remote, claude, client, registry, settings.state_dir)


def asked(**changes: object) -> ChatRequest:
    return ask(alias=NAMED.alias, **changes)


@pytest.mark.parametrize("pin", ["ollama", "vllm", "auto"])
@pytest.mark.parametrize("stage", [Stage.OLLAMA, Stage.CANARY, Stage.FULL, Stage.ROLLED_BACK])
async def test_last_resorts_stand_behind_every_engine(tmp_path: Path, pin: str, stage: Stage) -> None:
    """Whatever the pin and wherever the service stands; the engines' own order is what it was."""
    share = {Stage.CANARY: 0.5, Stage.FULL: 1.0}.get(stage, 0.0)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE_NAME).write_text(dump(Rollout(services={"notes": Standing(stage=stage, share=share)})))
    async with site(tmp_path, LLM_LAST_RESORT="remote,anthropic", LLM_PROVIDER=pin) as here:
        chain = here.client._route("k", first=None).chain
    async with site(tmp_path, LLM_PROVIDER=pin) as without:
        assert chain == (*without.client._route("k", first=None).chain, "remote", "anthropic")


async def test_where_an_engine_answers_nothing_leaves(tmp_path: Path) -> None:
    """The zeros are there to be read."""
    async with site(tmp_path, engines_up=True, LLM_LAST_RESORT="remote,anthropic", LLM_PROVIDER="vllm") as here:
        for _ in range(3):
            await here.client.chat(asked())
        here.vllm.default = Fault.BROKEN_500
        answer = await here.client.chat(asked())

        assert answer.provenance.provider == "ollama"
        assert (here.remote.bodies, here.claude.bodies, here.claude.counted) == ([], [], 0)
        for provider in ("remote", "anthropic"):
            assert here.count("llm_paid_tokens_total", provider=provider) == 0
        assert here.count("llm_paid_budget_tokens") == 100_000
    assert not (tmp_path / "state" / "spent-notes.json").exists()


async def test_without_egress_nothing_outside_is_even_built(tmp_path: Path) -> None:
    """Keys and addresses may lie ready; nothing holds them, and the counters say so."""
    async with site(tmp_path, LLM_EGRESS="off") as here:
        with pytest.raises(AllProvidersFailed):
            await here.client.chat(asked(first="vllm"))

        assert list(here.client.links) == ["vllm", "ollama"]
        assert (here.remote.bodies, here.claude.bodies) == ([], [])
        assert here.count("llm_paid_tokens_total", provider="anthropic") == 0
        assert here.count("llm_paid_budget_tokens") == 0


async def test_with_both_engines_gone_the_last_resort_answers(tmp_path: Path) -> None:
    """Under its own name, with its tokens counted, and what it could not be told named."""
    async with site(tmp_path, LLM_LAST_RESORT="anthropic", LLM_PROVIDER="vllm") as here:
        answer = await here.client.chat(asked())
        events = await read(here.client, asked())

        assert answer.text == shown(events) == "Bonjour from Claude"
        for provenance in (answer.provenance, end(events).answer.provenance):
            told = (provenance.provider, provenance.engine, provenance.model)
            assert told == ("anthropic", "anthropic", "claude-sonnet-5-5")
        assert answer.provenance.attempts[-1].dropped == ("temperature",)
        assert here.count("llm_paid_tokens_total", provider="anthropic") == here.spent() == 2 * 29
        assert here.count("llm_paid_budget_tokens") == 100_000 - 2 * 29
        moved = {"from": "vllm", "to": "anthropic"}
        assert [
            here.count("llm_fallbacks_total", **moved, reason=r, attempt="first") for r in ("connect", "breaker_open")
        ] == [1, 1]


async def test_a_remote_vllm_comes_before_anthropic_where_it_is_named_first(tmp_path: Path) -> None:
    """It is the same adapter with a key of its own, and has time to start."""
    async with site(tmp_path, LLM_LAST_RESORT="remote,anthropic", REMOTE_VLLM_API_KEY="rented") as here:
        answer = await here.client.chat(asked())

        assert (answer.text, answer.provenance.provider, answer.provenance.engine) == ("far", "remote", "vllm")
        assert here.remote.headers[-1]["authorization"] == "Bearer rented"
        assert here.client.links["remote"].provider.cold_start_s == 120.0  # type: ignore[attr-defined]
        assert (here.count("llm_paid_tokens_total", provider="remote") or 0) > 0
        assert here.claude.bodies == []


async def test_over_budget_the_engines_are_the_reason(tmp_path: Path) -> None:
    """Nothing is sent; the caller hears that the engines are down, and the attempt says why it stayed here."""
    async with site(tmp_path, LLM_LAST_RESORT="anthropic", ANTHROPIC_TOKENS_PER_DAY="20") as here:
        with pytest.raises(AllProvidersFailed) as caught:
            await here.client.chat(asked())

        assert [str(c.type) for c in caught.value.causes] == ["connect", "budget"]
        assert (caught.value.kind, caught.value.root.provider) == (Kind.DEAD, "ollama")
        assert here.claude.bodies == []
        assert here.count("llm_paid_tokens_total", provider="anthropic") == 0
        assert not here.client.links["anthropic"].breaker.is_open


async def test_a_prompt_is_not_sent_out_to_be_counted(tmp_path: Path) -> None:
    """One that might not fit Ollama's window is passed over here, though a server outside would call it short."""
    async with site(tmp_path, engines_up=True, LLM_LAST_RESORT="remote", LLM_PROVIDER="ollama") as here:
        here.remote.token_count = 10
        long = replace(asked().messages[-1], content="word " * 60_000)
        answer = await here.client.chat(asked(messages=(long,)))

        assert [(s.provider, s.reason) for s in answer.provenance.skipped] == [("ollama", "context_length")]


def test_a_model_without_a_name_there_is_said_at_the_start(tmp_path: Path) -> None:
    """Not at three in the morning, when it is needed."""
    env = {
        "CUTOVER_HOME": str(tmp_path),
        "LLM_EGRESS": "on",
        "NOTES_LLM_LAST_RESORT": "anthropic",
        "ANTHROPIC_API_KEY": "hunter2",
        "ANTHROPIC_TOKENS_PER_DAY": "1",
    }
    with pytest.raises(RegistryError, match=r"anthropic = .* models\.toml"):
        client_for(load(env), "notes", CollectorRegistry())


def test_a_missing_sdk_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a service that asks for it needs it."""
    monkeypatch.setitem(sys.modules, "anthropic", None)
    monkeypatch.delitem(sys.modules, "services.llm.providers.anthropic", raising=False)
    monkeypatch.delitem(sys.modules, "services.llm.providers.anthropic_request", raising=False)
    env = {
        "CUTOVER_HOME": str(tmp_path),
        "LLM_EGRESS": "on",
        "NOTES_LLM_LAST_RESORT": "anthropic",
        "ANTHROPIC_API_KEY": "hunter2",
        "ANTHROPIC_TOKENS_PER_DAY": "1",
    }
    with pytest.raises(SettingsError) as caught:
        client_for(load(env), "notes", CollectorRegistry(), entry=NAMED)
    assert INSTALL in str(caught.value)
    assert (ROOT / INSTALL.rpartition(" ")[2]).is_file()

    client_for(load(env), "rag", CollectorRegistry(), entry=NAMED)


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_imports_the_sdk_unless_it_is_asked_to(service: str, tmp_path: Path) -> None:
    """Its import alone takes longer than everything else of ours together."""
    program = (
        f"import sys; from services.{service}.app import build; from services.settings import load; "
        f"build(load({{'CUTOVER_HOME': {str(tmp_path)!r}, 'LLM_EGRESS': 'on'}})); sys.exit('anthropic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=300).returncode == 0
