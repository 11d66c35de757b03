"""What becomes of names that somebody else sees: held to the same text, bounds and spellings as the model's own."""

from __future__ import annotations

from services.ner.grounding import Mention, ground
from services.ner.name_candidates import MOST, Sighting, mentions, proposed, unseen
from services.ner.shape import DEFAULT, MAX_SURFACE_CHARS, Shape

TEXT = "Mara Quill met Tessel in Brenn."
MARA = Sighting(text="Mara Quill", type="person", places=((0, 10),))
TESSEL = Sighting(text="Tessel", type="organisation", places=((15, 21),))


def saw(text: str, *names: str, kind: str = "organisation") -> list[Mention]:
    """Each where it first stands; a name that the text does not have is said to be at its beginning."""
    found = [(name, max(text.find(name), 0)) for name in names]
    return [Mention(text=name, type=kind, start=at, end=at + len(name)) for name, at in found]


def test_a_candidate_that_touches_a_mention_is_none() -> None:
    """The model saw something there, if with another type or other ends; a place that is free stays."""
    assert unseen((MARA, TESSEL), [(5, 14)]) == (TESSEL,)
    assert unseen((MARA, TESSEL), []) == (MARA, TESSEL)
    twice = Sighting(text="Quill", type="person", places=((5, 10), (40, 45)))
    assert unseen((twice,), [(0, 10)]) == (Sighting(text="Quill", type="person", places=((40, 45),)),)


def test_a_type_that_was_not_looked_for_is_left_out() -> None:
    seen = [*saw(TEXT, "Tessel"), *saw(TEXT, "Brenn", kind="place")]
    places = Shape(name="places", entity_types=("place",))
    assert [s.text for s in proposed(TEXT, seen, places)] == ["Brenn"]
    open_shape = Shape(name="any", entity_types=("ship",), is_open=True)
    assert [s.text for s in proposed(TEXT, seen, open_shape)] == ["Tessel", "Brenn"]


def test_spellings_of_one_name_are_one_candidate() -> None:
    """At the places of both, as entities are one by their key."""
    text = "Tessel pays. TESSEL asks. Tes\u200bsel waits."
    [one] = proposed(text, saw(text, "Tessel", "TESSEL", "Tes\u200bsel"), DEFAULT)
    assert (one.text, one.places) == ("Tessel", ((0, 6), (13, 19), (26, 33)))
    assert [m.text for m in mentions(text, [one])] == ["Tessel", "TESSEL", "Tes\u200bsel"]


def test_what_the_text_does_not_hold_is_no_candidate() -> None:
    """Wherever it is said to be; nor is what is too long for a name, or is nothing to the eye."""
    long = "x" * (MAX_SURFACE_CHARS + 1)
    text = f"Tessel {long} \u200b\u200d paid."
    assert proposed(text, saw(text, "Gandalf", long, "\u200b\u200d", " \n", ""), DEFAULT) == ()


def test_the_model_names_nothing_invisible_either() -> None:
    """Both go the same way."""
    grounded = ground("a \u200b b", '{"entities": [{"text": "\u200b", "type": "other"}]}')
    assert (grounded.mentions, grounded.rejected) == ((), ("\u200b",))


def test_only_so_many_are_proposed() -> None:
    """The first of the text."""
    names = [f"Firm{number:03}" for number in range(MOST + 5)]
    found = proposed(" ".join(names), saw(" ".join(names), *names), DEFAULT)
    assert [s.text for s in found] == names[:MOST]
