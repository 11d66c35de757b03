"""A sweep as it runs: schedule, closed loops, the raw file on disk, and what stops it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services import cli
from services.migration import report, report_sweep, seals, sweep, sweep_records, sweep_run
from services.migration.errors import EngineUnreachable, GateError, StateError
from services.migration.sweep_run import Memory, Place, Wish
from tests.unit.migration import sweeps
from tests.unit.migration.house import TOKEN, House, at
from tests.unit.migration.sweeps import Rule

WISH = Wish(users=(1, 2), rounds=2, seed=1, block_s=1e9)


def places(house: House) -> list[Place]:
    """One fake service stands for every instance: it obeys the measuring arm."""
    url = house.settings.service_url(house.service)
    return [
        Place(name="vllm", engine="vllm", engine_url=house.settings.vllm_url, service_url=url),
        Place(name="ollama-1", engine="ollama", engine_url=house.settings.ollama_url, service_url=url, parallel=1),
    ]


async def swept(house: House, *, wish: Wish = WISH, memory: Memory | None = None) -> Path:
    return await sweep_run.sweep(
        house.settings, house.service, house.recipe, TOKEN, places(house), wish,
        on_progress=lambda done, total, note: None, memory=memory, seams=house.seams,
    )  # fmt: skip


async def test_every_contender_is_asked_the_same_at_every_level(house: House) -> None:
    """Two waves and two more of each user, the same words to both, none of them twice."""
    raw = sweep.read(await swept(house))
    asked = Counter((b.turn.contender, b.turn.users, len(b.requests)) for b in raw.blocks)
    items = {(b.turn.round, b.turn.users): Counter(r.item for r in b.requests) for b in raw.blocks}
    texts = [body["text"] for where, body in house.asked if where == "service /v1/summarize"]

    assert asked == {(c, u, 4 * u): 2 for c in ("vllm", "ollama-1") for u in (1, 2)}
    assert all(items[b.turn.round, b.turn.users] == Counter(r.item for r in b.requests) for b in raw.blocks)
    assert max(Counter(texts[4:]).values()) == 2


async def test_the_result_is_computed_from_the_file_alone(house: House) -> None:
    """The fake vLLM is three times as fast as the fake Ollama at any number of users."""
    path = await swept(house)
    found = sweep.analysed(sweep.read(path))

    assert (found.throughput.users, found.wait.users) == (1, 1)
    assert found.curve("vllm").version == "0.32.0"
    assert sweep.to_json(found) == sweep.to_json(sweep.analysed(sweep.read(path)))


async def test_no_request_begins_after_the_blocks_time(house: House) -> None:
    """Each user's first one always does: an answer takes 1 s of Ollama, 0.3 s of vLLM."""
    raw = sweep.read(await swept(house, wish=Wish(users=(1,), rounds=1, seed=1, block_s=0.5)))

    assert {b.turn.contender: len(b.requests) for b in raw.blocks} == {"ollama-1": 1, "vllm": 2}


async def test_memory_is_asked_per_contender(house: House) -> None:
    """Before each block and to its end."""
    given = {"vllm": 7, "ollama-1": None}
    raw = sweep.read(await swept(house, memory=lambda name: given[name]))

    assert {(b.turn.contender, b.idle_bytes, b.peak_bytes) for b in raw.blocks} == {
        ("vllm", 7, 7), ("ollama-1", None, None)
    }  # fmt: skip


async def test_a_contender_that_answers_nothing_is_not_measured(house: House) -> None:
    """The warm-up says why; no raw file is begun."""
    with pytest.raises(GateError, match=r"vllm answered nothing in the warm-up \(http_503"):
        await swept(at(house, vllm_fails=True, ollama_fails=True))

    assert not list((house.state / "raw").glob("*"))


async def test_an_answer_of_the_other_engine_is_none_of_its_own(house: House) -> None:
    """The fake service falls back; a sweep counts that as failures of vLLM."""
    found = sweep.analysed(sweep.read(await swept(at(house, vllm_fails=True))))

    assert [(c.name, {x.failed == x.requests for x in c.levels}) for c in found.curves] == [
        ("vllm", {True}), ("ollama-1", {False})
    ]  # fmt: skip


async def test_an_instance_that_goes_away_ends_the_sweep(house: House) -> None:
    """With its log and the way to what was measured until then."""
    with pytest.raises(EngineUnreachable, match=r"for vllm went away.*trial-notes-vllm.log.*--from"):
        await swept(at(house, service_down=True))


