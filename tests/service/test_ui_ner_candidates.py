"""A document's page with names that somebody else saw: said to be names or none, and taken back, without a script."""

from __future__ import annotations

import re
from html import unescape

from services.ner import app as ner_app
from services.settings import Settings
from tests.service.scripted import Desk, ScriptedClient, first_places, seeing_names, served
from tests.service.test_ner_candidates import TEXT, known
from tests.service.test_ui_ner import HOSTILE, OURS, seen, sent


def buttons(page: str) -> dict[str, str]:
    """What each button beside a candidate is called for who does not see it -> where its form goes, below `/ui`."""
    found = re.findall(r'action="/ui(/documents/\w+/candidates/\d+/\w+)"><button[^>]* aria-label="([^"]*)"', page)
    return {unescape(label): path for path, label in found}


async def test_a_name_is_accepted_and_taken_back(seeing: Desk) -> None:
    """It is marked in the text, and among the mentions with who saw it and who accepted it."""
    document, _ = await known(seeing)
    first = await seen(seeing, f"/documents/{document}")
    accepted = await sent(seeing, buttons(first)["Tessel, organisation: it is a name"])
    undone = await sent(seeing, buttons(accepted)["Undo: Tessel, organisation, was accepted"])

    assert "<mark" not in first
    assert '<mark class="name kind-1">Tessel<small class="type"> organisation</small></mark>' in accepted
    assert "found by spacy, accepted by anonymous" in accepted
    assert "Said before" in accepted
    assert "model small" in accepted
    assert buttons(undone) == buttons(first)
    assert "<mark" not in undone


async def test_a_refused_one_asks_nothing_more(seeing: Desk) -> None:
    """The others do; when all is said, the page says so."""
    document, _ = await known(seeing)
    page = await seen(seeing, f"/documents/{document}")
    for label in ("Mara Quill, person: it is none", "Tessel, organisation: it is none", "Brenn, place: it is none"):
        page = await sent(seeing, buttons(page)[label])

    assert "Nothing is left to say of them." in page
    assert sorted(buttons(page)) == [
        "Undo: Brenn, place, was rejected",
        "Undo: Mara Quill, person, was rejected",
        "Undo: Tessel, organisation, was rejected",
    ]
    assert "<mark" not in page


async def test_a_document_without_candidates_has_no_such_section(ner: Desk) -> None:
    document, _ = await known(ner)

    assert "Candidates" not in await seen(ner, f"/documents/{document}")


async def test_a_button_of_a_page_from_before_is_told(seeing: Desk) -> None:
    """Somebody else said the other thing meanwhile, or the document is gone; another site may say nothing."""
    document, _ = await known(seeing)
    labels = buttons(await seen(seeing, f"/documents/{document}"))
    await sent(seeing, labels["Brenn, place: it is none"])
    refused = await sent(seeing, labels["Brenn, place: it is a name"], 409)
    elsewhere = {"Sec-Fetch-Site": "same-site"}
    foreign = await seeing.http.post(f"/ui{labels['Brenn, place: it is a name']}", headers=elsewhere)
    await seeing.http.delete(f"/v1/documents/{document}")
    gone = await sent(seeing, labels["Tessel, organisation: it is a name"], 404)

    assert ("was rejected; undo that first" in refused, foreign.status_code) == (True, 403)
    assert "Not found" in gone


async def test_htmx_is_led_to_the_page(seeing: Desk) -> None:
    """By its own header, to the place where one was."""
    document, _ = await known(seeing)
    way = buttons(await seen(seeing, f"/documents/{document}"))["Tessel, organisation: it is a name"]
    reply = await seeing.http.post(f"/ui{way}", headers={**OURS, "HX-Request": "true"})

    assert (reply.status_code, reply.headers["HX-Redirect"]) == (204, f"/ui/documents/{document}#candidates")


async def test_a_hostile_name_is_only_text(settings: Settings, llm: ScriptedClient) -> None:
    """As a candidate and as an entity."""
    short = HOSTILE[:40]
    names = seeing_names(first_places((short, "person")))
    async with served(ner_app.build(settings, client=llm, names=names), llm) as desk:
        document, _ = await known(desk, f"{short} met Tessel in {TEXT}")
        page = await seen(desk, f"/documents/{document}")
        accepted = await sent(desk, buttons(page)[f"{short}, person: it is a name"])

    for text in (page, accepted):
        assert "<img" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
