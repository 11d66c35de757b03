"""What may leave this host is said in so many words, or nothing does: every contradiction is a sentence."""

from __future__ import annotations

import re

import pytest

from services.settings import SERVICES, VARIABLES, Resort, SettingsError, load
from tests.house.sources import ROOT

REMOTE = {"LLM_EGRESS": "on", "LLM_LAST_RESORT": "remote", "REMOTE_VLLM_URL": "https://gpu.example"}
CLAUDE = {
    "LLM_EGRESS": "on",
    "LLM_LAST_RESORT": "anthropic",
    "ANTHROPIC_API_KEY": "hunter2",
    "ANTHROPIC_TOKENS_PER_DAY": "100000",
}


def test_by_default_nothing_may_leave() -> None:
    """No service has a last resort, whatever else is set."""
    told = load({"ANTHROPIC_API_KEY": "hunter2", "REMOTE_VLLM_URL": "https://gpu.example", "LLM_EGRESS": "on"})

    assert told.last_resorts.chains == dict.fromkeys(SERVICES, ())
    assert "hunter2" not in repr(told)


def test_both_in_the_order_that_is_written() -> None:
    """Everything that they need, parsed."""
    told = load({**REMOTE, **CLAUDE, "LLM_LAST_RESORT": "remote, anthropic", "REMOTE_VLLM_API_KEY": "k"}).last_resorts

    assert told.chains == dict.fromkeys(SERVICES, (Resort.REMOTE, Resort.ANTHROPIC))
    assert (told.remote_url, told.remote_cold_start_s) == ("https://gpu.example", 120.0)
    assert (told.anthropic_url, told.anthropic_tokens) == ("https://api.anthropic.com", 100_000)
    assert told.remote_key is not None
    assert told.anthropic_key is not None


def test_a_service_may_have_its_own_or_none() -> None:
    """Its own word wins over the one for all."""
    told = load({**REMOTE, **CLAUDE, "NOTES_LLM_LAST_RESORT": "remote", "NER_LLM_LAST_RESORT": "none"}).last_resorts

    assert told.chains == {"rag": (Resort.ANTHROPIC,), "notes": (Resort.REMOTE,), "ner": ()}


@pytest.mark.parametrize("service", SERVICES)
def test_one_service_alone_can_be_let_out(service: str) -> None:
    """Opting in is per service."""
    env = {**REMOTE, "LLM_LAST_RESORT": "", f"{service.upper()}_LLM_LAST_RESORT": "remote"}

    assert [s for s, chain in load(env).last_resorts.chains.items() if chain] == [service]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({**REMOTE, "LLM_EGRESS": "off"}, "LLM_EGRESS is not on; set LLM_EGRESS=on"),
        ({**REMOTE, "LLM_EGRESS": ""}, "LLM_EGRESS is not on; set LLM_EGRESS=on"),
        ({**REMOTE, "LLM_EGRESS": "yes"}, "LLM_EGRESS must be on or off"),
        ({**REMOTE, "REMOTE_VLLM_URL": ""}, "set REMOTE_VLLM_URL"),
        ({**REMOTE, "REMOTE_VLLM_URL": "http://gpu.example"}, "REMOTE_VLLM_URL sends prompts and key unencrypted"),
        ({**REMOTE, "REMOTE_VLLM_URL": "http://10.0.0.7:8000"}, "REMOTE_VLLM_URL sends prompts and key unencrypted"),
        ({**REMOTE, "REMOTE_VLLM_COLD_START_S": "soon"}, "REMOTE_VLLM_COLD_START_S='soon'"),
        ({**CLAUDE, "ANTHROPIC_API_KEY": ""}, "set ANTHROPIC_API_KEY"),
        ({**CLAUDE, "ANTHROPIC_TOKENS_PER_DAY": ""}, "set ANTHROPIC_TOKENS_PER_DAY"),
        ({**CLAUDE, "ANTHROPIC_TOKENS_PER_DAY": "0"}, "set ANTHROPIC_TOKENS_PER_DAY"),
        ({**CLAUDE, "ANTHROPIC_TOKENS_PER_DAY": "-1"}, "ANTHROPIC_TOKENS_PER_DAY='-1' is not a whole number"),
        ({**CLAUDE, "ANTHROPIC_URL": "http://api.anthropic.com"}, "ANTHROPIC_URL sends prompts and key unencrypted"),
        ({**REMOTE, "LLM_LAST_RESORT": "openai"}, "LLM_LAST_RESORT='openai' is not a list of last resorts"),
        ({**REMOTE, "LLM_LAST_RESORT": "remote,remote"}, "names one twice"),
        ({**REMOTE, "RAG_LLM_LAST_RESORT": "remote;anthropic"}, "RAG_LLM_LAST_RESORT='remote;anthropic'"),
        ({**REMOTE, "REMOTE_VLLM_URL": "https://[gpu"}, "REMOTE_VLLM_URL='https://[gpu' is not a URL"),
    ],
)
def test_a_contradiction_is_one_sentence_that_says_what_to_set(change: dict[str, str], says: str) -> None:
    """One, not one for each service or for each thing that follows from it."""
    with pytest.raises(SettingsError) as caught:
        load(change)

    assert [says in problem for problem in caught.value.problems] == [True], caught.value.problems


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_on_this_machine_tls_may_be_left_out(host: str) -> None:
    """For a test, or a tunnel that ends here."""
    assert load({**REMOTE, "REMOTE_VLLM_URL": f"http://{host}:9000/v1"}).last_resorts.remote_url


def test_the_page_names_every_setting_and_only_those() -> None:
    """What an operator reads is what there is."""
    page = (ROOT / "docs" / "LAST_RESORT.md").read_text(encoding="utf-8")
    outside = [v.name for v in VARIABLES if v.name.startswith(("REMOTE_", "ANTHROPIC_")) or v.name == "LLM_EGRESS"]

    assert [name for name in outside if name not in page] == []
    named = set(re.findall(r"\b(?:LLM|NOTES_LLM|REMOTE_VLLM|ANTHROPIC)_[A-Z_]+\b", page))
    assert named - {v.name for v in VARIABLES} == set()
