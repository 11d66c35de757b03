"""The gate's driver against a fake service: what it asks, what it records, how it is stopped and goes on."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.migration import measure, records, schedule, simulated, workload
from services.migration.asking import Asker
from services.migration.errors import EngineUnreachable, GateError, StateError, WorkloadError
from services.migration.records import Plan, Record, Side
from services.migration.rounds import Driver, RawFile
from services.migration.schedule import arrivals
from services.migration.verdict import Outcome, Verdict, to_json
from tests.unit.migration.house import TOKEN, House


async def gate(house: House, **options: Any) -> Verdict:
    rounds = options.pop("rounds", 4)
    return await measure.gate(
        house.settings,
        house.service,
        house.recipe,
        options.pop("token", TOKEN),
        rounds=rounds,
        seams=house.seams,
        **options,
    )


def only_raw(house: House) -> Path:
    (path,) = (house.state / "raw").glob("*.jsonl")
    return path


def recorded(house: House) -> tuple[Record, ...]:
    return measure.read(only_raw(house)).records


async def test_a_gate_leaves_a_verdict_that_its_raw_file_reproduces(house: House) -> None:
    verdict = await gate(house)
    assert to_json(measure.judge_file(only_raw(house))) == to_json(verdict)
    assert (measure.saved(house.state, "notes"), verdict.raw.records) == (verdict, only_raw(house).name)


async def test_a_small_gate_is_inconclusive_however_fast_vllm_is(house: House) -> None:
    assert (await gate(house)).outcome is Outcome.INCONCLUSIVE


async def test_records_hold_who_served_what_and_when(house: House) -> None:
    await gate(house)
    record = next(r for r in recorded(house) if r.side is Side.CANDIDATE)
    assert (record.served_by, record.prompt_tokens, record.output_tokens, record.finish) == ("vllm", 20, 5, "stop")
    assert record.e2e_s == pytest.approx(0.3)
    assert (record.quality, record.contract_ok, record.load1) == ({"keyword_recall": 1.0}, True, 0.5)


async def test_both_engines_read_the_same_bytes_and_the_second_ollama_block_others(house: House) -> None:
    await gate(house, rounds=1)
    texts = [b["text"] for k, b in house.asked if k == "service /v1/summarize"][4:]  # two warm-up blocks before
    planned = measure.read(only_raw(house)).plan.schedule[0]
    blocks = {side: texts[2 * i : 2 * i + 2] for i, side in enumerate(planned.order)}
    assert blocks[Side.BASELINE] == blocks[Side.CANDIDATE]
    assert set(blocks[Side.AGAIN]).isdisjoint(blocks[Side.BASELINE])


async def test_the_second_ollama_block_lies_next_to_the_first() -> None:
    for planned in schedule.draw(seed=5, rounds=30, items=["a", "b"], block=2, aa_every=3):
        places = [planned.order.index(s) for s in (Side.BASELINE, Side.AGAIN) if s in planned.order]
        assert len(places) == (2 if planned.number % 3 == 0 else 1)
        assert max(places) - min(places) <= 1


async def test_a_stream_is_timed_at_the_first_real_token_after_a_restart(tmp_path: Path) -> None:
    house = House(home=tmp_path, stream=True)
    await gate(house)
    record = next(r for r in recorded(house) if r.side is Side.BASELINE)
    assert record.ttft_s == pytest.approx(0.75)
    assert record.e2e_s == pytest.approx(1.0)


async def test_what_was_retrieved_is_kept_with_a_streamed_answer(tmp_path: Path) -> None:
    """Only the stream's first event tells it; retrieval is scored from it."""
    house = House(home=tmp_path, stream=True)
    client = house.seams.connect()
    recipe = workload.load(house.recipe, service="notes")
    asker = Asker(client=client, url=house.settings.service_url("notes"), workload=recipe,
                  keys=house.settings.api_keys, token=TOKEN, limit_s=60, clock=house.seams.clock)  # fmt: skip
    reply = await asker.ask("n00", Side.BASELINE, "[0000] ")
    assert reply.body["retrieved"] == [{"text": "a passage"}]


