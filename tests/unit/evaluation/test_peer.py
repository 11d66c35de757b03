"""A peer of the search, played by a scripted driver: what it tells, and every way in which it may let one down."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.evaluation.peer import LANCE, Patience, Peer, PeerError, started
from services.evaluation.subjects import Took

TOY = Path(__file__).with_name("toy_peer.py")
CHUNKS = [("fans hum", [1.0, 0.0]), ("restores run", [0.0, 1.0]), ("ferries leave", [0.6, 0.8])]


@contextlib.asynccontextmanager
async def toy(folder: Path, *misbehaves: str, patience: Patience | None = None) -> AsyncIterator[Peer]:
    argv = (sys.executable, "-P", str(TOY), *misbehaves, str(folder))
    async with started("toy", argv, folder, os.environ, patience=patience) as peer:
        yield peer


async def filled(peer: Peer) -> Peer:
    await peer.add(CHUNKS)
    await peer.build()
    return peer


async def test_a_peer_says_what_it_is_takes_chunks_and_answers(tmp_path: Path) -> None:
    """Its own times, chunks by their numbers, across several batches."""
    async with toy(tmp_path) as peer:
        await peer.add(CHUNKS[:1])
        await peer.add(CHUNKS[1:])
        uses = await peer.build()

        assert (peer.versions, peer.ways) == ({"toy": "1.0"}, ("toy-exact", "toy-blind"))
        assert uses == {way: {"vectors": "3 rows"} for way in peer.ways}
        assert await peer.search("toy-exact", "who runs restores?", [0.0, 1.0], 2) == Took(wall_ms=2.0, cpu_ms=1.0)
        assert await peer.nearest("toy-exact", [0.0, 1.0], 2) == [1, 2]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        pytest.param("sys.exit('out of memory')", "has died at 'search', exit code 1; it said: out", id="dies"),
        pytest.param("sys.exit()", "has died at 'search', exit code 0; it said: nothing", id="leaves"),
        pytest.param("os.kill(os.getpid(), 9)", "has died at 'search', exit code -9; it said: nothing", id="is killed"),
        pytest.param("print('hello', flush=True)", "what is no answer: .*hello", id="no json"),
        pytest.param("say([1])", "what is no answer", id="no object"),
        pytest.param("say({'id': n - 1, 'ids': [0]})", "what is no answer", id="an answer to another order"),
        pytest.param("say({'id': n, 'wall_s': 1, 'cpu_s': 1})", "what is no answer", id="no chunks"),
        pytest.param("say({'id': n, 'ids': [], 'wall_s': 1, 'cpu_s': 1})", "what is no answer", id="nothing found"),
        pytest.param("say({'id': n, 'ids': [0, 1, 2], 'wall_s': 1, 'cpu_s': 1})", "no answer", id="too many"),
        pytest.param("say({'id': n, 'ids': [0, 0], 'wall_s': 1, 'cpu_s': 1})", "no answer", id="the same twice"),
        pytest.param("say({'id': n, 'ids': [3], 'wall_s': 1, 'cpu_s': 1})", "no answer", id="an unknown chunk"),
        pytest.param("say({'id': n, 'ids': ['0'], 'wall_s': 1, 'cpu_s': 1})", "no answer", id="a number as text"),
        pytest.param("say({'id': n, 'ids': [0], 'wall_s': 1})", "what is no answer", id="half of the times"),
        pytest.param("say({'id': n, 'ids': [0], 'wall_s': 'soon', 'cpu_s': 1})", "no answer", id="a word for a time"),
        pytest.param("say({'id': n, 'ids': [0], 'wall_s': -1, 'cpu_s': 1})", "no answer", id="a time before its begin"),
        pytest.param("say({'id': n, 'ids': [0], 'wall_s': 1, 'cpu_s': float('nan')})", "no answer", id="no number"),
        pytest.param("say({'id': n, 'error': 'KeyError: text'})", "toy failed at 'search': KeyError: text", id="fails"),
        pytest.param("say('x' * 2**21)", "a line that is too long", id="a line without end"),
    ],
)
async def test_a_search_that_is_none_is_told_in_a_sentence(act: str, told: str, tmp_path: Path) -> None:
    """Nothing of it becomes a figure."""
    async with toy(tmp_path, "search", act) as peer:
        await filled(peer)
        with pytest.raises(PeerError, match=told):
            await peer.search("toy-exact", "who?", [0.0, 1.0], 2)


async def test_a_driver_that_does_not_answer_is_given_up_and_ended(tmp_path: Path) -> None:
    """It waits for ever; its end shows that leaving the context ends it."""
    async with toy(tmp_path, "search", "sys.stdin.read()", patience=Patience(search_s=0.2)) as peer:
        await filled(peer)
        with pytest.raises(PeerError, match=r"toy has not answered 'search' within 0.2 s"):
            await peer.search("toy-exact", "who?", [0.0, 1.0], 2)
        process = peer._process

        assert process.returncode is None
    assert process.returncode is not None


async def test_a_driver_that_lost_chunks_is_not_measured(tmp_path: Path) -> None:
    async with toy(tmp_path, "add", "say({'id': n, 'rows': 2})") as peer:
        with pytest.raises(PeerError, match="toy holds 2 chunks after it was given 3"):
            await peer.add(CHUNKS)


async def test_a_driver_that_dies_while_it_is_written_to_is_told_as_such(tmp_path: Path) -> None:
    """More than a pipe holds: the write fails, and the sentence is still about the death."""
    many = [("word " * 200, [0.5] * 384)] * 1000
    async with toy(tmp_path, "build", "say({'id': n, 'uses': {w: {} for w in WAYS}}); sys.exit('no disk')") as peer:
        await filled(peer)
        with pytest.raises(PeerError, match="has died at 'add', exit code 1; it said: no disk"):
            await peer.add(many)


@pytest.mark.parametrize(
    "uses", ["{'toy-exact': {}}", "{w: 'much' for w in WAYS}", "7"], ids=["of one", "in words", "a number"]
)
async def test_what_is_used_is_told_of_every_way(uses: str, tmp_path: Path) -> None:
    async with toy(tmp_path, "build", f"say({{'id': n, 'uses': {uses}}})") as peer:
        with pytest.raises(PeerError, match="answers 'build' with what is no answer"):
            await filled(peer)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        pytest.param("sys.exit('no library')", "has died at 'start', exit code 1; it said: no library", id="dies"),
        pytest.param("say({'ready': {}, 'ways': []})", "what is no answer", id="no way to search"),
        pytest.param("print('Welcome!')", "what is no answer: .*Welcome", id="prints"),
    ],
)
async def test_a_driver_that_does_not_start_is_told_in_a_sentence(act: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=told):
        async with toy(tmp_path, "start", act):
            pass


async def test_an_interpreter_that_is_gone_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"toy cannot be started: .*/python: No such file"):
        async with started("toy", (str(tmp_path / "python"),), tmp_path, os.environ):
            pass


async def test_what_a_library_prints_does_not_reach_the_answers(tmp_path: Path) -> None:
    """In Python or past it, at import or later; and what it raises is told with its type."""
    packages = tmp_path / "packages"
    for name in ("lancedb", "pyarrow"):
        info = packages / f"{name}-9.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n")
        (packages / name).mkdir()
    (packages / "pyarrow" / "__init__.py").write_text("")
    for module in ("index", "rerankers"):
        (packages / "lancedb" / f"{module}.py").write_text("")
    noise = "import os\nprint('Welcome!')\nos.write(1, b'from below\\n')\ndef connect(folder): print(folder)\n"
    (packages / "lancedb" / "__init__.py").write_text(noise)
    argv = (sys.executable, "-P", str(LANCE), "here")
    env = {**os.environ, "PYTHONPATH": str(packages), "PYTHONUNBUFFERED": "1"}

    async with started("lancedb", argv, tmp_path, env) as peer:
        assert peer.versions["lancedb"] == "9.0"
        with pytest.raises(PeerError, match="lancedb failed at 'build': AttributeError"):
            await peer.build()
    assert (tmp_path / "lancedb.log").read_text().split("\n")[:3] == ["Welcome!", "from below", "here"]
