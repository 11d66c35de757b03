"""`cutover sample`: gives RAG the documents that ship, which its questions in the shipped recipe are about."""

from __future__ import annotations

import httpx2
from rich.text import Text

from services import sample as corpus
from services.cli_commands import Call, Result
from services.migration.errors import EngineUnreachable

LIMIT_S = 180.0


def sample(call: Call) -> Result:
    """Posts the documents; what RAG holds already stays one document."""
    count = load(call)
    return Result(document={"documents": count}, shown=[Text(f"RAG holds the {count} sample documents")])


def load(call: Call) -> int:
    """How many documents RAG now holds of the sample's. Raises `EngineUnreachable`, also where RAG refuses one."""
    step = "sample documents"
    call.display.begin(step)
    documents = corpus.documents()
    url = f"{call.settings.service_url('rag')}/v1/documents"
    with httpx2.Client(timeout=LIMIT_S, trust_env=False, headers=call.settings.api_keys.headers()) as http:
        for document in documents:
            try:
                answer = http.post(url, json={"title": document.title, "text": document.text})
            except httpx2.HTTPError as exc:
                raise EngineUnreachable(f"RAG does not answer at {url} ({exc}); start it with `cutover up`") from exc
            if answer.status_code not in (200, 201):
                raise EngineUnreachable(f"RAG refused {document.title!r}: {answer.status_code} {answer.text[:200]}")
    call.display.end(step, f"{len(documents)} in RAG")
    return len(documents)
