"""An alias may lack an engine, or be for embedding alone; who cannot use it says so before the first request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from services import settings as settings_room
from services.llm.registry import RegistryError, chat_model, load, model, models
from services.migration.engines import engines
from services.ner import app as ner
from services.notes import app as notes
from services.rag import app as rag
from services.settings import Settings

EMBEDS = "smollm2-135m-embed"


def settings(tmp_path: Path, **change: str) -> Settings:
    return settings_room.load({"CUTOVER_HOME": str(tmp_path), **change})


def test_the_shipped_registry_has_one_model_to_chat_and_one_to_embed() -> None:
    """Each entry says why it is there; an entry that embeds names its space and is not for chat."""
    for entry in models().values():
        assert len(entry.why) > 20
        assert entry.chats == (entry.space is None)
    space = model(EMBEDS).space

    assert space is not None
    assert space.name == "smollm2-135m-embed@q4_1:576:unit"
    assert model(EMBEDS).names == {"ollama": "smollm2-135m:latest"}
    assert chat_model("smollm2-135m").chats


@pytest.mark.parametrize("service", [rag, notes, ner])
def test_a_service_that_should_chat_with_an_embedding_model_does_not_start(service: Any, tmp_path: Path) -> None:
    """It says which aliases it could have, and nothing has been asked of an engine."""
    name = service.SERVICE.upper()
    wrong = settings(tmp_path, **{f"{name}_LLM_MODEL": EMBEDS})

    with pytest.raises(RegistryError, match=r"embeds and is not for chat; for chat there are: .*smollm2-135m"):
        service.build(wrong)


def test_an_unknown_alias_names_the_known_ones(tmp_path: Path) -> None:
    """At the start as well."""
    with pytest.raises(RegistryError, match=r"no model alias 'gpt-9'.*known: .*smollm2-135m"):
        notes.build(settings(tmp_path, NOTES_LLM_MODEL="gpt-9"))


def test_an_alias_tells_which_engines_lack_it(tmp_path: Path) -> None:
    """What runs or compares both engines refuses it by that."""
    file = tmp_path / "models.toml"
    file.write_text('[half]\nwhy = "for a test"\ncontext = 8\nollama = "half:latest"\n')

    assert load(file)["half"].missing("vllm", "ollama") == ("vllm",)
    assert model("smollm2-135m").missing("vllm", "ollama") == ()


async def test_the_doctor_refuses_a_model_that_only_embeds(tmp_path: Path) -> None:
    """Before it asks an engine."""
    async with httpx2.AsyncClient() as http:
        with pytest.raises(RegistryError, match="not for chat"):
            engines(settings(tmp_path, LLM_MODEL=EMBEDS), "notes", http)


@pytest.mark.parametrize(
    "entry",
    [
        'why = "no name"\ncontext = 8',
        'why = "no context"\nvllm = "a"',
        'why = "a word nobody knows"\ncontext = 8\nvllm = "a"\ncapabilities = ["telepathy"]',
        'why = "half a space"\ncontext = 8\nvllm = "a"\nspace = { revision = "r" }',
        'why = "context"\ncontext = "wide"\nvllm = "a"',
    ],
)
def test_an_entry_that_cannot_be_used_is_told_with_its_file(tmp_path: Path, entry: str) -> None:
    """Where the mistake is, for whoever writes a registry."""
    file = tmp_path / "models.toml"
    file.write_text(f"[mine]\n{entry}\n")

    with pytest.raises(RegistryError, match=r"models\.toml: the entry \[mine\] is not usable"):
        load(file)
