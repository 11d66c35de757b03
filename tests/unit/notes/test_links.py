"""Links between notes, in both tools' ways of writing them."""

from __future__ import annotations

import pytest

from services.notes.links import named, targets


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("See [[Standup]].", ("standup",)),
        ("[[Work/Standup|the one]] [[Standup#Later]] ![[Pic]]", ("standup", "pic")),
        ('[a](../Work/Big%20plan.md) [b](<./Two words.md>) [c](x.md#part "t")', ("big plan", "two words", "x")),
        ("[a](https://x.org/a.md) [b](//x/a.md) [c](#here) [d](pic.png) [e](:/0123.md)", ()),
        ("`[[no]]`\n```\n[[no]]\n```\n[[yes]]", ("yes",)),
        ("[[]] [[#only]] [[ ]] [](.md)", ()),
    ],
)
def test_links_are_found_once_each(text: str, linked: tuple[str, ...]) -> None:
    """Those to the web, to pictures by path and inside code are none."""
    assert targets(text) == linked


def test_a_note_is_named_alike_by_path_title_and_link() -> None:
    assert named("Work/Big Plan.md") == named(" big plan ") == named("Big plan.markdown") == "big plan"
