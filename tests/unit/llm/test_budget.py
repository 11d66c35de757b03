"""What a service may spend in a day: reserved before, settled after, and never guessed at."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.llm.budget import Budget
from services.llm.errors import BudgetError, ErrorType


class Calendar:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def budget(tmp_path: Path, calendar: Calendar) -> Budget:
    return Budget(tmp_path / "state" / "spent-notes.json", per_day=100, provider="anthropic", now=calendar)


def test_what_was_used_takes_the_place_of_what_was_reserved(budget: Budget) -> None:
    """More than was reserved counts as well: the server's count is the bill."""
    first, second = budget.reserve(60), budget.reserve(40)
    assert budget.spent() == 100
    budget.settle(first, 10)
    budget.settle(second, 70)

    assert budget.spent() == 80


def test_beyond_the_budget_nothing_is_reserved(budget: Budget) -> None:
    """The error says how much is spent and which setting holds it; the next smaller request may pass."""
    budget.reserve(90)
    with pytest.raises(BudgetError, match=r"90 of 100 tokens of 2026-11-21 .*ANTHROPIC_TOKENS_PER_DAY") as caught:
        budget.reserve(11)

    assert (caught.value.type, caught.value.provider, budget.spent()) == (ErrorType.BUDGET, "anthropic", 90)
    budget.reserve(10)


def test_a_new_day_begins_at_nothing(budget: Budget, calendar: Calendar) -> None:
    """In UTC. What was reserved before midnight belongs to the day before."""
    late = budget.reserve(100)
    calendar.now = datetime(2026, 11, 22, 0, 1, tzinfo=UTC)

    assert budget.spent() == 0
    budget.reserve(30)
    budget.settle(late, 5)
    assert budget.spent() == 30


def test_a_clock_that_goes_back_gives_nothing_back(budget: Budget, calendar: Calendar) -> None:
    """A day that has been begun stays the day."""
    budget.reserve(100)
    calendar.now = datetime(2026, 11, 20, tzinfo=UTC)

    with pytest.raises(BudgetError):
        budget.reserve(1)


def test_a_restart_does_not_begin_anew(budget: Budget, calendar: Calendar, tmp_path: Path) -> None:
    """And who was killed between reserving and settling has spent all of it."""
    budget.reserve(70)
    again = Budget(tmp_path / "state" / "spent-notes.json", per_day=100, provider="anthropic", now=calendar)

    assert again.spent() == 70
    assert [p.name for p in (tmp_path / "state").iterdir() if p.suffix == ".new"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{ half",
        "[]",
        "\x00",
        '{"version": 2, "day": "2026-11-21", "spent": 0}',
        '{"version": 1, "day": "2026-11-21", "spent": -5}',
        '{"version": 1, "day": "2026-11-21", "spent": "some"}',
        '{"version": 1, "spent": 0}',
    ],
)
def test_a_damaged_file_counts_as_spent_and_is_told(
    budget: Budget, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell what is left, so nothing is; the log names the file and what to do."""
    path = tmp_path / "state" / "spent-notes.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(BudgetError, match=r"spent-notes\.json does not tell .* remove it"):
        budget.reserve(1)

    assert path.read_text() == text
    assert "budget.unusable" in caplog.text


def test_bytes_that_are_no_text_count_as_spent(budget: Budget, tmp_path: Path) -> None:
    """As any other damage."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "spent-notes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BudgetError):
        budget.reserve(1)


def test_a_folder_that_cannot_be_written_counts_as_spent(tmp_path: Path) -> None:
    """Money that cannot be written down is not spent."""
    (tmp_path / "state").write_text("a file where the folder should be")
    budget = Budget(tmp_path / "state" / "spent-notes.json", per_day=100, provider="anthropic")
    with pytest.raises(BudgetError):
        budget.reserve(1)


def test_a_settlement_that_fails_leaves_the_reservation(
    budget: Budget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is there already; it must not be lost over the bookkeeping."""
    reserved = budget.reserve(60)
    path = tmp_path / "state" / "spent-notes.json"
    path.write_text("{ half")
    budget.settle(reserved, 1)

    assert "budget.settle_failed" in caplog.text


def test_processes_that_share_the_file_share_the_budget(tmp_path: Path) -> None:
    """Two workers of one service never reserve the same tokens."""
    budgets = [Budget(tmp_path / "spent-notes.json", per_day=10_000, provider="anthropic") for _ in range(4)]

    def spend(budget: Budget) -> None:
        for _ in range(25):
            budget.settle(budget.reserve(10), 7)

    threads = [threading.Thread(target=spend, args=(budget,)) for budget in budgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert json.loads((tmp_path / "spent-notes.json").read_text())["spent"] == 4 * 25 * 7
