"""Who is asked first, and the file that decides it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm.rollout import Rollout, RolloutError, RolloutWatch, Stage, Standing, dump, parse
from services.llm.routing import in_share, route

FULL = Standing(stage=Stage.FULL, share=1.0)


@pytest.mark.parametrize(
    ("pin", "standing", "first", "chain"),
    [
        ("auto", Standing(), None, ("ollama",)),
        ("auto", FULL, None, ("vllm", "ollama")),
        ("auto", Standing(stage=Stage.ROLLED_BACK), None, ("ollama",)),
        ("auto", Standing(stage=Stage.CANARY, share=1.0), None, ("vllm", "ollama")),
        ("auto", Standing(stage=Stage.CANARY, share=0.0), None, ("ollama", "vllm")),
        ("auto", Standing(), "vllm", ("vllm", "ollama")),
        ("auto", FULL, "ollama", ("ollama",)),
        ("ollama", FULL, "vllm", ("ollama",)),
        ("vllm", Standing(), "ollama", ("vllm", "ollama")),
    ],
)
def test_chain(pin: str, standing: Standing, first: str | None, chain: tuple[str, ...]) -> None:
    """The pin wins over the measured arm, which wins over the stage; Ollama is always behind vLLM."""
    assert route("rag", "k", pin=pin, standing=standing, first=first).chain == chain


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_share_is_sticky_and_monotone(key: str, a: float, b: float) -> None:
    """Whoever is in a small share stays in every larger one."""
    small, large = sorted((a, b))

    assert not in_share("rag", key, small) or in_share("rag", key, large)


def test_share_is_exact_at_its_ends() -> None:
    """0 is nobody and 1 is everybody."""
    keys = [str(i) for i in range(2000)]

    assert not any(in_share("rag", k, 0.0) for k in keys)
    assert all(in_share("rag", k, 1.0) for k in keys)
    assert 0.04 < sum(in_share("rag", k, 0.05) for k in keys) / 2000 < 0.06


def test_round_trip() -> None:
    """What is written is read."""
    rollout = Rollout(services={"rag": Standing(stage=Stage.CANARY, share=0.25, verdict="v1", demo=True)})

    assert parse(dump(rollout), where="here") == rollout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '{"version": 3, "services": {}}',
        '{"version": 1, "services": {"rag": {"stage": "half", "share": 0, "verdict": null, "demo": false}}}',
        '{"version": 1, "services": {"rag": {"stage": "full", "share": 0.3, "verdict": null, "demo": false}}}',
        '{"version": 1, "services": {"rag": {"stage": "canary", "share": 7, "verdict": null, "demo": false}}}',
    ],
)
def test_nonsense_is_named(text: str) -> None:
    """A file edited by hand into nonsense is refused with its place and the next command."""
    with pytest.raises(RolloutError, match=r"here.*cutover rollback"):
        parse(text, where="here")


def test_holdback_keys_are_the_last_that_would_have_entered() -> None:
    """In full, 2 % ask Ollama first, with vLLM behind it; nobody who had vLLM in the canary is among them."""
    held = Standing(stage=Stage.FULL, share=0.98)
    half = Standing(stage=Stage.CANARY, share=0.5)
    keys = [str(i) for i in range(5000)]
    back = {k for k in keys if route("rag", k, pin="auto", standing=held).chain == ("ollama", "vllm")}

    assert 0.015 < len(back) / len(keys) < 0.025
    assert not any(route("rag", k, pin="auto", standing=half).chain[0] == "vllm" for k in back)
    assert all(route("rag", k, pin="auto", standing=FULL).chain[0] == "vllm" for k in keys)
    assert {route("rag", k, pin="auto", standing=held).reason for k in back} == {"holdback 2% of full"}


def test_holdback_is_written_as_version_2_and_only_that() -> None:
    """A reader from before the holdback goes on reading every file without one."""
    held = Rollout(services={"rag": Standing(stage=Stage.FULL, share=0.98), "ner": FULL})
    ended = Rollout(services={"rag": FULL, "ner": FULL})

    assert parse(dump(held), where="here") == held
    assert [json.loads(dump(r))["version"] for r in (held, ended)] == [2, 1]


def test_last_good_file_stays_in_force(tmp_path: Path) -> None:
    """A damaged rollout file never moves a service; the problem is told."""
    path = tmp_path / "rollout.json"
    watch = RolloutWatch(path, every_s=0.0)
    assert watch.current().standing("rag") == Standing()

    path.write_text(dump(Rollout(services={"rag": FULL})))
    assert watch.current().standing("rag") == FULL
    path.write_text("{ half")
    assert watch.current().standing("rag") == FULL
    assert watch.problem is not None
    path.write_text(json.dumps({"version": 1, "services": {}}))
    assert watch.current().standing("rag") == Standing()
    assert watch.problem is None


def test_file_is_looked_at_only_so_often(tmp_path: Path) -> None:
    """The file system is not asked on every request, and a change is seen within the interval."""
    path, now = tmp_path / "rollout.json", [0.0]
    watch = RolloutWatch(path, every_s=0.5, clock=lambda: now[0])
    watch.current()
    path.write_text(dump(Rollout(services={"rag": FULL})))

    assert watch.current().standing("rag") == Standing()
    now[0] = 0.5
    assert watch.current().standing("rag") == FULL
