"""Secrets in files, as compose mounts them: read like the variable, and no file's text in any message."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Secret, SettingsError, load

NAMES = ("ADMIN_TOKEN", "VLLM_API_KEY", "REMOTE_VLLM_API_KEY", "ANTHROPIC_API_KEY", "CUTOVER_API_KEY")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_what_the_variable_would(name: str, tmp_path: Path) -> None:
    """An editor's newline at the end is no part of the secret."""
    file = tmp_path / "secret"
    file.write_text("s3cret-word\n")

    assert load({f"{name}_FILE": str(file)}) == load({name: "s3cret-word"})


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    """Which of the two would win, nobody should have to know."""
    file = tmp_path / "secret"
    file.write_text("s3cret-word")

    with pytest.raises(SettingsError, match="ADMIN_TOKEN and ADMIN_TOKEN_FILE are both set") as caught:
        load({"ADMIN_TOKEN": "another", "ADMIN_TOKEN_FILE": str(file)})
    assert "s3cret-word" not in str(caught.value)


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "is not text")])
def test_a_file_that_holds_no_secret_is_a_problem(content: bytes | None, why: str, tmp_path: Path) -> None:
    """Never a service that runs without the token that somebody meant to give it."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError, match=why):
        load({"ADMIN_TOKEN_FILE": str(file)})


def test_an_empty_name_is_no_file() -> None:
    """Compose hands over an empty variable where .env has none."""
    assert load({"ADMIN_TOKEN_FILE": "", "ADMIN_TOKEN": "word"}).admin_token == Secret("word")


def test_a_service_may_be_found_elsewhere() -> None:
    """In compose each has a name of its own; the others stay at their ports."""
    settings = load({"CUTOVER_RAG_URL": "http://rag:8501/", "CUTOVER_BIND": "127.0.0.2"})

    assert settings.service_url("rag") == "http://rag:8501"
    assert settings.service_url("ner") == "http://127.0.0.2:8503"
