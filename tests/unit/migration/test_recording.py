"""`cutover record`: asking, following, showing, and recipes of what was recorded."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.migration import recording, recording_recipe, recording_review, workload
from services.migration.errors import EngineUnreachable, RecordingError
from services.migration.recording import Recorded
from services.recording import account
from services.recording.account import Account
from services.recording.ticket import FOLDER, Ticket, account_path, requests_path, ticket_path

SHIPPED = Path(__file__).parents[3] / "bench" / "workloads" / "notes.toml"
NOW = datetime(2026, 8, 22, 12, 0, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def asked(**changed: Any) -> Ticket:
    wish = {"by": "ada", "now": NOW, "minutes": 10.0, "requests": 5, "share": 1.0, "own": ()}
    return recording.ticket("notes", **{**wish, **changed})


def recorded(state: Path, of: Ticket, texts: list[str], *, ended: str = "") -> Path:
    """What a service would have written."""
    path = requests_path(state, "notes", of.id)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"id": f"q{n}", "body": {"text": t}}) + "\n" for n, t in enumerate(texts)))
    told = Account(
        id=of.id, service="notes", begun=of.at, until=of.until, wanted=of.requests, recorded=len(texts), ended=ended,
        seen=30, seconds=600.0, mean_in_flight=0.5, peak_in_flight=3,
    )  # fmt: skip
    account.write(account_path(state, "notes", of.id), told)
    return path


class TestAsking:
    def test_a_second_recording_waits_for_the_first(self, tmp_path: Path) -> None:
        """It is told who asked, and how to end it."""
        recording.ask(tmp_path, asked(), now=NOW)
        with pytest.raises(RecordingError, match=r"already recorded for ada .*--stop"):
            recording.ask(tmp_path, asked(by="bob"), now=NOW)

    def test_a_ticket_that_a_killed_command_left_is_no_hindrance(self, tmp_path: Path) -> None:
        """Its time is up, or its recording has ended."""
        first, second, third = asked(), asked(), asked()
        recording.ask(tmp_path, first, now=NOW)
        recorded(tmp_path, first, ["a"], ended="as many requests as asked for")
        recording.ask(tmp_path, second, now=NOW)
        recording.ask(tmp_path, third, now=NOW + timedelta(minutes=11))

        assert json.loads(ticket_path(tmp_path, "notes").read_text())["id"] == third.id

    def test_only_its_own_ticket_is_taken_away(self, tmp_path: Path) -> None:
        """A command that ends late does not stop the next one's recording."""
        mine = asked()
        recording.ask(tmp_path, mine, now=NOW)

        assert not recording.withdraw(tmp_path, "notes", "another-id")
        assert recording.withdraw(tmp_path, "notes", mine.id)
        assert not recording.withdraw(tmp_path, "notes")

    @pytest.mark.parametrize("wish", [{"requests": 0}, {"requests": 10**6}, {"share": 0}, {"share": 2}])
    def test_what_has_no_sense_is_refused(self, wish: dict[str, Any]) -> None:
        with pytest.raises(RecordingError, match="cannot record like this"):
            asked(**wish)

    @pytest.mark.parametrize("minutes", [0, -5, 24 * 60 + 1, float("nan"), float("inf")])
    def test_a_time_out_of_bounds_is_refused(self, minutes: float) -> None:
        with pytest.raises(RecordingError, match="minutes"):
            asked(minutes=minutes)

    def test_a_service_that_is_down_is_named_with_the_next_step(self) -> None:
        with pytest.raises(EngineUnreachable, match="cutover up"):
            recording.status("http://127.0.0.1:9", "token", "notes")

    def test_a_service_that_never_sees_the_ticket_is_waited_for_a_little(self, tmp_path: Path) -> None:
        naps: list[float] = []

        assert recording.begun(tmp_path, asked(), sleep=naps.append) is None
        assert sum(naps) == recording.BEGIN_S


class TestFollowing:
    def test_it_is_followed_to_its_end(self, tmp_path: Path) -> None:
        """Each look is told; the end ends it."""
        mine, seen = asked(), []
        recording.ask(tmp_path, mine, now=NOW)
        recorded(tmp_path, mine, ["a"])
        recording.follow(
            tmp_path, mine, on_progress=lambda a: seen.append(a.ended), now=lambda: NOW,
            sleep=lambda _: recorded(tmp_path, mine, ["a", "b"], ended="done"),
        )  # fmt: skip

        assert seen == ["", "done"]

    def test_a_service_that_died_does_not_hold_the_command(self, tmp_path: Path) -> None:
        """Behind the ticket's time nobody is waited for."""
        mine = asked()
        recording.ask(tmp_path, mine, now=NOW)
        late = NOW + timedelta(minutes=11)

        recording.follow(
            tmp_path, mine, on_progress=lambda _: None, now=lambda: late, sleep=lambda _: pytest.fail("slept")
        )

    def test_a_stop_from_elsewhere_ends_it(self, tmp_path: Path) -> None:
        mine = asked()
        recording.follow(
            tmp_path, mine, on_progress=lambda _: None, now=lambda: NOW, sleep=lambda _: pytest.fail("slept")
        )


