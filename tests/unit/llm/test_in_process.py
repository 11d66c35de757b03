"""Embedding in process: the graph computes what BERT is defined as, texts are cut before it, settings choose it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import settings as settings_room
from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.cutting import Cutter
from services.llm.embedders import embedders_of
from services.llm.errors import ConfigError, DeadError
from services.llm.providers.in_process import STATUSES, InProcess, batches
from services.llm.registry import Model, RegistryError, Source, model, models
from services.llm.spaces import EmbeddingSpace, EmbedRequest
from services.settings import Settings
from services.stack.onnx_graph import NotBert, write_graph
from tests.unit.llm import tiny_bert
from tests.unit.llm.conftest import ALIAS
from tests.unit.llm.scripted import Scripted

TINY = "tiny"


def entry(*, tokens: int = 8, prefix: str = "") -> Model:
    space = EmbeddingSpace(
        model=TINY, revision="r", dimension=tiny_bert.HIDDEN, normalised=True, tokens=tokens, prefix=prefix
    )
    source = Source(package="tiny==1", file="model.safetensors", hugging_face="x/y", license="MIT")
    names = {"in_process": TINY}
    return Model(alias=TINY, why="a test", context=8, names=names, capabilities=frozenset(), source=source, space=space)


def known(made: Model | None = None) -> Mapping[str, Model]:
    return {**models(), TINY: made or entry()}


@pytest.fixture
def engines_dir(tmp_path: Path) -> Path:
    made = tiny_bert.folder(tmp_path / "models" / TINY / "tiny-1")
    write_graph(made, made / "model.onnx")
    return tmp_path


def settings(engines_dir: Path, **changes: str) -> Settings:
    env = {"CUTOVER_HOME": str(engines_dir / "home"), "CUTOVER_ENGINES_DIR": str(engines_dir), "EMBED_MODEL": TINY}
    return settings_room.load(env | changes)


def client(engines_dir: Path, made: Model | None = None) -> LLMClient:
    """As `client_for` puts it together, with an entry that no registry has."""
    here, registry = settings(engines_dir), known(made)
    return assemble(
        (Scripted(name="vllm"), Scripted(name="ollama")),
        service="rag",
        alias=ALIAS,
        embed_alias=TINY,
        embedders=embedders_of(here, registry, ()),
        pin="ollama",
    )


def texts(*words: str) -> EmbedRequest:
    return EmbedRequest(service="rag", alias=TINY, texts=words, deadline_s=30)


async def test_the_graph_computes_what_bert_is_defined_as(engines_dir: Path) -> None:
    """Texts of different length in one run: padding changes nothing."""
    async with client(engines_dir) as made:
        found = await made.embed(texts("the fan", "the rotation of b"))

    assert found.provenance.provider == "in_process"
    assert found.vectors[0] == pytest.approx(tiny_bert.vector([2, 4, 5, 3]), abs=1e-5)
    assert found.vectors[1] == pytest.approx(tiny_bert.vector([2, 4, 11, 12, 13, 7, 10, 3]), abs=1e-5)


async def test_a_long_text_is_cut_behind_the_last_word_that_fits(engines_dir: Path) -> None:
    """Never inside one: `rota` would be another word than `rotation`. The special tokens count."""
    cutter = Cutter(engines_dir / "models/tiny/tiny-1/tokenizer.json", tokens=6)

    assert cutter.cut("the fan of racks b") == "the fan of"
    assert cutter.cut("The  Ferry,") == "The  Ferry,"
    async with client(engines_dir, entry(tokens=6)) as made:
        found = await made.embed(texts("the fan of racks b"))
    assert found.vectors[0] == pytest.approx(tiny_bert.vector([2, 4, 5, 7, 3]), abs=1e-5)


def test_a_very_long_word_is_parted_so_that_every_tokenizer_knows_its_pieces(engines_dir: Path) -> None:
    """Words of 64 characters and fewer stay whole; what is left behind the last cut is kept."""
    cutter = Cutter(engines_dir / "models/tiny/tiny-1/tokenizer.json", tokens=8)

    assert cutter.cut("a" * 64) == "a" * 64
    assert cutter.cut("fan " + "a" * 130) == f"fan {'a' * 64} {'a' * 64} aa"


@given(st.lists(st.sampled_from(["the", "fan", "rotation", "Racks", "unheard", "of,", "b"]), max_size=12))
def test_what_was_cut_fits_and_is_the_beginning(words: list[str]) -> None:
    """Cut again it stays the same, and there is room for no further word."""
    cutter, text = CUTTER.cutter, " ".join(words)
    cut = cutter.cut(text)
    tokenizer = cutter.tokenizer()

    assert text.startswith(cut)
    assert len(tokenizer.encode(cut).ids) <= 6
    assert cutter.cut(cut) == cut
    rest = text[len(cut) :].split()
    assert not rest or len(tokenizer.encode(f"{cut} {rest[0]}").ids) > 6


class _Once:
    """A cutter of one folder for all examples of a property."""

    def __init__(self) -> None:
        self._made: Cutter | None = None

    @property
    def cutter(self) -> Cutter:
        if self._made is None:
            import tempfile

            folder = tiny_bert.folder(Path(tempfile.mkdtemp()) / "model")
            self._made = Cutter(folder / "tokenizer.json", tokens=6)
        return self._made


CUTTER = _Once()


async def test_the_prefix_of_the_space_goes_before_every_text(engines_dir: Path) -> None:
    async with client(engines_dir, entry(prefix="the ")) as made:
        found = await made.embed(texts("fan"))

    assert found.vectors[0] == pytest.approx(tiny_bert.vector([2, 4, 5, 3]), abs=1e-5)


async def test_missing_files_name_the_command_that_brings_them(tmp_path: Path) -> None:
    """Neither the tokenizer nor the graph is fetched by a service."""
    provider = InProcess(name="in_process", models=known(), engines_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"tiny-1/model\.onnx; `cutover models --fetch tiny`"):
        await provider.embed(texts("fan"))
    with pytest.raises(ConfigError, match=r"tiny-1/tokenizer\.json; `cutover models --fetch tiny`"):
        Cutter(tmp_path / "models/tiny/tiny-1/tokenizer.json", tokens=6).cut("fan")


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
async def test_broken_files_are_an_error_of_the_set_up(engines_dir: Path, name: str, content: bytes) -> None:
    """Whatever the libraries raise on them, so that a search goes on by words; it says which file, and the way out."""
    (engines_dir / "models/tiny/tiny-1" / name).write_bytes(content)
    provider = InProcess(name="in_process", models=known(), engines_dir=engines_dir)
    with pytest.raises(ConfigError, match=rf"{name} .*; remove .*tiny-1, and `cutover models --fetch tiny`") as told:
        await provider.embed(texts("fan"))

    assert told.value.provider == "in_process"


async def test_a_tokenizer_that_knows_no_unknown_word_is_refused_at_once(engines_dir: Path) -> None:
    """It would fail at the first text that has one, deep in a document."""
    file = engines_dir / "models/tiny/tiny-1/tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["unk_token"] = "[NONE]"
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="is no tokenizer"):
        Cutter(file, tokens=6).cut("fan")


async def test_a_graph_that_fails_at_work_is_a_provider_that_is_ill(engines_dir: Path) -> None:
    """Another model's graph loads, and takes other inputs."""
    file = engines_dir / "models/tiny/tiny-1/model.onnx"
    file.write_bytes(file.read_bytes().replace(b"attention_mask", b"attention_mist"))
    provider = InProcess(name="in_process", models=known(), engines_dir=engines_dir)
    with pytest.raises(DeadError, match=r"the graph failed: .*attention_mist"):
        await provider.embed(texts("fan"))


