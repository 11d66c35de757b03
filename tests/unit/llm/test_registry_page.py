"""docs/MODELS.md: its table is the registry's, its commands do what it says, its example is an entry that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from services import cli
from services.llm.registry_weights import Geometry, Serving, Weights
from tests.unit.llm.registry_page import PAGE, renewed

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FAILS = {"cutover plan --gpu rtx-3090 --model qwen3-8b --context 8192 --ollama-resident 6GiB"}


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_table_is_the_registry_s() -> None:
    """`python -m tests.unit.llm.registry_page --write` renews it."""
    assert page() == renewed(page())


def test_the_commands_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its order, in a folder that holds the page's own example; one of them does not fit, as the page says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("CUTOVER_MODELS", raising=False)
    blocks = FENCE.findall(page())
    (entry,) = [text for language, text in blocks if language == "toml"]
    (shown,) = [text for language, text in blocks if language == "text"]
    Path("entry.toml").write_text(entry)
    commands = [line for language, text in blocks if language == "sh" for line in text.splitlines()]

    assert commands[0] in FAILS
    for command in commands:
        assert cli.main(shlex.split(command)[1:]) == (1 if command in FAILS else 0), command
        said = capsys.readouterr().out
        if command in FAILS:
            assert shown in said
    assert (tmp_path / "home" / "models.toml").exists()


def test_every_key_of_an_entry_is_on_the_page() -> None:
    """A key that nobody can look up is one that nobody sets."""
    keys = {*Serving.__slots__, *Geometry.__slots__, *Weights.__slots__} - {"geometry", "weights", "precision"}

    assert not [key for key in sorted(keys) if f"`{key}`" not in page() and f".{key}`" not in page()]