class TestReading:
    def test_a_line_that_is_being_written_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        path.write_text('{"id": "a", "body": {"text": "x"}}\n{"id": "b", "bo')

        assert recording.read(path) == [Recorded(id="a", body={"text": "x"})]

    @pytest.mark.parametrize(
        "line", ["{", "[]", "{}", '{"id": 1, "body": {}}', '{"id": "a", "body": 2}', '{"id": "a"}']
    )
    def test_a_line_that_is_no_request_is_named(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "r.jsonl"
        path.write_text(f'{{"id": "a", "body": {{}}}}\n{line}\n')
        with pytest.raises(RecordingError, match=r"r\.jsonl:2"):
            recording.read(path)

    def test_everything_of_one_service_is_deleted_and_of_no_other(self, tmp_path: Path) -> None:
        recorded(tmp_path, asked(), ["a"])
        other = tmp_path / FOLDER / "rag-20260101T000000-aaaa.jsonl"
        other.write_text("")

        assert len(recording.delete(tmp_path, "notes")) == 2
        assert list((tmp_path / FOLDER).iterdir()) == [other]
        with pytest.raises(RecordingError, match="cutover record notes"):
            recording.latest(tmp_path, "notes")


class TestRecipe:
    def test_the_shipped_items_keep_their_gold_beside_ones_own(self, tmp_path: Path) -> None:
        """As the gate reads it; the measured load stands above the items."""
        mine = asked()
        path = recorded(tmp_path, mine, ["one", "two", "one"])
        items = recording_recipe.chosen(recording.read(path))
        made = recording_recipe.text(SHIPPED.read_text(), items, recording.progress(tmp_path, mine), source=path.name)
        found = recording_recipe.write(tmp_path / "own.toml", made, service="notes")
        shipped = workload.load(SHIPPED, service="notes")

        assert found.items[: len(shipped.items)] == shipped.items
        assert [(i.id, i.body, i.gold) for i in found.items[len(shipped.items) :]] == [
            ("own-0001", {"text": "one"}, {}), ("own-0002", {"text": "two"}, {}),
        ]  # fmt: skip
        assert "30 requests in 10.0 minutes, 0.05 a second" in made
        assert found.sha256 != shipped.sha256

    def test_many_are_taken_evenly_from_all_of_the_recording(self) -> None:
        many = [Recorded(id=str(n), body={"text": str(n)}) for n in range(1000)]
        found = recording_recipe.chosen(many, most=10)

        assert [r.id for r in found] == [str(n) for n in range(0, 1000, 100)]

    def test_a_file_that_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        target = tmp_path / "own.toml"
        target.write_text("mine")
        with pytest.raises(RecordingError, match="is there already"):
            recording_recipe.write(target, SHIPPED.read_text(), service="notes")

        assert target.read_text() == "mine"

    def test_requests_that_the_recipe_cannot_send_leave_nothing_behind(self, tmp_path: Path) -> None:
        """For example a recording of another service."""
        made = recording_recipe.text(SHIPPED.read_text(), [Recorded(id="a", body={"question": "x"})], None, source="x")
        with pytest.raises(RecordingError, match="do not make a recipe"):
            recording_recipe.write(tmp_path / "own.toml", made, service="notes")

        assert not (tmp_path / "own.toml").exists()

    @settings(deadline=None)
    @given(body=st.dictionaries(TEXTS, VALUES, max_size=4))
    def test_any_body_is_read_back_as_it_was(self, body: dict[str, Any]) -> None:
        """Line breaks, quotes, emoji, control characters, odd names."""
        assert tomllib.loads(f"body = {recording_recipe.value(body)}")["body"] == body

    def test_null_is_left_out(self) -> None:
        assert recording_recipe.value({"a": None, "b": 1}) == "{ b = 1 }"


class TestReview:
    def test_the_copy_has_ones_own_names_taken_out(self, tmp_path: Path) -> None:
        """What has a placeholder already keeps it."""
        requests = [Recorded(id="a", body={"text": "Quill wrote to <EMAIL_1>", "max_tokens": 8})]

        assert recording_review.copy(tmp_path / "c.jsonl", requests, ["Quill"]) == 1
        assert recording.read(tmp_path / "c.jsonl")[0].body == {
            "text": "<REVIEWED_1> wrote to <EMAIL_1>",
            "max_tokens": 8,
        }

    def test_what_may_be_a_name_is_listed_by_frequency(self) -> None:
        """Capitals inside a sentence; the first word of one tells nothing."""
        requests = [
            Recorded(id="a", body={"text": "Today Mara Quill called. She met Ivo, and Mara Quill left."}),
            Recorded(id="b", body={"text": "Nothing here but <JWT_1|JWT_1>."}),
        ]

        assert recording_review.candidates(requests) == [("Mara Quill", 2), ("Ivo", 1)]

    def test_patterns_are_read_from_a_file(self, tmp_path: Path) -> None:
        """One a line; a bad one is named with its file."""
        path = tmp_path / "own.txt"
        path.write_text("# names\n(?i)quill\n\nPRJ-\\d+\n")
        assert recording.patterns(path) == ("(?i)quill", r"PRJ-\d+")

        path.write_text("(a)\\1\n")
        with pytest.raises(RecordingError, match=r"own\.txt.*not a pattern of RE2"):
            recording.patterns(path)