def test_every_error_of_onnxruntime_is_known() -> None:
    """A new version may have others."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped]

    theirs = [n for n, c in vars(state).items() if isinstance(c, type) and issubclass(c, BaseException)]
    assert sorted(theirs) == sorted(STATUSES)


class Held:
    """A session whose first run waits until it is let go."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs = 0
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def run(self, *arguments: Any) -> Any:
        self.runs += 1
        self.has_begun.set()
        self.may_end.wait(30)
        return self._session.run(*arguments)


async def test_who_leaves_takes_the_batches_along_that_have_not_begun(engines_dir: Path) -> None:
    """A thread cannot be cancelled: without this a search that gave up would keep a core until all is computed."""
    provider = InProcess(name="in_process", models=known(), engines_dir=engines_dir)
    session, tokenizer = provider._session(TINY)
    held = Held(session)
    provider._loaded[TINY] = (held, tokenizer)
    asked = asyncio.create_task(provider.embed(texts(*["the rotation of b"] * 2000)))
    await asyncio.to_thread(held.has_begun.wait, 30)
    asked.cancel()
    await asyncio.wait([asked])
    held.may_end.set()
    await asyncio.get_running_loop().shutdown_default_executor()  # waits for the thread

    assert asked.cancelled()
    assert held.runs == 1


