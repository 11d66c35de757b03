"""Where each service keeps its data, read from the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import SettingsError, load
from services.web.logs import secrets_of


def address(password: str) -> str:
    return f"postgresql://me:{password}@db:5432/team"


def test_without_a_setting_it_is_the_services_own_file(tmp_path: Path) -> None:
    """As it always was."""
    stores = load({"CUTOVER_HOME": str(tmp_path)}).stores
    assert stores.url("rag") == f"sqlite:///{tmp_path}/data/rag.db"
    assert stores.file("notes") == tmp_path / "data" / "notes.db"


def test_one_service_moves_alone(tmp_path: Path) -> None:
    """To a server, which has no file, or to another file."""
    given = {"RAG_STORE_URL": "postgresql://me@db/team", "NER_STORE_URL": "sqlite:////elsewhere/ner.db"}
    stores = load({"CUTOVER_HOME": str(tmp_path), **given}).stores
    assert (stores.url("rag"), stores.file("rag")) == ("postgresql://me@db/team", None)
    assert stores.file("ner") == Path("/elsewhere/ner.db")
    assert stores.file("notes") == tmp_path / "data" / "notes.db"


def test_a_password_lies_in_a_file_and_shows_nowhere(tmp_path: Path) -> None:
    """Neither in a repr nor in a log."""
    (tmp_path / "url").write_text(address("hushhush") + "\n")
    settings = load({"CUTOVER_HOME": str(tmp_path), "RAG_STORE_URL_FILE": str(tmp_path / "url")})
    assert settings.stores.url("rag") == address("hushhush")
    assert "hushhush" not in repr(settings)
    assert "hushhush" in secrets_of(settings)


def test_a_password_is_known_in_both_its_spellings(tmp_path: Path) -> None:
    """As the address must write it, and as the server, or a message of its driver, has it."""
    (tmp_path / "url").write_text(address("p%40ss%3Aword"))
    settings = load({"RAG_STORE_URL_FILE": str(tmp_path / "url")})
    assert {"p%40ss%3Aword", "p@ss:word"} <= set(secrets_of(settings))


@pytest.mark.parametrize("query", ["password=hush", "sslmode=require&sslpassword=", "p%61ssword=hush"])
def test_a_password_after_the_question_mark_is_refused(query: str) -> None:
    """It would show wherever the address is shown; everything else of libpq's passes."""
    told = r"RAG_STORE_URL is not the address.*never after a \?"
    with pytest.raises(SettingsError, match=told) as error:
        load({"RAG_STORE_URL": f"postgresql://me@db/team?{query}"})
    assert "hush" not in str(error.value)
    url = "postgresql://me@db/team?sslmode=verify-full&passfile=/run/pass"
    assert load({"RAG_STORE_URL": url}).stores.url("rag") == url


@pytest.mark.parametrize(
    "wrong",
    [
        "rag.db",
        "/data/rag.db",
        "sqlite:///rag.db",
        "sqlite:////",
        "mysql://db/team",
        "postgresql://db",
        "postgresql://db:no/team",
        "postgresql://[::1/team",
        "postgresql://me:{}@db/team".format("hu@sh"),
        "postgresql://me:12/hush@db/team",
    ],
)
def test_what_is_no_address_is_refused_without_being_told(wrong: str) -> None:
    """It may hold a password; its name is told, and what to write."""
    with pytest.raises(SettingsError, match="RAG_STORE_URL is not the address of a store; write it like") as error:
        load({"RAG_STORE_URL": wrong})
    assert wrong not in str(error.value).replace("sqlite:////path/to/file.db", "")