async def test_an_open_loop_sends_at_its_own_times_whatever_the_answers_take(house: House) -> None:
    """Both sides get the same times; the clock starts when a request was due, not when it could be sent."""
    raw, plan = await planned(house, rounds=2, rate=2.0)
    found = records.parse(raw.path.read_bytes(), name="a.jsonl").records
    for number in (0, 1):
        due = arrivals(plan.seed, number, rate=2.0, count=2)
        for side in (Side.BASELINE, Side.CANDIDATE):
            times = [r.scheduled_s for r in found if (r.round, r.side) == (number, side)]
            assert times[1] - times[0] == pytest.approx(due[1] - due[0], abs=1e-5)
    assert all(r.sent_s >= r.scheduled_s - 1e-6 for r in found)


async def test_an_open_loop_ends_at_the_time_cap_too(house: House) -> None:
    raw, _ = await planned(house, rounds=2, rate=0.001)
    assert records.parse(raw.path.read_bytes(), name="a.jsonl").records == ()


async def planned(house: House, *, rounds: int, rate: float) -> tuple[RawFile, Plan]:
    """A plan with arrivals, driven to its end in the house's own time."""
    world = simulated.plan(simulated.World(rounds=rounds, block=2, items=2, aa_every=0))
    recipe = workload.load(house.recipe, service="notes")
    schedule_ = tuple(replace(r, items=("n00", "n01")) for r in world.schedule)
    plan = replace(world, rate=rate, schedule=schedule_)
    raw = RawFile(house.home / "raw.jsonl")
    raw.append([plan])
    async with house.seams.connect() as client:
        asker = Asker(client=client, url=house.settings.service_url("notes"), workload=recipe,
                      keys=house.settings.api_keys, token=TOKEN, limit_s=60, clock=house.seams.clock)  # fmt: skip
        driver = Driver(asker=asker, plan=plan, raw=raw, clock=house.seams.clock, load=house.seams.load,
                        sleep=house.sleep)  # fmt: skip
        await driver.run(None, lambda *_: None)
    return raw, plan


