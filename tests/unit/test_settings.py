"""The environment: defaults, every problem at once, secrets that do not show."""

from __future__ import annotations

import pytest

from services.settings import VARIABLES, Pin, SettingsError, load


def test_defaults_are_usable() -> None:
    """An empty environment is a valid one."""
    settings = load({})

    assert settings.pins == {"rag": Pin.AUTO, "notes": Pin.AUTO, "ner": Pin.AUTO}
    assert settings.vllm_url == "http://127.0.0.1:8500"
    assert not settings.vllm_is_given
    assert settings.state_dir == settings.home / "state"


def test_pin_per_service_wins() -> None:
    """`RAG_LLM_PROVIDER` wins over `LLM_PROVIDER`, which holds for the rest."""
    settings = load({"LLM_PROVIDER": "vllm", "RAG_LLM_PROVIDER": "ollama"})

    assert settings.pins == {"rag": Pin.OLLAMA, "notes": Pin.VLLM, "ner": Pin.VLLM}


def test_every_problem_is_told_at_once() -> None:
    """Nobody should have to start five times to learn of five mistakes."""
    with pytest.raises(SettingsError) as caught:
        load(
            {
                "CUTOVER_RAG_PORT": "web",
                "LLM_PROVIDER": "gpt",
                "LLM_DEADLINE_S": "nan",
                "VLLM_URL": "not a url",
                "CUTOVER_OLLAMA_PORT": "8502",
            }
        )

    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    for name in ("CUTOVER_RAG_PORT='web'", "LLM_PROVIDER='gpt'", "LLM_DEADLINE_S='nan'", "VLLM_URL", "are both 8502"):
        assert name in problems


def test_an_engine_that_is_given_takes_no_port() -> None:
    """In Compose, for example: 8500 and 8511 are nobody's there, and a service may be published on them."""
    given = {"VLLM_URL": "http://vllm:8000", "OLLAMA_URL": "http://ollama:11434"}

    assert load({**given, "CUTOVER_RAG_PORT": "8500", "CUTOVER_NER_PORT": "8511"}).ports["rag"] == 8500
    with pytest.raises(SettingsError, match="CUTOVER_VLLM_PORT and CUTOVER_RAG_PORT are both 8500"):
        load({"OLLAMA_URL": "http://ollama:11434", "CUTOVER_RAG_PORT": "8500"})


@pytest.mark.parametrize("text", ["http://gpu:8000", "http://gpu:8000/", "http://gpu:8000/v1", "http://gpu:8000/v1/"])
def test_v1_may_be_written_or_not(text: str) -> None:
    """Both spellings of the vLLM URL mean the same."""
    assert load({"VLLM_URL": text}).vllm_url == "http://gpu:8000"


def test_secrets_do_not_show() -> None:
    """Neither key nor token appears when settings are printed or logged."""
    assert "hunter2" not in repr(load({"VLLM_API_KEY": "hunter2", "ADMIN_TOKEN": "hunter2"}))


def test_every_variable_has_a_meaning() -> None:
    """`.env.example` is made of them."""
    assert all(v.meaning for v in VARIABLES)
    assert len({v.name for v in VARIABLES}) == len(VARIABLES)
