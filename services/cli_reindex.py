"""`cutover reindex rag`: makes every vector anew, as another embedding model or other weights of it need."""

from __future__ import annotations

import argparse
import asyncio

from rich.text import Text

from services.cli_commands import Call, Result
from services.rag.ingest import REINDEX
from services.rag.store_documents import StoredDocuments


def options(verb: argparse.ArgumentParser) -> None:
    """What `reindex` takes. Notes makes its own anew by `POST /v1/rerun`."""
    verb.add_argument("service", choices=("rag",))


def reindex(call: Call) -> Result:
    """Forget the vectors, and leave the service a job for each document. Raises `StoreError`."""
    documents = asyncio.run(_asked(call.settings.stores.url("rag")))
    said = f"{documents} documents are to be cut and embedded anew; the running service does it, see GET /v1/jobs"
    return Result(document={"service": "rag", "documents": documents}, shown=[Text(said)])


async def _asked(url: str) -> int:
    async with StoredDocuments(url) as store:
        return await store.reindex_all(REINDEX)
