"""What is asked of a model, by shape."""

from __future__ import annotations

import json

import pytest

from services.llm import schemas
from services.llm.types import Role
from services.ner import prompts
from services.ner.grounding import ground
from services.ner.shape import DEFAULT, FACTS, Predicate, Shape, answer_schema, fingerprint

FLEET = Shape(name="fleet", entity_types=("ship", "port"), predicates=(Predicate(name="calls_at"),), max_entities=9)


def test_plain_entities_are_asked_as_ever() -> None:
    """The gate's recordings and calibrations hold for these words; whoever changes them changes the version."""
    rule, example, worked, text = prompts.messages(DEFAULT, "x", relations=False)

    assert rule.content == (
        "List the names in the text: people, organisations, places, products. Copy each name exactly."
    )
    assert example.content == "Maria Lopez flew from Lisbon to Oslo with Norwegian."
    assert worked.content == (
        '{"entities": [{"text": "Maria Lopez", "type": "person"}, {"text": "Lisbon", "type": "place"}, '
        '{"text": "Oslo", "type": "place"}, {"text": "Norwegian", "type": "organisation"}]}'
    )
    assert (text.role, text.content) == (Role.USER, "x")
    assert prompts.version(DEFAULT, relations=False) == "entities-2"


@pytest.mark.parametrize("shape", [DEFAULT, FACTS], ids=lambda s: s.name)
def test_worked_examples_are_good_answers(shape: Shape) -> None:
    """Of the schema that is asked for, and grounded whole: a model learns from them."""
    relations = bool(shape.predicates)
    worked = prompts.messages(shape, "x", relations=relations)[2].content
    grounded = ground(shape.example_text, worked, shape)

    assert schemas.misfit(answer_schema(shape, relations=relations), json.loads(worked)) is None
    assert (grounded.ungrounded, grounded.refused) == (0, ())
    assert bool(grounded.facts) == relations


def test_a_shape_of_ones_own_is_asked_by_its_names() -> None:
    """Its types and predicates are in the rule and in the schema, and its bound as well."""
    [rule, _] = prompts.messages(FLEET, "x", relations=True)
    schema = answer_schema(FLEET, relations=True)

    assert "ship, port" in rule.content
    assert "calls_at" in rule.content
    found = {"entities": [{"text": "Polaris", "type": "ship"}] * 9, "relations": []}
    assert schemas.misfit(schema, found) is None
    assert schemas.misfit(schema, {**found, "entities": [{"text": "Oslo", "type": "place"}]}) is not None
    assert schemas.misfit(schema, {**found, "entities": found["entities"] * 2}) is not None


def test_a_changed_shape_is_another_prompt_version() -> None:
    """What looked for other types cannot be compared; a built-in name alone makes no built-in shape."""
    other = Shape(name="fleet", entity_types=("ship",))

    assert fingerprint(other) != fingerprint(FLEET)
    assert prompts.version(FLEET, relations=True) == f"facts-1/fleet@{fingerprint(FLEET)}"
    assert prompts.version(other, relations=False) != prompts.version(FLEET, relations=False)


@pytest.mark.parametrize("relations", [False, True])
def test_every_schema_is_sound(relations: bool) -> None:
    """Open ones as well."""
    for shape in (DEFAULT, FACTS, FLEET, Shape(name="open", entity_types=(), is_open=True)):
        assert schemas.problem(answer_schema(shape, relations=relations)) is None
