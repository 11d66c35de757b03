"""What `cutover doctor` prints: what forbids a move first, what passed by name only, in 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from services.cli_doctor import told
from services.migration.findings import Finding, Level

FOUND = (
    Finding(check="versions", level=Level.PASS, ollama="0.9.3", vllm="0.32.0"),
    Finding(check="tool calls", level=Level.WARN, ollama="HTTP 400", vllm="HTTP 400", next="start vLLM with a parser"),
    Finding(
        check="context window", level=Level.FAIL, ollama="4096", vllm="2048 [of this model]", next="--max-model-len",
        waived="short prompts", waived_until="2026-12-24", waived_by="Ana",
    ),
)  # fmt: skip


def shown(*, everything: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(*told(FOUND, everything=everything), sep="\n")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_what_forbids_a_move_comes_first() -> None:
    heads = [line.split()[0] for line in shown() if line and not line.startswith(" ")]
    assert heads == ["fail", "warn", "1"]


def test_what_passed_is_named_without_its_values() -> None:
    text = "\n".join(shown())
    assert "1 passed: versions." in text
    assert "0.9.3" not in text


def test_all_shows_what_passed_too() -> None:
    text = "\n".join(shown(everything=True))
    assert "0.9.3" in text
    assert "1 passed" not in text


def test_values_steps_and_waivers_are_shown_as_they_are() -> None:
    text = "\n".join(shown())
    for said in ("2048 [of this model]", "start vLLM with a parser", "until 2026-12-24 by Ana: short prompts"):
        assert said in text


def test_it_fits_80_columns() -> None:
    assert all(len(line) <= 80 for line in shown(everything=True))