async def test_a_full_disk_is_named_and_leaves_whole_blocks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third write fails half-way."""
    real, calls = os.fsync, iter(range(99))

    def full(descriptor: int) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match=r"cannot write .*No space left.*cutover bench SERVICE --from"):
        await swept(house)

    (path,) = (house.state / "raw").glob("sweep-*.jsonl")
    assert len(sweep.read(path).blocks) == 1


def test_every_round_has_every_block_in_an_order_of_its_own() -> None:
    """From the seed, so that it can be drawn again."""
    names, users = ("vllm", "ollama-1", "ollama-4"), (1, 2, 4)
    drawn = sweep_records.schedule(seed=7, rounds=3, contenders=names, users=users)
    rounds = [[(t.contender, t.users) for t in drawn if t.round == n] for n in range(3)]

    assert all(sorted(r) == sorted((c, u) for c in names for u in users) for r in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert drawn == sweep_records.schedule(seed=7, rounds=3, contenders=names, users=users)


def lines() -> list[str]:
    found = sweeps.raw(sweeps.plan(rounds=1), Rule(seconds=lambda name, users: 1.0))
    return [sweep_records.dump(found.plan), *map(sweep_records.dump, found.blocks)]


def test_a_raw_file_is_read_as_it_was_written() -> None:
    """And a torn last line is dropped, aloud."""
    text = seals.sealed(lines())
    whole, torn = (sweep_records.parse(t.encode(), name="raw") for t in (text, text + '{"kind": "blo'))

    assert len(whole.blocks) == 8 and not whole.notes
    assert torn.blocks == whole.blocks and "torn" in torn.notes[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ([], "has no plan in its first line"),
        (["{}\n"], "raw line 1 is not a sweep"),
        ([lines()[0], "nonsense\n"], "raw line 2 does not fit its seal"),
        ([lines()[0], "{}\n"], "raw line 2 is not a block"),
        ([lines()[0], lines()[2]], "its blocks are not those of its plan"),
        ([lines()[0].replace('"schema_version": 1', '"schema_version": 9')], "schema_version 9"),
        ([lines()[0], lines()[1].replace('"end_s": 0.97', '"end_s": -1.0')], "ended before it was sent"),
    ],
)  # fmt: skip
def test_an_unreadable_or_edited_raw_file_is_refused(changed: list[str], said: str) -> None:
    """By line, and with what is wrong."""
    with pytest.raises(GateError, match=said):
        sweep_records.parse(seals.sealed(changed).encode(), name="raw")


def test_a_raw_file_with_an_edited_number_is_refused() -> None:
    text = seals.sealed(lines())
    with pytest.raises(GateError, match="raw line 2 does not fit its seal"):
        sweep_records.parse(text.replace('"end_s": 0.97', '"end_s": 0.96', 1).encode(), name="raw")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["bench", "rag"], "bench needs"),
        (["bench", "rag", "--sweep", "--users", "1,x"], "'x' is not a positive whole number"),
        (["bench", "rag", "--sweep", "--users", "2,2"], "must be different whole numbers"),
        (["bench", "rag", "--sweep", "--block-s", "nan"], "'nan' is not a number of seconds"),
        (["bench", "rag", "--sweep", "--ollama", "4:host"], "is not N=URL"),
        (["bench", "rag", "--sweep", "--parallel", "1", "--ollama", "4=http://h:1"], "NUM_PARALLEL 4, which"),
    ],
)
def test_wrong_arguments_are_usage_errors(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)

    assert ended.value.code == 64
    assert said in capsys.readouterr().err


class TestReport:
    def document(self, **changes: Any) -> sweep.Sweep:
        rule = Rule(seconds=lambda name, users: 1.0 if name == "vllm" else float(users))
        return sweep.analysed(sweeps.raw(sweeps.plan(**changes), rule))

    def test_all_three_forms_tell_of_a_sweep(self, house: House) -> None:
        """Without any verdict, too."""
        sweep.save(house.state, self.document())
        path = report.write(house.state, "rag")
        page = path.with_suffix(".html").read_text()

        assert "vLLM is better than every Ollama from 2 users on" in path.read_text()
        assert all(f'id="plot-sweep-{name}"' in page for name in ("tokens", "wait", "slowest"))
        assert '"best_ollama": "ollama-1"' in path.with_suffix(".json").read_text()

    def test_one_level_is_no_curve(self) -> None:
        assert report_sweep.figures(self.document(users=(2,))) == ()

    def test_the_plots_say_in_words_what_they_show(self) -> None:
        """For whoever cannot see them."""
        plot = report_sweep.figures(self.document())[1]

        assert plot.title == "Median seconds to the first word"
        assert "Ollama, NUM_PARALLEL=1: 0.2" in plot.alt
