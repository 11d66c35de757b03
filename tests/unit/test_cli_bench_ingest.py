"""`cutover bench --ingest` by itself: what it refuses, before anything is fetched or started."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import cli


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--mb", "0"), "'0' is not a number of megabytes"),
        (("--mb", "nan"), "'nan' is not a number of megabytes"),
        (("--mb", "-3"), "'-3' is not a number of megabytes"),
        (("--mb", "1e9"), "'1e9' is not a number of megabytes"),
        (("--embedded-mb", "much"), "'much' is not a number of megabytes"),
        (("rag",), "give it no SERVICE"),
        (("--search",), "no other measurement"),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(
    argv: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 64, with a sentence."""
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    try:
        code = cli.main(["bench", "--ingest", *argv])
    except SystemExit as exc:
        code = int(str(exc.code))

    assert code == 64
    assert told in capsys.readouterr().err


def test_an_embedder_outside_the_service_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its share of the processor cannot be told, and a run of its own has no engine."""
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    monkeypatch.setenv("EMBED_MODEL", "minilm")
    monkeypatch.setenv("EMBED_PROVIDERS", "ollama")

    assert cli.main(["bench", "--ingest"]) == 1
    assert "leave EMBED_PROVIDERS unset" in capsys.readouterr().err
