"""Raw files: the same bytes give the same verdict, and bytes that no run has written give none."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.migration import records, rounds, seals
from services.migration.errors import GateError
from services.migration.judge import judge
from services.migration.simulated import World, raw, run
from services.migration.verdict import VerdictError, from_json, to_json
from tests.unit.migration.forged import resealed


class TestSeals:
    LINES = raw(World(rounds=2)).splitlines(keepends=True)

    @pytest.mark.parametrize(
        ("changed", "number"),
        [
            ([*LINES[:5], LINES[5].replace(b'"status": 200', b'"status": 500'), *LINES[6:]], 6),
            ([*LINES[:5], *LINES[6:]], 6),
            ([*LINES[:5], LINES[6], LINES[5], *LINES[7:]], 6),
            ([*LINES[:5], LINES[5], *LINES[5:]], 7),
            ([LINES[0].replace(b'"min_rounds": 10', b'"min_rounds": 1'), *LINES[1:]], 1),
        ],
        ids=["a value", "a line gone", "two lines swapped", "a line twice", "a rule"],
    )
    def test_a_file_that_was_edited_is_refused_by_line(self, changed: list[bytes], number: int) -> None:
        assert changed != self.LINES
        with pytest.raises(GateError, match=f"line {number} does not fit its seal"):
            records.parse(b"".join(changed), name="a.jsonl")

    def test_a_file_is_gone_on_with_from_its_last_seal(self, tmp_path: Path) -> None:
        """Whoever opens it again, and also where its last line is torn."""
        plan, *first = seals.opened(b"".join(self.LINES).splitlines(), name="a.jsonl")
        rounds.RawFile(tmp_path / "a.jsonl").write("".join(f"{line.decode()}\n" for line in (plan, *first[:3])))
        with (tmp_path / "a.jsonl").open("ab") as file:
            file.write(b'{"kind": "rec')
        again = rounds.RawFile(tmp_path / "a.jsonl")
        again.cut_torn_line()
        for line in first[3:]:
            again.write(f"{line.decode()}\n")
        assert (tmp_path / "a.jsonl").read_bytes() == b"".join(self.LINES)


class TestBytes:
    def test_the_same_bytes_give_the_same_verdict_byte_for_byte(self) -> None:
        """Wherever they lie and whatever the file is called."""
        data = raw(World(slower=0.7, rounds=12))
        first, second = (to_json(judge(records.parse(data, name=name))) for name in ("a.jsonl", "copy.jsonl"))
        assert first == second

    def test_a_raw_file_of_before_gives_the_verdict_of_before(self) -> None:
        """Written by the program that knew neither starts nor cards: three rounds of `simulated`, and their verdict."""
        then = Path(__file__).parents[2] / "recorded" / "raw"
        verdict = judge(records.parse((then / "schema_3.jsonl").read_bytes(), name="a.jsonl"))
        assert to_json(verdict) == (then / "schema_3.verdict.json").read_text()

    def test_a_verdict_survives_its_file(self) -> None:
        verdict = judge(run(World(rounds=12)))
        assert from_json(to_json(verdict)) == verdict

    def test_a_changed_verdict_file_is_named(self) -> None:
        text = to_json(judge(run(World(rounds=2)))).replace('"outcome"', '"outcom"')
        with pytest.raises(VerdictError, match="here is not a verdict: outcom"):
            from_json(text, where="here")

    def test_a_torn_last_line_is_dropped_and_said(self) -> None:
        verdict = judge(records.parse(raw(World(rounds=12))[:-40], name="a.jsonl"))
        assert any("torn" in reason for reason in verdict.reasons)

    def test_a_run_that_was_killed_is_judged_from_what_is_there(self) -> None:
        lines = raw(World(rounds=12)).splitlines(keepends=True)
        verdict = judge(records.parse(b"".join(lines[:101]), name="a.jsonl"))
        assert any(reason.endswith("of 12 planned rounds were measured") for reason in verdict.reasons)

    @pytest.mark.parametrize(
        ("data", "word"),
        [
            (b"", "no plan"),
            (b"nonsense\n", "line 1 has no seal"),
            (resealed(b'{"no": "plan"}\n'), "line 1 is not a plan"),
            (resealed(raw(World(rounds=2)).replace(b'"round": 1', b'"round": 9')), "not in its plan"),
            (resealed(raw(World(rounds=2)).replace(b'"served_by": "vllm"', b'"served": "vllm"')), "is not a record"),
        ],
    )
    def test_an_unreadable_or_changed_raw_file_is_refused(self, data: bytes, word: str) -> None:
        with pytest.raises(GateError, match=word):
            records.parse(data, name="a.jsonl")

    def test_a_record_that_is_there_twice_is_refused(self) -> None:
        lines = raw(World(rounds=2)).splitlines(keepends=True)
        with pytest.raises(GateError, match="twice"):
            records.parse(resealed(b"".join([*lines, lines[-1]])), name="a.jsonl")
