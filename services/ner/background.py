"""Documents that are read anew, in jobs: what was read stays until the new reading is there."""

from __future__ import annotations

from collections.abc import Mapping

from services.llm.errors import AllProvidersFailed, LLMError
from services.llm.errors import Kind as ErrorKind
from services.llm.types import Priority
from services.ner.anew import KIND
from services.ner.schemas import tokens
from services.ner.service import Ask, Ner
from services.store.jobs import Job, JobError
from services.store.worker import Handler
from services.web.asking import Wishes


def handlers(ner: Ner, deadline_s: float) -> Mapping[str, Handler]:
    """What does the jobs; each asks within `deadline_s`, after whoever waits for an answer."""

    async def read(job: Job) -> None:
        graph = ner.graphs.of(job.workspace)
        found = await graph.document(str(job.payload["document"]))
        if found is None:
            return
        document = found[0]
        shape, relations = await graph.asked(document.producer.prompt_version)
        if shape is None:
            gone = f"the schema of {document.producer.prompt_version!r} is gone; read the document with another one"
            raise JobError("schema-missing", gone, permanent=True)
        ask = Ask(text=document.text, shape=shape, relations=relations, max_tokens=tokens(relations))
        wishes = Wishes(
            request_id=job.id, key=document.id, first=None, deadline_s=deadline_s, priority=Priority.BATCH
        )
        try:
            await ner.read_again(ask, graph, wishes, job)
        except LLMError as exc:
            root = exc.root if isinstance(exc, AllProvidersFailed) else exc
            raise JobError(str(root.type), root.detail, permanent=root.kind is ErrorKind.CALLER) from exc

    return {KIND: read}
