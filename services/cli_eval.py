"""`cutover eval`: its subjects, and of them `rag`: how well it finds what answers, on documentation of Debian."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services import cli_eval_day, cli_eval_names
from services.cli_commands import Call, Result
from services.embedding import EmbedProvider
from services.evaluation.app import Outcome, evaluate, measured
from services.evaluation.debian import CorpusError
from services.llm.errors import LLMError
from services.llm.registry import model
from services.rag.metrics import Estimate
from services.stack import embedder, local
from services.stack.errors import StackError
from services.store.errors import StoreError

STEP = "eval rag"


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `cutover eval`."""
    verb.add_argument(
        "subject",
        choices=SUBJECTS,
        help="rag: how well it finds; ner: names and relations by spaCy and both engines; services: a day's work",
    )
    cli_eval_day.options(verb)


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments contradict, for a usage error: an option that this evaluation does not know."""
    subject = arguments.subject
    said = [f"--{name}" for name in cli_eval_day.OPTIONS if getattr(arguments, name) is not None]
    if subject == "services" or not said:
        return None
    return f"{' and '.join(said)}: only `eval services` counts by it; leave it out of `eval {subject}`"


def evaluation(call: Call) -> Result:
    """What the command line names. Exit 1 where a target is missed, or something failed."""
    return SUBJECTS[call.arguments.subject](call)


def _retrieval(call: Call) -> Result:
    here = measured(call.settings)
    if EmbedProvider.IN_PROCESS in here.embedding.providers:
        with local.work(call.settings, call.display, call.env) as job:
            embedder.fetched(job, model(here.embedding.alias, here.models_file))
    call.display.begin(STEP, "embedding what has no vectors yet")
    try:
        found = asyncio.run(evaluate(call.settings, lambda done, of: call.display.note(STEP, f"{done}/{of}")))
    except (CorpusError, LLMError, StoreError) as exc:
        raise StackError(str(exc)) from exc
    call.display.end(STEP, f"{found.study.questions} held-out questions, {found.passages} passages")
    return Result(document=_document(found), shown=[_table(found), *_said(found)], code=1 if found.study.misses else 0)


def _document(found: Outcome) -> Mapping[str, Any]:
    study = found.study
    return {
        "ndcg10": study.ndcg10.value,
        "recall20": study.recall20.value,
        "ndcg10_dense": study.ndcg10_dense.value,
        "questions": study.questions,
        "passages": found.passages,
        "intervals": {
            "ndcg10": asdict(study.ndcg10),
            "recall20": asdict(study.recall20),
            "ndcg10_dense": asdict(study.ndcg10_dense),
            "gain": asdict(study.gain),
        },
        "by_kind": {kind: dict(ways) for kind, ways in study.by_kind.items()},
        "weight": study.weight,
        "weight_fitted": study.fitted,
        "answerable_auc": study.answerable,
        "space": found.space,
        "packages": dict(found.versions),
        "misses": list(study.misses),
        "load": os.getloadavg()[0],
    }


def _table(found: Outcome) -> Table:
    study = found.study
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for column in ("held-out questions", "value", "95 %"):
        table.add_column(column)
    rows: dict[str, Estimate] = {
        "nDCG@10, hybrid": study.ndcg10,
        "R@20, hybrid": study.recall20,
        "nDCG@10, dense alone": study.ndcg10_dense,
        "hybrid minus dense": study.gain,
    }
    for name, figure in rows.items():
        table.add_row(name, f"{figure.value:.3f}", f"{figure.low:.3f} .. {figure.high:.3f}")
    for kind, ways in study.by_kind.items():
        table.add_row(f"nDCG@10 of {kind}", ", ".join(f"{way} {value:.3f}" for way, value in ways.items()), "")
    return table


def _said(found: Outcome) -> list[Text]:
    study = found.study
    packages = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [
        f"{study.questions} questions, {found.passages} passages of {packages}",
        f"weight of words {study.weight}; {study.fitted} fits the other half of the questions best",
        f"best cosine tells answerable from not in {study.answerable:.0%} of pairs; space {found.space}",
    ]
    return [*map(Text, lines), *(Text(miss, style="red") for miss in study.misses)]


SUBJECTS: Mapping[str, Callable[[Call], Result]] = {
    "rag": _retrieval,
    "ner": cli_eval_names.evaluation,
    "services": cli_eval_day.evaluation,
}
