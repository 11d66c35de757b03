"""Documents that are read anew, in jobs: what was read stays until the new reading is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.llm.errors import AllProvidersFailed, ErrorType, LLMError
from services.llm.errors import Kind as ErrorKind
from services.llm.types import Priority, Sampling
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
        ask, may_vary = await _ask(graph, key, job.payload.get("max_tokens"))
        while ask is not None:
            try:
                await ner.read_again(ask, graph, wishes, job)
            except LLMError as exc:
                root = exc.root if isinstance(exc, AllProvidersFailed) else exc
                other = _otherwise(ask, root) if may_vary else None
                if other is None:
                    raise _failed(ask, root) from exc
                ask, may_vary = other, False
            else:
                ask = None

    return {KIND: read}


async def _ask(graph: Graph, document_id: str, most: int | None) -> tuple[Ask | None, bool]:
    """What the document was read for, as it was asked then, and whether another limit of tokens may be tried.

    None where it is gone. `most` is a limit that somebody gave for this rerun. Where neither tells how much the answer
    may have, a schema of one's own gets all there is, for it may want long lists. Raises `JobError`.
    """
    found = await graph.document(document_id)
    if found is None:
        return None, False
    made, text = found[0].producer, found[0].text
    shape, relations = await graph.asked(made)
    if shape is None:
        gone = f"the schema of {made.prompt_version!r} is gone; read the document with another one"
        raise JobError("schema-missing", gone, permanent=True)
    if relations and not shape.has_relations:
        none = f"the schema {shape.name!r} has no predicates any more; read the document without relations"
        raise JobError("no-predicates", none, permanent=True)
    if made.params is not None:
        sampling = made.params.sampling
    else:
        sampling = Sampling(max_tokens=tokens(relations) if shape.name in BUILT_IN else MOST_TOKENS)
    if most is not None:
        sampling = replace(sampling, max_tokens=most)
    ask = Ask(text=text, shape=shape, relations=relations, sampling=sampling)
    return ask, made.params is None and most is None


def _otherwise(ask: Ask, root: LLMError) -> Ask | None:
    """The same with more tokens after an answer that was no whole one, or with the usual where all do not fit."""
    usual, most = tokens(ask.relations), ask.sampling.max_tokens
    if root.kind is ErrorKind.PARTIAL and most < MOST_TOKENS:
        return replace(ask, sampling=replace(ask.sampling, max_tokens=MOST_TOKENS))
    if root.type is ErrorType.CONTEXT_LENGTH and most > usual:
        return replace(ask, sampling=replace(ask.sampling, max_tokens=usual))
    return None


def _failed(ask: Ask, root: LLMError) -> JobError:
    """Why the document was not read; where its limit of tokens may be the reason, with the way to another one."""
    of_tokens = root.kind is ErrorKind.PARTIAL or root.type is ErrorType.CONTEXT_LENGTH
    hint = f"; it was asked with max_tokens={ask.sampling.max_tokens}, and a rerun takes another one"
    detail = root.detail + (hint if of_tokens else "")
    return JobError(str(root.type), detail, permanent=root.kind is ErrorKind.CALLER)
