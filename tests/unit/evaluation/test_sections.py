"""Documentation pages into passages and questions, on pages of our own that are laid out as Sphinx and DocBook do."""

from __future__ import annotations

import pytest

from services.evaluation.questions import Kind, Question, Split, questions
from services.evaluation.sections import Section, sections

SPHINX = """<html><head><script>track()</script></head><body><nav>Home</nav><div class="sphinxsidebar">Contents</div>
<section id="faq"><h1>Fan FAQ<a class="headerlink" href="#faq">¶</a></h1>
<section id="why"><h3><a href="#id1">Why do fans hum at night?</a><a class="headerlink" href="#why">¶</a></h3>
<p>Because the <em>bearing</em>&nbsp;is dry; nobody hears it by day,
when the racks are louder.</p><pre>oil --gently</pre></section>
<section id="api"><h3>Functions</h3><dl><dt class="sig" id="fan.oil">fan.oil(drops)</dt>
<dd>Oils the bearing with so many drops, at most three.</dd><dt id="module-fan">fan</dt></dl></section>
<section id="stub"><h3>Is this short?</h3><p>Yes.</p></section></section></body></html>"""

DOCBOOK = """<html><body><div class="navheader">Prev</div><div class="chapter">
<div class="titlepage"><h1 class="title">Chapter 7. Racks</h1></div><div class="toc"><p>7.1. What is a rack?</p></div>
<p>Racks hold machines, and this chapter says how they do so.</p>
<div class="section"><div class="titlepage"><h2 class="title">7.1. What is a rack?</h2></div>
<p>A frame of steel, nineteen inches wide, that machines are screwed into.</p></div>
</div></body></html>"""


def test_a_section_of_sphinx_is_a_passage_without_its_heading() -> None:
    """The heading is the question; were it in the passage, every search would find it. Short sections are left out."""
    hum, api = sections(SPHINX.encode(), page="fans.html")

    assert (hum.heading, hum.asks, hum.key) == ("Why do fans hum at night?", True, "fans.html#0")
    assert hum.text == ("Because the bearing is dry; nobody hears it by day,\nwhen the racks are louder.\noil --gently")
    assert (api.heading, api.asks) == ("Functions", False)
    assert "Functions" not in api.text


def test_the_names_that_a_section_defines_are_known() -> None:
    """As one would look them up: with their module. The module itself is on every page about it."""
    _, api = sections(SPHINX.encode(), page="fans.html")

    assert api.identifiers == ("fan.oil",)
    assert "fan.oil(drops)" in api.text


def test_a_section_of_docbook_keeps_its_own_text_only() -> None:
    """No contents, no navigation, no text of the sections inside it; the number is no part of a heading."""
    chapter, rack = sections(DOCBOOK.encode(), page="racks.html")

    assert (chapter.heading, chapter.text) == ("Racks", "Racks hold machines, and this chapter says how they do so.")
    assert rack.heading == "What is a rack?"
    assert rack.text == "A frame of steel, nineteen inches wide, that machines are screwed into."


@pytest.mark.parametrize("html", [b"", b"   ", b"<p>no section, but a sentence that is long enough to be one</p>"])
def test_a_page_without_sections_gives_nothing(html: bytes) -> None:
    assert sections(html, page="empty.html") == []


def passage(page: str, heading: str = "", *names: str) -> Section:
    return Section(page=page, number=0, heading=heading, text="x" * 50, identifiers=names)


def test_questions_are_what_a_faq_asks_and_names_defined_once() -> None:
    """A manual's rhetorical question asks nobody; a name that two passages define has no one gold passage."""
    found = questions(
        [
            passage("faq/a.html", "Why?"),
            passage("manual/b.html", "Who knows?", "os.one", "os.both"),
            passage("manual/c.html", "Names", "os.both"),
        ]
    )

    assert [(q.text, q.kind, q.gold) for q in found] == [("Why?", Kind.ASKED, 0), ("os.one", Kind.IDENTIFIER, 1)]


def test_the_same_identifiers_are_drawn_whatever_the_order() -> None:
    names = [f"os.f{n}" for n in range(400)]
    first = {q.text for q in questions([passage("m.html", "M", *names)])}

    assert len(first) == 120
    assert first == {q.text for q in questions([passage("m.html", "M", *reversed(names))])}


def test_the_split_is_by_the_words_alone_and_about_even() -> None:
    """So no run and no other corpus moves a question from one half into the other."""
    asked = [Question(text=f"Why {n}?", kind=Kind.ASKED, gold=n) for n in range(400)]
    fit = [q for q in asked if q.split is Split.FIT]

    assert 150 < len(fit) < 250
    assert Question(text="Why 7?", kind=Kind.IDENTIFIER, gold=0).split is asked[7].split
