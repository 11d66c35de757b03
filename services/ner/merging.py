"""Says that two names are one, or are not, and takes it back: inside the caller's transaction, every act logged.

Nothing is merged by itself. What two entities are is a tree of names: each merge hangs one tree below the other's root.
Undoing one cuts it off again, in any order, and what hung below it comes along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, func, insert, or_, select, update

from services.ner.graph import Candidate, End, GraphError, Merge
from services.ner.naming import drop_unnamed, pair_of
from services.ner.tables import CANDIDATE, ENTITY, MENTION, MERGE, REJECTION, SPLIT


def root_of(c: Connection, workspace: str, entity: int) -> int | None:
    """The entity that stands for this one; None when there is none."""
    found = c.scalar(select(ENTITY.c.root).where(ENTITY.c.workspace == workspace, ENTITY.c.id == entity))
    return None if found is None else int(found)


def merge(
    c: Connection, workspace: str, into: int, others: Sequence[int], *, across_types: bool, at: str
) -> list[Merge]:
    """What was merged now; what was one already is left out. Raises `GraphError`."""
    winner = _root(c, workspace, into)
    losers = dict.fromkeys(_root(c, workspace, other) for other in others)
    types = _types(c, [winner, *losers])
    made = []
    for loser in (each for each in losers if each != winner):
        if types[loser] != types[winner] and not across_types:
            said = f"{loser} is a {types[loser]} and {winner} a {types[winner]}"
            raise GraphError("types-differ", f"entity {said}; to merge them all the same, say across_types")
        _refuse_split(c, loser, winner)
        row = {"workspace": workspace, "loser": loser, "winner": winner, "at": at}
        key = c.execute(insert(MERGE).values(row)).inserted_primary_key
        assert key is not None
        c.execute(update(ENTITY).where(ENTITY.c.root == loser).values(root=winner))
        made.append(int(key[0]))
    return [m for m in (one_merge(c, workspace, number) for number in made) if m is not None]


def undo(c: Connection, workspace: str, number: int, at: str) -> Merge:
    """The merge, undone; one that was undone before stays as it is. Raises `GraphError`."""
    found = one_merge(c, workspace, number)
    if found is None:
        raise GraphError("not-found", f"no merge {number}")
    if found.undone_at is not None:
        return found
    c.execute(update(MERGE).where(MERGE.c.id == number).values(undone_at=at))
    below = select(MERGE.c.loser.label("id")).where(MERGE.c.id == number).cte("below", recursive=True)
    hung = select(MERGE.c.loser).join(below, MERGE.c.winner == below.c.id).where(MERGE.c.undone_at.is_(None))
    names = list(c.scalars(select(below.union(hung).c.id)))
    c.execute(update(ENTITY).where(ENTITY.c.id.in_(names)).values(root=found.loser.id))
    done = one_merge(c, workspace, number)
    assert done is not None
    drop_unnamed(c, [done.loser.id, found.winner.id])  # what only the merge kept
    return done


def accept(c: Connection, workspace: str, number: int, at: str) -> list[Merge]:
    """Merge a candidate's two into the one with more mentions, the older one where they have as many."""
    candidate = _candidate(c, workspace, number)
    low, high = candidate.low_entity, candidate.high_entity
    into, other = (high, low) if _mentions(c, high) > _mentions(c, low) else (low, high)
    return merge(c, workspace, into, [other], across_types=True, at=at)


def reject(c: Connection, workspace: str, number: int, at: str) -> None:
    """Say that a candidate's two are not one. No candidate joins them again, whichever names they have by then."""
    candidate = _candidate(c, workspace, number)
    roots = (candidate.low_entity, candidate.high_entity)
    if roots[0] == roots[1]:
        raise GraphError("merged", f"the names of candidate {number} are one entity now; undo that merge first")
    low, high = ENTITY.alias("low"), ENTITY.alias("high")
    between = (
        select(CANDIDATE.c.id, low.c.key, low.c.type, high.c.key.label("other"), high.c.type.label("other_type"))
        .join(low, low.c.id == CANDIDATE.c.low)
        .join(high, high.c.id == CANDIDATE.c.high)
        .where(or_(_are(low, high, roots), _are(high, low, roots)))
    )
    for row in c.execute(between).all():
        c.execute(update(CANDIDATE).where(CANDIDATE.c.id == row.id).values(rejected=True))
        pair = pair_of((row.key, row.type), (row.other, row.other_type))
        is_known = exists().where(REJECTION.c.workspace == workspace, REJECTION.c.pair == pair)
        if not c.scalar(select(is_known)):
            c.execute(insert(REJECTION).values(workspace=workspace, pair=pair, at=at))


def candidates(c: Connection, workspace: str, limit: int, after: tuple[int, int] | None) -> list[Candidate]:
    """The open ones, the likest first; `after` is the score in thousandths and the id of the last one seen."""
    low, high = ENTITY.alias("low"), ENTITY.alias("high")
    query = _candidates(low, high).where(
        CANDIDATE.c.workspace == workspace, low.c.root != high.c.root, ~_rejected(low, high)
    )
    score = func.round(CANDIDATE.c.score * 1000)
    if after is not None:
        query = query.where(or_(score < after[0], and_(score == after[0], CANDIDATE.c.id > after[1])))
    rows = c.execute(query.order_by(score.desc(), CANDIDATE.c.id).limit(limit))
    return [_told(row) for row in rows]


