"""Names as they are compared: exactly, by eye, and by likeness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ner.names import key, skeleton
from services.ner.resemblance import Likeness, Reason, likeness, nearest

CYRILLIC = "Теssеl"
"""Two of its letters are Cyrillic."""


class TestKey:
    @pytest.mark.parametrize(
        "spelling", ["TESSEL", " tessel ", "Ｔｅｓｓｅｌ", "Tes\u00adsel", "Tessel\u200b", "\u202aTessel\u202c"]
    )
    def test_spellings_of_one_name_share_it(self, spelling: str) -> None:
        """Case, spaces, full width, soft hyphens, zero width and direction marks aside."""
        assert key(spelling) == key("Tessel")

    def test_composed_and_decomposed_are_one(self) -> None:
        """`é` as one character or as two."""
        assert key("Café Ivo") == key("Cafe\u0301 Ivo")

    def test_a_lookalike_is_another_name(self) -> None:
        """Only a person says whether a Cyrillic letter is a slip or a disguise."""
        assert CYRILLIC != "Tessel"
        assert key(CYRILLIC) != key("Tessel")

    @given(st.text(max_size=30))
    def test_it_is_its_own_key(self, name: str) -> None:
        """Whatever the characters: a key that is taken again stays."""
        assert key(key(name)) == key(name)


class TestSkeleton:
    @pytest.mark.parametrize("name", [CYRILLIC, "Tеssel", "Τessel", "𝐓essel"])
    def test_lookalikes_share_it(self, name: str) -> None:
        """Letters of other scripts that print as the Latin ones do."""
        assert skeleton(name) == skeleton("Tessel")

    @pytest.mark.parametrize("name", ["Tassel", "Tessei", "Vessel"])
    def test_other_letters_do_not(self, name: str) -> None:
        """It folds shapes, not sounds."""
        assert skeleton(name) != skeleton("Tessel")


class TestLikeness:
    def test_the_same_name_is_no_candidate(self) -> None:
        """One key is one entity already."""
        assert likeness("Tessel", "TESSEL") is None

    def test_a_lookalike_is_the_likest(self) -> None:
        """And says that it is one."""
        assert likeness("Tessel", CYRILLIC) == Likeness(reason=Reason.LOOKALIKE, score=1.0)

    @pytest.mark.parametrize(
        ("one", "other", "reason"),
        [
            ("Maria Lopez", "Lopez, Maria", Reason.SIMILAR),
            ("Haldorsen Shipping", "Haldorsens Shipping", Reason.SIMILAR),
            ("Tromsø Havn", "Tromso Havn", Reason.SIMILAR),
            ("Mara Quill", "Quill", Reason.PART),
            ("Nordlys Institute", "Nordlys", Reason.PART),
        ],
    )
    def test_candidates_say_why(self, one: str, other: str, reason: Reason) -> None:
        """Another order, a slip, a part of the name; either way round."""
        found = likeness(one, other)

        assert found is not None
        assert found.reason == reason
        assert likeness(other, one) == found

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("gpu-node-1", "gpu-node-2"),
            ("Lubrex 40", "Lubrex 41"),
            ("Mara Quill", "Mara Quinn"),
            ("Oslo", "Bergen"),
            ("de Vries", "de"),
        ],
    )
    def test_other_things_are_left_alone(self, one: str, other: str) -> None:
        """Numbered things, other people, small words."""
        assert likeness(one, other) is None

    def test_the_nearest_come_best_first(self) -> None:
        """A look-alike before a slip before a part."""
        names = ["Quill", "Mara Quil", CYRILLIC, "Mаra Quill", "Oslo"]
        others = [(number, name, skeleton(name)) for number, name in enumerate(names)]

        assert [number for number, _ in nearest("Mara Quill", others)] == [3, 1, 0]
