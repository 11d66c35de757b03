"""What the engines are, asked of something that is none: it is refused by its address, never with a traceback."""

from __future__ import annotations

import httpx2
import pytest

from services.migration import capacity, engines
from services.migration.engines import NotAnEngine
from services.migration.records import Engine
from tests.unit.migration.house import House
from tests.unit.migration.test_doctor_nonsense import NONSENSE

PATHS = {
    "ollama /api/version": ("version", "http://127.0.0.1:8511/api/version"),
    "ollama /api/tags": ("list of models", "http://127.0.0.1:8511/api/tags"),
    "vllm /version": ("version", "http://127.0.0.1:8500/version"),
    "vllm /v1/models": ("list of models", "http://127.0.0.1:8500/v1/models"),
}
SCALARS = {
    "a number": httpx2.Response(200, text="5"),
    "a text among models": httpx2.Response(200, json={"models": ["x"], "data": ["x"]}),
    "an object for a list": httpx2.Response(200, json={"models": {"a": 1}, "data": {"a": 1}}),
}
OUT_OF_SHAPE = {name: answer for name, answer in (NONSENSE | SCALARS).items() if name != "wrong things inside"}


async def described(house: House) -> tuple[Engine, Engine]:
    async with house.seams.connect() as client:
        return await engines.describe(engines.engines(house.settings, "notes", client))


@pytest.mark.parametrize("nonsense", OUT_OF_SHAPE)
@pytest.mark.parametrize("path", PATHS)
async def test_nonsense_is_refused_by_address(house: House, path: str, nonsense: str) -> None:
    house.answers[path] = lambda _: OUT_OF_SHAPE[nonsense]
    lacks, url = PATHS[path]

    with pytest.raises(NotAnEngine, match=f"{url} answers with status .* no {lacks}: .*another program.*curl {url}"):
        await described(house)


@pytest.mark.parametrize("path", ["ollama /api/tags", "vllm /v1/models"])
async def test_a_list_of_other_models_is_one_of_an_engine(house: House, path: str) -> None:
    """Names and sizes of odd types are no model of ours; the engine is still one."""
    house.answers[path] = lambda _: NONSENSE["wrong things inside"]
    ollama, vllm = await described(house)

    assert (ollama.model_digest, vllm.context) == (("", 4096) if "tags" in path else ("d1", None))


@pytest.mark.parametrize("nonsense", NONSENSE | SCALARS)
async def test_a_model_that_is_not_told_is_unknown(house: House, nonsense: str) -> None:
    house.answers["ollama /api/show"] = lambda _: (NONSENSE | SCALARS)[nonsense]

    assert (await described(house))[0].quantization == "unknown"


@pytest.mark.parametrize("nonsense", NONSENSE | SCALARS)
async def test_what_nonsense_can_hold_is_unknown(house: House, nonsense: str) -> None:
    paths = ("ollama /api/show", "ollama /api/ps", "ollama /api/tags", "vllm /v1/models", "vllm /metrics")
    house.answers |= {path: lambda _: (NONSENSE | SCALARS)[nonsense] for path in paths}
    async with house.seams.connect() as client:
        ollama, vllm = await capacity.capacities(engines.engines(house.settings, "notes", client), {})

    assert (ollama.kv_bytes, vllm.kv_bytes) == (None, None)


async def test_a_refused_key_is_named(house: House) -> None:
    house.answers["vllm /v1/models"] = lambda _: httpx2.Response(401, json={"error": "Unauthorized"})

    with pytest.raises(NotAnEngine, match=r"status 401 .*VLLM_URL and VLLM_API_KEY"):
        await described(house)
