"""HTTP for collections: named parts of a workspace that can be searched, asked and deleted alone."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.rag.api import Id, UseCases
from services.rag.schemas_ingest import CollectionInfo, CollectionList, NewCollection
from services.rag.store import Collection, NameTaken
from services.web.problems import Problem, missing


def router() -> APIRouter:
    """The routes of collections."""
    routes = APIRouter(prefix="/v1/collections", tags=["rag"])
    add = routes.add_api_route
    add("", add_collection, methods=["POST"], status_code=201, summary="Make a collection")
    add("", list_collections, methods=["GET"], summary="Every collection, by name")
    add("/{collection_id}", get_collection, methods=["GET"], summary="One collection")
    add("/{collection_id}", rename_collection, methods=["PUT"], summary="Give it another name")
    gone = "Forget it with its documents for good"
    add("/{collection_id}", delete_collection, methods=["DELETE"], status_code=204, summary=gone)
    return routes


async def add_collection(body: NewCollection, rag: UseCases, response: Response) -> CollectionInfo:
    """409 where the workspace has one of that name."""
    try:
        made = await rag.documents.add_collection(body.name)
    except NameTaken as exc:
        raise _taken(body.name) from exc
    response.headers["Location"] = f"/v1/collections/{made.id}"
    return _info(made)


async def list_collections(rag: UseCases) -> CollectionList:
    """With how many documents are in each."""
    return CollectionList(collections=[_info(c) for c in await rag.documents.collections()])


async def get_collection(collection_id: Id, rag: UseCases) -> CollectionInfo:
    """Its name, and how many documents are in it."""
    return _found(await rag.documents.collection(collection_id), collection_id)


async def rename_collection(collection_id: Id, body: NewCollection, rag: UseCases) -> CollectionInfo:
    """Its id and its documents stay."""
    try:
        return _found(await rag.documents.rename_collection(collection_id, body.name), collection_id)
    except NameTaken as exc:
        raise _taken(body.name) from exc


async def delete_collection(collection_id: Id, rag: UseCases) -> None:
    """Its documents, their passages and index entries are gone, not hidden."""
    if not await rag.documents.delete_collection(collection_id):
        raise missing("collection", collection_id)


def _found(collection: Collection | None, collection_id: str) -> CollectionInfo:
    if collection is None:
        raise missing("collection", collection_id)
    return _info(collection)


def _taken(name: str) -> Problem:
    return Problem(409, "name-taken", f"there is a collection {name!r} already")


def _info(collection: Collection) -> CollectionInfo:
    return CollectionInfo.model_validate(collection)