async def test_a_text_that_nobody_cut_is_refused_in_process(engines_dir: Path) -> None:
    """As vLLM does: a vector of half a text would be found for the wrong half."""
    provider = InProcess(name="in_process", models=known(), engines_dir=engines_dir)
    with pytest.raises(ConfigError, match="a text of 12 tokens does not fit tiny's 8"):
        await provider.embed(texts("the fan " * 5))


def test_another_model_than_bert_is_not_written_as_one(tmp_path: Path) -> None:
    """Its vectors would be noise."""
    folder = tiny_bert.folder(tmp_path / "other")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"gelu"', '"relu"'))
    with pytest.raises(NotBert, match="hidden_act is not what is written"):
        write_graph(folder, folder / "model.onnx")


def test_batches_hold_every_text_once_and_stay_below_the_bound() -> None:
    """Those of like length together, so that little is padding."""
    lengths = [3, 200, 5, 256, 4, 200]
    made = list(batches(lengths, tokens=450))

    assert made == [[0, 4, 2], [1, 5], [3]]
    assert list(batches([500], tokens=450)) == [[0]]


def test_the_settings_choose_who_embeds(engines_dir: Path) -> None:
    """Every problem is said: an alias that does not embed, a provider without a name for it."""
    ollama = Scripted(name="ollama")
    chosen = settings(
        engines_dir, EMBED_MODEL="minilm", EMBED_PROVIDERS="in_process, vllm", EMBED_VLLM_URL="http://h:1"
    )

    assert [p.name for p in embedders_of(chosen, models(), (ollama,)).providers] == ["in_process", "vllm-pooling"]
    assert embedders_of(replace(chosen, embedding=settings_room.load({}).embedding), models(), ()).providers == ()
    with pytest.raises(RegistryError, match=r"'smollm2-135m' is no embedding model.*there are: minilm, smollm2"):
        embedders_of(settings(engines_dir, EMBED_MODEL="smollm2-135m"), models(), ())
    with pytest.raises(RegistryError, match="no name for in_process; set EMBED_PROVIDERS"):
        embedders_of(settings(engines_dir, EMBED_MODEL="smollm2-135m-embed"), models(), ())
    with pytest.raises(settings_room.SettingsError, match=r"EMBED_PROVIDERS='cloud'.*each once"):
        settings(engines_dir, EMBED_PROVIDERS="cloud")
    with pytest.raises(settings_room.SettingsError, match="set EMBED_VLLM_URL to a vLLM started with --runner pooling"):
        settings(engines_dir, EMBED_PROVIDERS="vllm")


def test_the_space_pins_everything_that_changes_a_vector() -> None:
    """Weights, dimension, length, pooling, prefix and where texts are cut."""
    space = model("minilm").space
    assert space is not None

    assert space.name == "minilm@53aa51172d14:384:unit:mean:256"
    assert replace(space, prefix="query: ").name == "minilm@53aa51172d14:384:unit:mean:'query: ':256"
