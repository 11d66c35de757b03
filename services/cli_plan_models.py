"""`cutover models`: lists the registry and what fits a card, checks it, adds to one's own, fetches an embedder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services import cli_plan
from services.cli_commands import Call, Result
from services.llm.registry import REGISTRY_FILE, Model, model, models, read
from services.llm.registry_check import Remark, remarks
from services.llm.registry_gpus import Gpu
from services.llm.registry_own import add
from services.llm.registry_weights import PRECISIONS
from services.llm.sizing import Plan, plan
from services.stack import embedder, local


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `cutover models`."""
    verb.add_argument("--gpu", metavar="CARD", help="also show which weights fit this card, and how many sequences")
    cli_plan.sizes(verb)
    one = verb.add_mutually_exclusive_group()
    one.add_argument(
        "--check", nargs="?", const="", metavar="FILE", help="say what is wrong with the registry, or with a file"
    )
    one.add_argument("--fetch", metavar="ALIAS", help="bring the files of a model that embeds in process")
    one.add_argument("--add", metavar="FILE", help="add the entries of a file to your own registry, CUTOVER_MODELS")


def listed(call: Call) -> Result:
    """List, check, add or fetch, as asked. Exit 1 where a check finds an error."""
    asked = call.arguments
    if asked.check is not None:
        return _checked(call, Path(asked.check) if asked.check else None)
    if asked.add is not None:
        return _added(call, Path(asked.add))
    if asked.fetch is not None:
        return _fetched(call, asked.fetch)
    gpu = cli_plan.card(asked.gpu) if asked.gpu else None
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("alias", no_wrap=True)
    for column in [f"sequences at a time on {gpu.name}"] if gpu else ["context", "ollama", "weights", "can"]:
        table.add_column(column, overflow="fold")
    documents = {}
    for alias, entry in models(call.settings.models_file).items():
        plans = _plans(entry, gpu, asked.context, asked.ollama_resident) if gpu else {}
        table.add_row(alias, *((_room(entry, plans),) if gpu else _row(entry)))
        documents[alias] = {**_document(entry), **({"fits": _fits(plans)} if gpu else {})}
    return Result(document={"models": documents}, shown=[table])


def _row(entry: Model) -> tuple[str, ...]:
    can = ", ".join(sorted(entry.capabilities)) if entry.chats else "embed"
    return str(entry.context), entry.names.get("ollama", "-"), " ".join(_kinds(entry)) or "-", can


def _room(entry: Model, plans: Mapping[str, Plan]) -> str:
    """For each kind of weights that fits how many sequences; else why there is none."""
    if not plans:
        return "embeds" if not entry.chats else "not known, or the context is beyond the model's"
    return ", ".join(f"{q} {p.sequences}" for q, p in plans.items() if p.fits) or "does not fit"


def _plans(entry: Model, gpu: Gpu, context: int | None, ollama: int) -> Mapping[str, Plan]:
    """A plan for each kind of weights; none where the size is unknown or the model cannot hold the context."""
    if entry.serving is None or (context or 0) > entry.serving.max_context:
        return {}
    return {q: plan(entry, gpu, context=context, ollama_resident=ollama, quantisation=q) for q in _kinds(entry)}


def _kinds(entry: Model) -> list[str]:
    return [q for q in PRECISIONS if entry.serving is not None and q in entry.serving.weights]


def _fits(plans: Mapping[str, Plan]) -> dict[str, Any]:
    return {q: {"fits": p.fits, "sequences": p.sequences, "kv_tokens": p.kv_tokens} for q, p in plans.items()}


def _document(entry: Model) -> dict[str, Any]:
    served = entry.serving
    return {
        "kind": "chat" if entry.chats else "embedding",
        "context": entry.context,
        "names": dict(entry.names),
        "capabilities": sorted(entry.capabilities),
        "space": entry.space.name if entry.space else None,
        "why": entry.why,
        "license": served.license if served else None,
        "gated": served.gated if served else None,
        "weights": {q: served.weights[q].hugging_face for q in _kinds(entry)} if served else {},
    }


def _checked(call: Call, file: Path | None) -> Result:
    own = call.settings.models_file
    found = remarks(read(file) if file else models(own))
    files = [file] if file else [REGISTRY_FILE, own]
    errors, names = [r for r in found if r.is_error], [str(f) for f in files if f.exists()]
    document = {
        "files": names,
        "errors": [_remark(r) for r in errors],
        "warnings": [_remark(r) for r in found if not r.is_error],
    }
    read_from = Text(f"read {', '.join(names)}")
    lines = [
        Text.assemble(("error " if r.is_error else "note  ", "red" if r.is_error else "yellow"), f"{r.alias}: {r.text}")
        for r in found
    ]
    said = Text(f"{len(errors)} errors, {len(found) - len(errors)} notes")
    return Result(document=document, shown=[read_from, *lines, said], code=1 if errors else 0)


def _remark(remark: Remark) -> dict[str, str]:
    return {"alias": remark.alias, "text": remark.text}


def _added(call: Call, source: Path) -> Result:
    own, shipped = call.settings.models_file, models()
    new = add(own, source)
    lines = [
        Text(f"{alias} is in {own}" + ("; it replaces the shipped entry" if alias in shipped else "")) for alias in new
    ]
    return Result(document={"added": list(new), "file": str(own)}, shown=lines)


def _fetched(call: Call, alias: str) -> Result:
    with local.work(call.settings, call.display, call.env) as job:
        folder = embedder.fetched(job, model(alias, call.settings.models_file))
    return Result(document={"alias": alias, "folder": str(folder)}, shown=[Text(f"{alias} is in {folder}")])
