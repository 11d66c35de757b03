"""A service that holds nothing answers by itself: no engine was measured, and none is to blame."""

from __future__ import annotations

import httpx2
import pytest

from services.migration import measure
from services.migration.errors import GateError
from tests.unit.migration.house import TOKEN, House


async def test_a_service_that_asks_no_engine_is_not_measured(house: House) -> None:
    house.answers["service /v1/summarize"] = lambda _: httpx2.Response(200, json={"answer": "Nothing.", "llm": None})

    with pytest.raises(GateError, match=r"'Nothing\.'.*cutover sample"):
        await measure.gate(house.settings, house.service, house.recipe, TOKEN, rounds=1, seams=house.seams)

    assert not list(house.state.glob("verdicts/*"))
