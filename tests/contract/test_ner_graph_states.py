"""Whatever is read, deleted, merged, undone and rejected, in any order: the graph is what its documents say.

The model beside it is a few lines: which document says what, and which merges stand. Everything that the graph shows
must follow from these two, so an undone merge has left no trace, and a deleted document neither.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.ner.graph import Pattern
from services.ner.store import Graph, Graphs
from services.store.sqlite import url_of
from tests.contract.reading import PERSON, read

NAMES = ("Ann Berg", "Ann Borg", "Ann Burg")
TEXTS = tuple(f"{number}: {', '.join(NAMES)}." for number in range(2))

MEMORY = Path("/dev/shm")
"""Where a file needs no disk: what is tested is not whether it survives."""

names = st.sampled_from(NAMES)
facts = st.lists(st.tuples(names, st.sampled_from(["met", "knows"]), names).filter(lambda f: f[0] != f[2]), max_size=2)


class Graphing(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.graphs = Graphs(url_of(Path(self.folder.name) / "ner.db"))
        self.loop.run_until_complete(self.graphs.__aenter__())
        self.said: dict[str, tuple[str, set[str], set[tuple[str, str, str]]]] = {}
        self.merged: dict[int, tuple[str, str]] = {}
        self.apart: set[frozenset[str]] = set()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.graphs.__aexit__())
        self.loop.close()
        self.folder.cleanup()

    @property
    def graph(self) -> Graph:
        return self.graphs.of("default")

    @initialize()
    def read_everything(self) -> None:
        self.read_again(TEXTS[0], set(NAMES), [(NAMES[0], "met", NAMES[1])])

    @rule(text=st.sampled_from(TEXTS), named=st.sets(names, min_size=1), stated=facts)
    def read_again(self, text: str, named: set[str], stated: list[tuple[str, str, str]]) -> None:
        told = [fact for fact in stated if {fact[0], fact[2]} <= named]
        known = {name: PERSON for name in NAMES if name in named}
        identifier = self.loop.run_until_complete(read(self.graph, text, known, *told))
        self.said[text] = (identifier, named, set(told))
        self.forget()

    @rule(text=st.sampled_from(TEXTS))
    def delete(self, text: str) -> None:
        identifier, _, _ = self.said.pop(text, ("none", set(), set()))
        deleted = self.loop.run_until_complete(self.graph.delete(identifier))
        assert deleted == (identifier != "none")
        self.forget()

    @rule(into=names, other=names)
    def merge(self, into: str, other: str) -> None:
        numbers = self.numbers()
        if into not in numbers or other not in numbers:
            return
        winner, loser = self.root(into), self.root(other)
        done = self.loop.run_until_complete(self.graph.merge(numbers[into], [numbers[other]], across_types=False))
        assert [(m.winner.name, m.loser.name) for m in done] == ([] if winner == loser else [(winner, loser)])
        self.merged.update((m.id, (winner, loser)) for m in done)

    @precondition(lambda self: self.merged)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.merged)))
        self.loop.run_until_complete(self.graph.undo(number))
        del self.merged[number]
        self.forget()

    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        found = self.loop.run_until_complete(self.graph.candidates(100, None))
        if not found:
            return
        candidate = data.draw(st.sampled_from(found))
        self.loop.run_until_complete(self.graph.reject(candidate.id))
        self.apart.add(frozenset((candidate.low.name, candidate.high.name)))

    @invariant()
    def entities_are_the_named_groups(self) -> None:
        counts = Counter(self.root(name) for _, named, _ in self.said.values() for name in named)
        found = self.loop.run_until_complete(self.graph.entities("", None, 100, None))
        assert {e.name: e.mentions for e in found} == dict(counts)
        whole = self.loop.run_until_complete(self.graph.whole(None, 100))
        assert sorted(node.name for node in whole.nodes) == sorted(counts)

    @invariant()
    def facts_are_what_documents_state(self) -> None:
        stated = Counter((self.root(s), p, self.root(o)) for _, _, told in self.said.values() for s, p, o in told)
        expected = {fact: count for fact, count in stated.items() if fact[0] != fact[2]}
        found = self.loop.run_until_complete(self.graph.relations(Pattern(), 100, None))
        assert {(r.subject.name, r.predicate, r.object.name): r.evidence for r in found} == expected
        for each in found:
            shown = self.loop.run_until_complete(self.graph.provenance(each.id))
            assert shown is not None
            assert len(shown[1]) == each.evidence

    @invariant()
    def a_rejected_pair_is_never_asked_about(self) -> None:
        for candidate in self.loop.run_until_complete(self.graph.candidates(100, None)):
            assert candidate.low_entity != candidate.high_entity
            assert frozenset((candidate.low.name, candidate.high.name)) not in self.apart

    @invariant()
    def the_log_holds_the_merges_that_stand(self) -> None:
        found = self.loop.run_until_complete(self.graph.merges(100, None))
        assert {m.id: (m.winner.name, m.loser.name) for m in found if m.undone_at is None} == self.merged

    def numbers(self) -> dict[str, int]:
        found = self.loop.run_until_complete(self.graph.entities("", None, 100, None))
        details = [self.loop.run_until_complete(self.graph.entity(e.id)) for e in found]
        return {name.name: name.id for detail in details if detail is not None for name in detail[1]}

    def root(self, name: str) -> str:
        above = {loser: winner for winner, loser in self.merged.values()}
        while name in above:
            name = above[name]
        return name

    def forget(self) -> None:
        """Merges go with the last mention of the whole that they made."""
        alive = {self.root(name) for _, named, _ in self.said.values() for name in named}
        self.merged = {n: pair for n, pair in self.merged.items() if self.root(pair[1]) in alive}


TestStates = Graphing.TestCase
TestStates.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
