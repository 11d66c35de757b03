"""The whole measurement on either store beside a peer: one that is scripted, and LanceDB where it is installed."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from services import cli_bench_search, settings
from services.evaluation.peer import LANCE, PeerError
from services.evaluation.searching import Material, Measured, Place, Setup, measured
from services.stack import peers

TOY = Path(__file__).parents[1] / "unit" / "evaluation" / "toy_peer.py"
TEXTS = ["The fan of rack B hums at night. " * 40, "Restores are run by Mara.", "The ferry leaves at nine."]


def material() -> Material:
    made = np.random.default_rng(3).normal(size=(3, 384)).astype("f4")
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    asked = [("who runs restores?", tuple(made[1].tolist())), ('what "hums"', tuple(made[0].tolist()))]
    return Material(alias="minilm", texts=TEXTS, vectors=made, asked=asked)


def setup(store_url: str, folder: Path, *sizes: int, **drivers: Sequence[str]) -> Setup:
    places: Mapping[str, Place] = {"store": Place(url=store_url, cpu=time.process_time)}
    return Setup(places=places, drivers=drivers, sizes=sizes, folder=folder, env=os.environ, say=lambda _: None)


def printed(found: Measured) -> str:
    written = io.StringIO()
    console = Console(width=120, file=written)
    for part in cli_bench_search.shown(found, cli_bench_search.document(found, 0.5, 1.5)):
        console.print(part)
    return written.getvalue()


async def test_a_store_and_a_peer_are_measured_on_the_same_chunks(store_url: str, tmp_path: Path) -> None:
    """At each size, whichever order the sizes were named in; and who finds fewer is said."""
    toy = (sys.executable, "-P", str(TOY))
    found = await measured(setup(store_url, tmp_path, 120, 40, toy=toy), material())
    told = cli_bench_search.document(found, 0.5, 1.5)

    assert list(found.recalls) == [40, 120]
    assert found.recalls[120]["store"] >= 0.9
    assert (found.recalls[120]["toy-exact"], found.recalls[120]["toy-blind"]) == (1.0, 0.0)
    assert {name: len(times.ms) for name, times in found.times[40].items()} == {
        "store": 2, "toy-exact": 2, "toy-blind": 2,
    }  # fmt: skip
    assert (told["p50_ms"]["40"]["toy-exact"], told["cpu_ms"]["40"]["toy-exact"]) == (2.0, 1.0)
    assert "toy-blind 0.000; the best is 1.000" in told["recalls_differ"]["120"]
    assert told["peers"] == {"toy": {"toy": "1.0"}}
    assert told["uses"]["toy-exact"] == {"vectors": "120 rows"}
    assert told["load"] == {"before": 0.5, "after": 1.5}
    assert "recall at 120 chunks not equal: " in printed(found)


async def test_without_peers_the_stores_are_measured_alone_and_that_is_said(store_url: str, tmp_path: Path) -> None:
    found = await measured(setup(store_url, tmp_path, 20), material())

    assert list(found.times[20]) == ["store"]
    assert cli_bench_search.document(found, 0.0, 0.0)["peers"] == {"lancedb": {"skipped": "--without-peers"}}
    assert "lancedb: skipped --without-peers" in printed(found)


async def test_a_peer_that_dies_ends_the_measurement(store_url: str, tmp_path: Path) -> None:
    """No figures beside a peer that was not there."""
    toy = (sys.executable, "-P", str(TOY), "nearest", "sys.exit('out of memory')")
    with pytest.raises(PeerError, match="toy has died at 'nearest', exit code 1; it said: out of memory"):
        await measured(setup(store_url, tmp_path, 20, toy=toy), material())


async def test_lancedb_indexes_and_finds_what_our_store_finds(
    store_url: str, tmp_path: Path, child_env: dict[str, str]
) -> None:
    """First too few rows for its index, then enough; without an index it is exact. No times are looked at."""
    plan = peers.plan_of(settings.load(child_env), peers.Peers.SEARCH)
    if not plan.is_done():
        pytest.skip(f"LanceDB is not in {plan.target}; `cutover bench --search --chunks 1000` installs it there")
    lance = (str(plan.python), "-P", str(LANCE))
    found = await measured(setup(store_url, tmp_path, 50, 600, lancedb=lance), material())

    assert min(found.recalls[50].values()) >= 0.9
    assert found.recalls[50]["lancedb-ivf-pq"] == found.recalls[50]["lancedb-exact"]
    assert min(found.recalls[600]["lancedb-exact"], found.recalls[600]["store"]) >= 0.9
    assert found.recalls[600]["lancedb-ivf-pq"] >= 0.5
    assert all(len(times.ms) == 2 and min(times.ms) > 0 for times in found.times[600].values())
    assert found.uses["lancedb-ivf-pq"]["vectors"].startswith("IvfPq")
    assert found.uses["lancedb-exact"]["words"] == "FTS"
    assert found.versions["lancedb"]["lancedb"]