def merges(c: Connection, workspace: str, limit: int, before: int | None) -> list[Merge]:
    """The log, the newest first; `before` is the id of the last one seen."""
    query = _merges().where(MERGE.c.workspace == workspace).order_by(MERGE.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(MERGE.c.id < before)
    return [_merge(row) for row in c.execute(query)]


def one_merge(c: Connection, workspace: str, number: int) -> Merge | None:
    row = c.execute(_merges().where(MERGE.c.workspace == workspace, MERGE.c.id == number)).one_or_none()
    return None if row is None else _merge(row)


def _root(c: Connection, workspace: str, entity: int) -> int:
    found = root_of(c, workspace, entity)
    if found is None:
        raise GraphError("not-found", f"no entity {entity}")
    return found


def _refuse_split(c: Connection, one: int, other: int) -> None:
    """Raises `GraphError` where a person split names of these two apart, and that stands."""
    source, made = ENTITY.alias("source"), ENTITY.alias("made")
    query = (
        select(SPLIT.c.id)
        .join(source, source.c.id == SPLIT.c.source)
        .join(made, made.c.id == SPLIT.c.made)
        .where(or_(_are(source, made, (one, other)), _are(made, source, (one, other))))
    )
    number = c.scalar(query.limit(1))
    if number is not None:
        raise GraphError("kept-apart", f"split {number} says that {one} and {other} are two; undo that split first")


def _types(c: Connection, entities: Sequence[int]) -> Mapping[int, str]:
    rows = c.execute(select(ENTITY.c.id, ENTITY.c.type).where(ENTITY.c.id.in_(list(entities))))
    return {int(row.id): str(row.type) for row in rows}


def _mentions(c: Connection, root: int) -> int:
    query = select(func.count()).select_from(MENTION).join(ENTITY, ENTITY.c.id == MENTION.c.entity)
    return int(c.execute(query.where(ENTITY.c.root == root)).scalar_one())


def _candidate(c: Connection, workspace: str, number: int) -> Candidate:
    low, high = ENTITY.alias("low"), ENTITY.alias("high")
    query = _candidates(low, high).where(CANDIDATE.c.workspace == workspace, CANDIDATE.c.id == number)
    row = c.execute(query).one_or_none()
    if row is None:
        raise GraphError("not-found", f"no merge candidate {number}")
    return _told(row)


def _candidates(low: Any, high: Any) -> Select[Any]:
    return (
        select(
            CANDIDATE.c.id,
            CANDIDATE.c.reason,
            CANDIDATE.c.score,
            *(end.c[name].label(f"{side}_{name}") for side, end in _sides(low, high) for name in _SHOWN),
        )
        .join(low, low.c.id == CANDIDATE.c.low)
        .join(high, high.c.id == CANDIDATE.c.high)
    )


_SHOWN = ("id", "name", "type", "root")


def _sides(low: Any, high: Any) -> tuple[tuple[str, Any], ...]:
    return (("low", low), ("high", high))


def _are(one: Any, other: Any, roots: tuple[int, int]) -> Any:
    return and_(one.c.root == roots[0], other.c.root == roots[1])


def _rejected(low: Any, high: Any) -> Any:
    """Whether any two names of the two entities were said not to be one."""
    said, a, b = CANDIDATE.alias("said"), ENTITY.alias("a"), ENTITY.alias("b")
    same = and_(a.c.root == low.c.root, b.c.root == high.c.root)
    turned = and_(a.c.root == high.c.root, b.c.root == low.c.root)
    return exists().where(said.c.rejected, a.c.id == said.c.low, b.c.id == said.c.high, or_(same, turned))


def _told(row: Row[Any]) -> Candidate:
    return Candidate(
        id=row.id,
        low=End(id=row.low_id, name=row.low_name, type=row.low_type),
        high=End(id=row.high_id, name=row.high_name, type=row.high_type),
        low_entity=row.low_root,
        high_entity=row.high_root,
        reason=row.reason,
        score=row.score,
    )


def _merges() -> Select[Any]:
    loser, winner = ENTITY.alias("loser"), ENTITY.alias("winner")
    ends = (("loser", loser), ("winner", winner))
    return (
        select(
            MERGE.c.id,
            MERGE.c.at,
            MERGE.c.undone_at,
            *(end.c[name].label(f"{side}_{name}") for side, end in ends for name in ("id", "name", "type")),
        )
        .join(loser, loser.c.id == MERGE.c.loser)
        .join(winner, winner.c.id == MERGE.c.winner)
    )


def _merge(row: Row[Any]) -> Merge:
    return Merge(
        id=row.id,
        winner=End(id=row.winner_id, name=row.winner_name, type=row.winner_type),
        loser=End(id=row.loser_id, name=row.loser_name, type=row.loser_type),
        at=row.at,
        undone_at=row.undone_at,
    )
