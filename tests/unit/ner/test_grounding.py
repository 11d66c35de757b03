"""Relations: taken when the text states them, refused with a reason otherwise."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ner.grounding import Refused, Why, ground, quoted
from services.ner.shape import FACTS, Predicate, Shape

TEXT = "Mara Quill works for Tessel\nin Brenn. Tessel makes Lubrex 40. She likes it."
NAMES = [("Mara Quill", "person"), ("Tessel", "organisation"), ("Brenn", "place"), ("Lubrex 40", "product")]
OPEN = Shape(name="open", entity_types=(), is_open=True)


def said(*relations: tuple[str, str, str, str], names: list[tuple[str, str]] = NAMES) -> str:
    keys = ("quote", "subject", "predicate", "object")
    document: dict[str, Any] = {
        "entities": [{"text": t, "type": k} for t, k in names],
        "relations": [dict(zip(keys, r, strict=True)) for r in relations],
    }
    return json.dumps(document)


def why(*relation: str) -> Why:
    grounded = ground(TEXT, said(relation), FACTS)  # type: ignore[arg-type]
    [refused] = grounded.refused
    assert grounded.facts == ()
    return refused.why


def test_a_stated_fact_has_its_quote_at_its_place() -> None:
    """Ends with their types; the quote is what stands in the text, its line break included."""
    answer = said(("Mara Quill works for Tessel in Brenn", "Mara Quill", "works_for", "Tessel"))
    [fact] = ground(TEXT, answer, FACTS).facts

    assert TEXT[fact.start : fact.end] == fact.quote == "Mara Quill works for Tessel\nin Brenn"
    assert (fact.subject.text, fact.subject.type) == ("Mara Quill", "person")
    assert (fact.predicate, fact.object.type) == ("works_for", "organisation")


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        (("Mara Quill left Tessel", "Mara Quill", "works_for", "Tessel"), Why.NO_QUOTE),
        (("", "Mara Quill", "works_for", "Tessel"), Why.NO_QUOTE),
        (("She likes it.", "Mara Quill", "uses", "Lubrex 40"), Why.NOT_QUOTED),
        (("Tessel makes Lubrex 40", "Mara Quill", "makes", "Lubrex 40"), Why.NOT_QUOTED),
        (("Tessel makes Lubrex 40", "TESSEL", "makes", "tessel"), Why.SELF_LOOP),
        (("Tessel makes Lubrex 40", "Tessel", "makes", "Lubrex"), Why.NO_ENTITY),
        (("Tessel makes Lubrex 40", "Lubrex 40", "makes", "Tessel"), Why.NO_PREDICATE),
    ],
)
def test_what_the_text_does_not_state_is_refused(relation: tuple[str, ...], expected: Why) -> None:
    """Each with its own reason."""
    assert why(*relation) == expected


def test_only_made_up_relations_count_as_ungrounded() -> None:
    """A wrong predicate is a bad form, not a lie about the text; an invented name counts too."""
    answer = said(
        ("Tessel sank", "Tessel", "makes", "Lubrex 40"),
        ("Tessel makes Lubrex 40", "Lubrex 40", "makes", "Tessel"),
        names=[*NAMES, ("Gandalf", "person")],
    )

    assert ground(TEXT, answer, FACTS).ungrounded == 2


def test_of_a_name_with_two_types_the_one_that_fits_is_taken() -> None:
    """A model may call a thing a product and a place; what the predicate joins decides."""
    names = [("Tessel", "place"), ("Tessel", "organisation"), ("Lubrex 40", "product")]
    [fact] = ground(TEXT, said(("Tessel makes Lubrex 40", "Tessel", "makes", "Lubrex 40"), names=names), FACTS).facts

    assert fact.subject.type == "organisation"


def test_an_open_shape_keeps_other_words_as_slugs() -> None:
    """`Works For` of type `Human` is kept, in one spelling."""
    answer = said(("Mara Quill works for Tessel", "Mara Quill", "Works For", "Tessel"), names=[("Mara Quill", "Human")])
    refused = ground(TEXT, answer, OPEN).refused
    both = said(
        ("Mara Quill works for Tessel", "Mara Quill", "Works For", "Tessel"),
        names=[("Mara Quill", "Human"), ("Tessel", "Firm!")],
    )
    [fact] = ground(TEXT, both, OPEN).facts

    assert [r.why for r in refused] == [Why.NO_ENTITY]
    assert (fact.subject.type, fact.predicate, fact.object.type) == ("human", "works_for", "firm")


def test_a_name_at_ten_thousand_places_is_joined_once() -> None:
    """Neither a pair per two places nor an object per place and relation: a long log would take gigabytes."""
    text, times = "Ann met Bob. " * 1500, 1500
    names = [("Ann", "person"), ("Bob", "person")]
    answer = said(*[("Ann met Bob", "Ann", "knows", "Bob")] * 3, names=names)
    tracemalloc.start()
    try:
        grounded = ground(text, answer, OPEN)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (len(grounded.mentions), len(grounded.facts)) == (2 * times, 1)
    assert peak < 4_000_000


def test_the_same_fact_twice_is_one() -> None:
    """A model that repeats itself adds nothing."""
    once = ("Tessel makes Lubrex 40", "Tessel", "makes", "Lubrex 40")

    assert len(ground(TEXT, said(once, once), FACTS).facts) == 1


@given(
    text=st.text(alphabet="ab \n.*(\\", max_size=60),
    quote=st.text(alphabet="ab \n.*(\\", max_size=12),
)
def test_a_quote_is_what_stands_there(text: str, quote: str) -> None:
    """Found or not, whatever the characters: where it is found, the words are the same."""
    place = quoted(text, quote)

    squeezed = " ".join(quote.split())
    if place is None:
        assert not squeezed or squeezed not in text
    else:
        assert " ".join(text[slice(*place)].split()).casefold() == squeezed.casefold()


@given(st.data())
def test_every_fact_names_both_ends_in_its_quote(data: st.DataObject) -> None:
    """Whatever a model says within the schema, nothing ungrounded comes through, and nothing is lost unsaid."""
    words = st.sampled_from(["Mara Quill", "Tessel", "Brenn", "Lubrex 40", "Gandalf", "works", ""])
    quotes = st.sampled_from(["Mara Quill works for Tessel", "Tessel makes Lubrex 40.", "in Brenn", "never said"])
    predicates = st.sampled_from([p.name for p in FACTS.predicates])
    relations = data.draw(st.lists(st.tuples(quotes, words, predicates, words), max_size=6))
    grounded = ground(TEXT, said(*relations), FACTS)

    for fact in grounded.facts:
        assert TEXT[fact.start : fact.end] == fact.quote
        assert fact.subject.text in fact.quote
        assert fact.object.text in fact.quote
        predicate = FACTS.predicate(fact.predicate)
        assert isinstance(predicate, Predicate)
        assert predicate.joins(fact.subject.type, fact.object.type)
    taken = {(f.subject.text, f.predicate, f.object.text) for f in grounded.facts}
    refused = [r for r in grounded.refused if isinstance(r, Refused)]
    assert taken | {(r.subject, r.predicate, r.object) for r in refused} == {(s, p, o) for _, s, p, o in relations}