async def test_progress_is_told_round_by_round(house: House) -> None:
    told: list[tuple[int, int]] = []
    await gate(house, on_progress=lambda done, total, _: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_a_block_ends_at_its_time_cap(house: House) -> None:
    house.speed = {"ollama": 16.0, "vllm": 0.3}
    await gate(house)
    found = recorded(house)
    assert {r.position for r in found if r.side is Side.BASELINE} == {0}
    assert {r.position for r in found if r.side is Side.CANDIDATE} == {0, 1}


async def test_a_vllm_that_dies_under_the_gate_fails_it(house: House) -> None:
    house.vllm_fails = True
    verdict = await gate(house)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.arms["candidate"].fallbacks == verdict.arms["candidate"].n == 8


async def test_a_killed_gate_goes_on_where_it_stopped(house: House) -> None:
    def kill(done: int, _total: int, _note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await gate(house, on_progress=kill)
    with only_raw(house).open("a") as file:
        file.write('{"kind": "record", "round": 2, ')
    house.now_s += 60
    told: list[str] = []
    verdict = await gate(house, on_progress=lambda _d, _t, note: told.append(note))
    assert told[0] == "goes on with a run that was stopped"
    assert verdict.plan["rounds_measured"] == 4
    assert verdict.arms["candidate"].n == 8


async def test_a_round_that_was_cut_in_half_is_done_again(house: House) -> None:
    class Cut(Exception):
        pass

    def cut(_body: dict[str, Any]) -> httpx2.Response:
        raise Cut

    def arm(done: int, _total: int, _note: str) -> None:
        if done == 1:
            second = measure.read(only_raw(house)).plan.schedule[1]
            house.answers["service /v1/summarize"] = first_block_only(house, second.items)

    def first_block_only(house: House, items: tuple[str, ...]) -> Any:
        left = [len(items)]

        def answer(body: dict[str, Any]) -> httpx2.Response:
            if not left[0]:
                cut(body)
            left[0] -= 1
            return house._answered(("vllm",) if house.asked else (), body)

        return answer

    with pytest.raises(ExceptionGroup):
        await gate(house, on_progress=arm)
    house.answers.clear()
    verdict = await gate(house)
    takes = {r.take for r in recorded(house) if r.round == 1}
    assert takes == {1, 2}
    assert verdict.plan["rounds_measured"] == 4


async def test_another_seed_begins_a_run_of_its_own(house: House) -> None:
    await gate(house, rounds=1)
    house.now_s += 5
    await gate(house, rounds=1, seed=2)
    assert len(list((house.state / "raw").iterdir())) == 2


async def test_a_refused_token_stops_before_the_first_round(house: House) -> None:
    with pytest.raises(GateError, match="ADMIN_TOKEN"):
        await gate(house, token="wrong")
    assert not (house.state / "raw").exists()


async def test_a_pinned_service_cannot_be_measured(house: House) -> None:
    house.pin = "ollama"
    with pytest.raises(GateError, match="NOTES_LLM_PROVIDER"):
        await gate(house)


async def test_a_wrong_path_or_arm_is_told(house: House) -> None:
    house.answers["service /v1/summarize"] = lambda _: httpx2.Response(400, json={"detail": "X-LLM-First is what?"})
    with pytest.raises(GateError, match="X-LLM-First is what"):
        await gate(house)


async def test_a_dead_service_is_named_with_the_next_command(house: House) -> None:
    house.service_down = True
    with pytest.raises(EngineUnreachable, match=r"notes service does not answer at .*cutover up") as caught:
        await gate(house)
    assert caught.value.exit_code == 69


async def test_a_service_that_dies_in_the_middle_leaves_valid_records(house: House) -> None:
    def down(done: int, _total: int, _note: str) -> None:
        house.service_down = done == 2

    with pytest.raises(EngineUnreachable):
        await gate(house, on_progress=down)
    assert {r.round for r in recorded(house)} == {0, 1}


@pytest.mark.parametrize("engine", ["ollama", "vllm"])
async def test_an_engine_that_is_down_is_named(house: House, engine: str) -> None:
    house.refused = frozenset({engine})
    with pytest.raises(EngineUnreachable, match="(?i)" + engine):
        await gate(house)


async def test_a_full_disk_in_the_middle_keeps_the_records_so_far(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(done: int, _total: int, _note: str) -> None:
        if done == 2:
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StateError, match="No space left"):
        await gate(house, on_progress=fill)
    run = measure.read(only_raw(house))
    assert (run.notes, {r.round for r in run.records}) == ((), {0, 1})


async def test_answers_without_provenance_are_errors(house: House) -> None:
    house.answers["service /v1/summarize"] = lambda _: httpx2.Response(200, json={"summary": "hm"})
    verdict = await gate(house)
    assert not verdict.may_promote
    assert {r.error for r in recorded(house)} == {"no provenance in the answer"}


class TestRecipe:
    @pytest.mark.parametrize(
        ("old", "new", "word"),
        [
            ("block = 2", "block = 2\nspeed = 3", "speed: unknown field"),
            ('service = "notes"', 'service = "rag"', "service: is 'rag'"),
            ("block = 2", "block = 0", "block"),
            ("stream = false", "stream = ", "is not TOML"),
        ],
    )
    async def test_what_is_wrong_is_named_with_file_and_field(
        self, house: House, old: str, new: str, word: str
    ) -> None:
        path = house.home / "bad.toml"
        path.write_text(house.recipe.read_text().replace(old, new))
        with pytest.raises(WorkloadError, match=rf"(?s)bad\.toml.*{word}") as caught:
            await measure.gate(house.settings, "notes", path, TOKEN, rounds=1, seams=house.seams)
        assert caught.value.exit_code == 64

    async def test_no_items_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(WorkloadError, match="items"):
            await gate(House(home=tmp_path, items=0))

    async def test_a_missing_file_is_refused(self, house: House) -> None:
        with pytest.raises(WorkloadError, match=r"nowhere\.toml"):
            await measure.gate(house.settings, "notes", house.home / "nowhere.toml", TOKEN, rounds=1, seams=house.seams)
