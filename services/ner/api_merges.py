"""NER's HTTP face for merges and splits: what may be one, saying so or not, and taking it back."""

from __future__ import annotations

from fastapi import APIRouter

from services.ner.graph import Wanted
from services.ner.schemas_graph import (
    CandidateInfo,
    CandidatePage,
    MergeInfo,
    MergePage,
    MergesDone,
    MergeWanted,
)
from services.ner.schemas_splits import SplitInfo, SplitPage, SplitWanted
from services.ner.seen import Number, Seen, refusals
from services.web.paging import After, Limit, position, sliced


def router() -> APIRouter:
    """The routes of merges and of candidates for them."""
    routes = APIRouter(prefix="/v1", tags=["merges"])
    add = routes.add_api_route
    add("/merge-candidates", list_candidates, methods=["GET"], summary="Names that may be one")
    add("/merge-candidates/{candidate_id}:accept", accept, methods=["POST"], summary="They are one")
    add(
        "/merge-candidates/{candidate_id}:reject",
        reject,
        methods=["POST"],
        status_code=204,
        summary="They are not; never ask again",
    )
    add("/entities:merge", merge, methods=["POST"], summary="Say that entities are one")
    add("/merges", list_merges, methods=["GET"], summary="Every merge, undone ones as well")
    add("/merges/{merge_id}:undo", undo, methods=["POST"], summary="Take a merge back")
    add("/entities/{entity_id}:split", split, methods=["POST"], summary="Some mentions mean another of that name")
    add("/splits", list_splits, methods=["GET"], summary="Homonyms that are kept apart")
    add("/splits/{split_id}:undo", undo_split, methods=["POST"], summary="They are one after all")
    return routes


async def list_candidates(graph: Seen, limit: Limit = 50, after: After = "") -> CandidatePage:
    """The likest first. None is ever merged by itself."""
    where = position(after, "candidates", int, int)
    found = await graph.candidates(limit + 1, (int(where[0]), int(where[1])) if where else None)
    shown, onward = sliced(found, limit, "candidates", lambda c: (round(c.score * 1000), c.id))
    return CandidatePage(candidates=[CandidateInfo.model_validate(c) for c in shown], next=onward)


async def accept(candidate_id: Number, graph: Seen) -> MergesDone:
    """The entity with more mentions stands for both. Accepting twice merges nothing more."""
    with refusals():
        done = await graph.accept(candidate_id)
    return MergesDone(merges=[MergeInfo.model_validate(m) for m in done])


async def reject(candidate_id: Number, graph: Seen) -> None:
    """Outlives the documents that hold the names."""
    with refusals():
        await graph.reject(candidate_id)


async def merge(body: MergeWanted, graph: Seen) -> MergesDone:
    """Each entity is taken with all the names that it has."""
    with refusals():
        done = await graph.merge(body.into, body.entities, across_types=body.across_types)
    return MergesDone(merges=[MergeInfo.model_validate(m) for m in done])


async def list_merges(graph: Seen, limit: Limit = 50, after: After = "") -> MergePage:
    """The newest first."""
    where = position(after, "merges", int)
    found = await graph.merges(limit + 1, int(where[0]) if where else None)
    shown, onward = sliced(found, limit, "merges", lambda m: (m.id,))
    return MergePage(merges=[MergeInfo.model_validate(m) for m in shown], next=onward)


async def undo(merge_id: Number, graph: Seen) -> MergeInfo:
    """Both entities are what they were, with what was read since; merges made later stay. Undoing twice is once."""
    with refusals():
        return MergeInfo.model_validate(await graph.undo(merge_id))


async def split(entity_id: Number, body: SplitWanted, graph: Seen) -> SplitInfo:
    """The mentions, and the facts whose quotes mean them, become an entity `Name (label)` of the same type.

    `entity_id` is the number of a name, as in an entity's `aliases`. Both stay apart when documents are read anew.
    """
    wanted = [Wanted(document_id=m.document_id, start=m.start) for m in body.mentions]
    with refusals():
        return SplitInfo.model_validate(await graph.split(entity_id, wanted, body.label))


async def list_splits(graph: Seen, limit: Limit = 50, after: After = "") -> SplitPage:
    """The newest first; one that was undone is gone."""
    where = position(after, "splits", int)
    found = await graph.splits(limit + 1, int(where[0]) if where else None)
    shown, onward = sliced(found, limit, "splits", lambda s: (s.id,))
    return SplitPage(splits=[SplitInfo.model_validate(s) for s in shown], next=onward)


async def undo_split(split_id: Number, graph: Seen) -> SplitInfo:
    """The name has all its mentions again, with what was read since; the split is gone."""
    with refusals():
        return SplitInfo.model_validate(await graph.undo_split(split_id))
