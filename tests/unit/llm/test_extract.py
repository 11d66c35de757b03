"""Typed documents: schema to the engine, validation here, one repair at the same engine, then the other engine."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, field_validator

from services.llm.errors import AllProvidersFailed, ErrorType, Kind
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import MakeRig, ask


class Place(BaseModel):
    """A town and its people."""

    name: str
    people: int

    @field_validator("people")
    @classmethod
    def some(cls, value: int) -> int:
        if value < 1:
            raise ValueError("nobody lives there")
        return value


GOOD = ('{"name": "Bergen", ', '"people": 291940}')
EMPTY = ('{"name": "Bergen", ', '"people": 0}')
NO_FIT = ('{"name": ', '"Bergen"}')


async def test_a_document_that_fits(make_rig: MakeRig) -> None:
    """One attempt; the schema went along."""
    async with make_rig() as rig:
        rig.vllm.words = GOOD
        found = await rig.client.extract(Place, ask())

    assert found.value == Place(name="Bergen", people=291940)
    assert rig.vllm.bodies[0]["response_format"]["json_schema"]["schema"] == Place.model_json_schema()
    assert [a.provider for a in found.answer.provenance.attempts] == ["vllm"]


@pytest.mark.parametrize("first", [NO_FIT, EMPTY])
async def test_a_repair_at_the_same_engine(make_rig: MakeRig, first: tuple[str, ...]) -> None:
    """It is shown its document and what is wrong with it, also where only pydantic can tell."""
    async with make_rig() as rig:
        rig.vllm.answers.extend([first, GOOD])
        found = await rig.client.extract(Place, ask())
        again = rig.vllm.bodies[1]["messages"]
        count = rig.registry.get_sample_value
        labels = {"service": "notes", "provider": "vllm", "attempt": "repair", "error_type": "none"}

        assert count("llm_attempts_total", labels) == 1
    assert found.value.people == 291940
    assert again[-2] == {"role": "assistant", "content": "".join(first)}
    assert "people" in again[-1]["content"]
    assert rig.ollama.bodies == []


async def test_then_the_other_engine(make_rig: MakeRig) -> None:
    """After one repair in vain; nobody is called ill for a bad document."""
    async with make_rig() as rig:
        rig.vllm.words, rig.ollama.words = EMPTY, GOOD
        found = await rig.client.extract(Place, ask())

    assert found.answer.provenance.provider == "ollama"
    assert [a.repair for a in found.answer.provenance.attempts] == [False, True, False]
    assert not rig.links["vllm"].breaker.is_open


async def test_a_cut_document_is_not_repaired(make_rig: MakeRig) -> None:
    """It would be cut again: the other engine is asked at once."""
    async with make_rig() as rig:
        rig.vllm.default, rig.ollama.words = Fault.LENGTH, GOOD
        found = await rig.client.extract(Place, ask())

    assert len(rig.vllm.bodies) == 1
    assert found.answer.provenance.provider == "ollama"


async def test_nobody_gives_one(make_rig: MakeRig) -> None:
    """The error says whose documents were wrong, and how."""
    async with make_rig() as rig:
        rig.vllm.words = rig.ollama.words = EMPTY
        with pytest.raises(AllProvidersFailed, match="nobody lives there") as caught:
            await rig.client.extract(Place, ask(), repairs=0)

    assert (caught.value.kind, caught.value.type) == (Kind.PARTIAL, ErrorType.BAD_RESPONSE)
    assert (len(rig.vllm.bodies), len(rig.ollama.bodies)) == (1, 1)
