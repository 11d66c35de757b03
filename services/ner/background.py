"""Documents that are read anew, in jobs: what was read stays until the new reading is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.llm.errors import AllProvidersFailed, ErrorType, LLMError
from services.llm.errors import Kind as ErrorKind
from services.llm.types import Priority
from services.ner.anew import KIND
from services.ner.schemas import MOST_TOKENS, tokens
from services.ner.service import Ask, Ner
from services.ner.shape import BUILT_IN
from services.ner.store import Graph
from services.store.jobs import Job, JobError
from services.store.worker import Handler
from services.web.asking import Wishes


def handlers(ner: Ner, deadline_s: float) -> Mapping[str, Handler]:
    """What does the jobs; each asks within `deadline_s`, after whoever waits for an answer."""

    async def read(job: Job) -> None:
        graph = ner.graphs.of(job.workspace)
        key = str(job.payload["document"])
        wishes = Wishes(request_id=job.id, key=key, first=None, deadline_s=deadline_s, priority=Priority.BATCH)
        ask, is_again = await _ask(graph, key), False
        while ask is not None:
            try:
                await ner.read_again(ask, graph, wishes, job)
            except LLMError as exc:
                root = exc.root if isinstance(exc, AllProvidersFailed) else exc
                ask = None if is_again else _otherwise(ask, root)
                if ask is None:
                    raise JobError(str(root.type), root.detail, permanent=root.kind is ErrorKind.CALLER) from exc
                is_again = True
            else:
                ask = None

    return {KIND: read}


async def _ask(graph: Graph, document_id: str) -> Ask | None:
    """What the document was read for, as it is today; None where it is gone. Raises `JobError`.

    What its answer might have is not kept, and a schema of one's own may want long lists: it gets all there is.
    """
    found = await graph.document(document_id)
    if found is None:
        return None
    document = found[0]
    shape, relations = await graph.asked(document.producer.prompt_version)
    if shape is None:
        gone = f"the schema of {document.producer.prompt_version!r} is gone; read the document with another one"
        raise JobError("schema-missing", gone, permanent=True)
    if relations and not shape.has_relations:
        none = f"the schema {shape.name!r} has no predicates any more; read the document without relations"
        raise JobError("no-predicates", none, permanent=True)
    most = tokens(relations) if shape.name in BUILT_IN else MOST_TOKENS
    return Ask(text=document.text, shape=shape, relations=relations, max_tokens=most)


def _otherwise(ask: Ask, root: LLMError) -> Ask | None:
    """The same with more tokens after an answer that was no whole one, or with the usual where all do not fit."""
    usual = tokens(ask.relations)
    if root.kind is ErrorKind.PARTIAL and ask.max_tokens < MOST_TOKENS:
        return replace(ask, max_tokens=MOST_TOKENS)
    if root.type is ErrorType.CONTEXT_LENGTH and ask.max_tokens > usual:
        return replace(ask, max_tokens=usual)
    return None
