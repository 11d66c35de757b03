"""`cutover eval services`: a day's work for RAG, Notes and NER on both engines, in services of its own.

The team's stores are not touched: the services run in a folder that is removed afterwards, on the engines that run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services import settings as settings_room
from services.cli_commands import Call, Result
from services.cli_numbers import positive
from services.evaluation.day import Day, Desk, Row, Work, day
from services.evaluation.debian import CorpusError, corpus, pages
from services.evaluation.questions import questions
from services.settings import SERVICES, Settings
from services.stack import local
from services.stack.errors import StackError
from services.stack.trial import free_port

STEP = "eval services"
LIMIT_S = 300.0
_ELSEWHERE = frozenset({"CUTOVER_STATE_DIR", "CUTOVER_API_KEYS_FILE"})
_ELSEWHERE_OF = ("{}_STORE_URL", "{}_STORE_URL_FILE", "CUTOVER_{}_URL")
"""Settings that name the team's own rows, states, keys and services."""


DEFAULTS = {"questions": 50, "notes": 100, "paragraphs": 60}
OPTIONS = (*DEFAULTS, "pages")
"""What only `services` takes. None where it was not said, so that another evaluation can refuse it."""


def options(verb: argparse.ArgumentParser) -> None:
    """How much of each kind; for `services` alone."""
    verb.add_argument("--questions", type=positive, help="questions to RAG (services; default 50)")
    verb.add_argument("--notes", type=positive, help="notes to summarise (services; default 100)")
    verb.add_argument("--paragraphs", type=positive, help="paragraphs for NER (services; default 60)")
    verb.add_argument("--pages", type=positive, help="only so many pages for RAG (services; default all)")


def evaluation(call: Call) -> Result:
    """Print what came back from each engine. Exit 1 where a document, a question or an engine failed."""
    call.display.begin(STEP, "documents of Debian")
    try:
        docs = corpus(call.settings.engines_dir / "corpus")
        every = list(pages(call.settings.engines_dir / "corpus"))
    except CorpusError as exc:
        raise StackError(str(exc)) from exc
    counts = {name: getattr(call.arguments, name) or default for name, default in DEFAULTS.items()}
    asked = questions(docs.passages)
    work = Work(pages=every[: call.arguments.pages], passages=docs.passages, asked=asked, **counts)
    with _services(call) as own:
        try:
            found = asyncio.run(_day(own, work, lambda told: call.display.note(STEP, told)))
        except httpx2.HTTPError as exc:
            raise StackError(f"nothing can be stored: {exc}; the services' logs are below {own.settings.home}") from exc
    call.display.end(STEP, f"{found.ingested.documents} documents, {sum(row.asked for row in found.rows)} requests")
    return Result(document=_document(found, docs.versions), shown=_shown(found), code=1 if found.problems else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """Services of one's own and the token of their admin."""

    settings: Settings
    token: str


@contextmanager
def _services(call: Call) -> Iterator[_Own]:
    """All three, on the engines of `call`, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cutover-eval-") as folder:
        env = _environment(call, Path(folder))
        settings = settings_room.load(env)
        try:
            local.up(settings, call.display, env=env)
            token = local.admin_token(settings)
            assert token is not None  # `up` has made one
            yield _Own(settings=settings, token=token.value)
        finally:
            local.down(settings, call.display)


def _environment(call: Call, home: Path) -> dict[str, str]:
    """Of the caller's all but where rows, states and keys lie; both engines as given ones, so that none is started."""
    here, names = call.settings, [service.upper() for service in SERVICES]
    left = _ELSEWHERE | {pattern.format(name) for pattern in _ELSEWHERE_OF for name in names}
    ports = (*(f"CUTOVER_{name}_PORT" for name in names), "CUTOVER_MONITOR_PORT")
    return {
        **{name: value for name, value in call.env.items() if name not in left},
        "CUTOVER_HOME": str(home),
        "CUTOVER_ENGINES_DIR": str(here.engines_dir),
        "OLLAMA_URL": here.ollama_url,
        "VLLM_URL": here.vllm_url,
        **{name: str(free_port()) for name in ports},
    }


async def _day(own: _Own, work: Work, note: Callable[[str], None]) -> Day:
    async with httpx2.AsyncClient(timeout=LIMIT_S, trust_env=False) as http:
        urls = {service: own.settings.service_url(service) for service in SERVICES}
        return await day(Desk(urls=urls, token=own.token, http=http), work, note)


def _document(found: Day, packages: Mapping[str, str]) -> Mapping[str, Any]:
    stored = found.ingested
    return {
        "ingested": {**asdict(stored), "documents_per_s": round(stored.documents / stored.seconds, 2)},
        "rows": [asdict(row) for row in found.rows],
        "problems": list(found.problems),
        "packages": dict(packages),
        "load": os.getloadavg()[0],
    }


def _shown(found: Day) -> list[Table | Text]:
    stored = found.ingested
    told = (
        f"{stored.documents} documents with {stored.passages} passages in {stored.seconds:.0f} s "
        f"({stored.documents / stored.seconds:.1f} documents a second)"
    )
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for column in ("work", "engine", "answered", "median", "on average"):
        table.add_column(column)
    for row in found.rows:
        table.add_row(row.what, row.arm, f"{row.answered} of {row.asked}", f"{row.median_s:.1f} s", _worth(row))
    return [Text(told), table, *(Text(problem, style="red") for problem in found.problems)]


def _worth(row: Row) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in row.facts.items())
