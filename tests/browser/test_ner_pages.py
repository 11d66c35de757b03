"""NER's pages in a real browser: texts, documents, entities, merges; by keyboard, on a phone, with hostile names."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.looks import fine, follow
from tests.service.scripted import answer

pytestmark = pytest.mark.browser

TEXT = (
    "Mara Quill works for Tessel. Tessel makes Lubrex 40. Quill met Ivo Brandt in Brenn. "
    "Ivo Brandt works for Norrland Bearings. Norrland Bearings uses Lubrex 40."
)
NAMES = {
    "Mara Quill": "person",
    "Quill": "person",
    "Ivo Brandt": "person",
    "Tessel": "organisation",
    "Norrland Bearings": "organisation",
    "Lubrex 40": "product",
    "Brenn": "place",
}
FACTS = [
    ("Mara Quill works for Tessel.", "Mara Quill", "works_for", "Tessel"),
    ("Tessel makes Lubrex 40.", "Tessel", "makes", "Lubrex 40"),
    ("Quill met Ivo Brandt in Brenn.", "Quill", "met", "Ivo Brandt"),
    ("Ivo Brandt works for Norrland Bearings.", "Ivo Brandt", "works_for", "Norrland Bearings"),
    ("Norrland Bearings uses Lubrex 40.", "Norrland Bearings", "uses", "Lubrex 40"),
]
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def found(names: dict[str, str], facts: list[tuple[str, str, str, str]]) -> str:
    keys = ("quote", "subject", "predicate", "object")
    return json.dumps(
        {
            "entities": [{"text": t, "type": k} for t, k in names.items()],
            "relations": [dict(zip(keys, fact, strict=True)) for fact in facts],
        }
    )


def read(page: Page, ner: Served, text: str, names: dict[str, str], facts: list[tuple[str, str, str, str]]) -> str:
    """The id of the document."""
    ner.llm.answers = [answer(found(names, facts))]
    reply = page.request.post(f"{ner.url}/v1/documents", data={"text": text, "relations": True})
    assert reply.status == 201, reply.text()
    return str(reply.json()["id"])


def test_a_text_is_read_by_keyboard_alone(page: Page, ner: Served) -> None:
    """From the first field to the document, with what is kept apart told on the way."""
    made_up = ("Ivo left.", "Quill", "met", "Ivo Brandt")
    ner.llm.answers = [answer(found({**NAMES, "Gandalf": "person"}, [*FACTS, made_up]))]
    page.goto(f"{ner.url}/ui/")
    fine(page, "ner-text")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.get_by_label("Text").focus()
    page.keyboard.insert_text(TEXT)
    page.keyboard.press("Tab")
    page.keyboard.type("facts")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Read into the graph")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("Read into the graph.")
    expect(page.locator("mark.name")).to_have_count(12)
    expect(page.get_by_role("region", name="Not taken")).to_contain_text("Gandalf")
    fine(page, "ner-found")
    page.get_by_role("link", name="Open the document").press("Enter")
    expect(page.get_by_role("heading", name="Mentions")).to_be_visible()


def test_a_citation_leads_to_its_passage(page: Page, ner: Served) -> None:
    """From an entity's fact to the place in the document, which is in sight and has the focus."""
    read(page, ner, f"{'Nothing. ' * 2000}{TEXT}", NAMES, FACTS)
    page.goto(f"{ner.url}/ui/entities?q=tessel")
    fine(page, "ner-entities")
    follow(page, page.get_by_role("link", name="Tessel", exact=True))
    fine(page, "ner-entity")
    page.locator(".facts .cites a").first.click()

    expect(page.locator("#passage")).to_be_in_viewport()
    expect(page.locator("#passage")).to_be_focused()
    expect(page.locator("mark.cited").first).to_be_visible()


def test_documents_are_deleted_after_a_question(page: Page, ner: Served) -> None:
    """Which is a page of its own; keeping it leads back."""
    read(page, ner, TEXT, NAMES, FACTS)
    page.goto(f"{ner.url}/ui/documents")
    fine(page, "ner-documents")
    follow(page, page.get_by_role("link", name="Delete the document"))
    fine(page, "ner-delete")
    follow(page, page.get_by_role("link", name="Keep it"))
    fine(page, "ner-document")
    follow(page, page.get_by_role("link", name="Delete", exact=True))
    page.get_by_role("button", name="Delete it").click()

    expect(page.get_by_text("Nothing was read yet.")).to_be_visible()


def test_names_are_made_one_and_parted_again(page: Page, ner: Served) -> None:
    read(page, ner, TEXT, NAMES, FACTS)
    page.goto(f"{ner.url}/ui/merges")
    fine(page, "ner-merges")
    page.get_by_role("button", name="Mara Quill and Quill are one").click()
    expect(page.get_by_text("is another name of")).to_be_visible()
    fine(page, "ner-merged")
    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_role("button", name="Mara Quill and Quill are one")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "sees", "name"),
    [
        ("/ui/paths", "Find ways", "ner-paths"),
        ("/ui/paths?from=Mara+Quill&to=Norrland", "From Mara Quill to Norrland Bearings", "ner-ways"),
        ("/ui/paths?from=r&to=Brenn", "Several entities may be meant", "ner-choices"),
        ("/ui/query?subject_type=person", "works for", "ner-query"),
        ("/ui/schemas", "One of your own", "ner-schemas"),
        ("/ui/facts/1", "A fact and its evidence", "ner-fact"),
        ("/ui/entities/999", "Not found", "ner-missing"),
        ("/ui/engines", "Providers of NER", "ner-engines"),
    ],
)
def test_each_page_is_fine(page: Page, ner: Served, path: str, sees: str, name: str) -> None:
    """Nothing that axe finds serious, no sideways scroll on a phone, in light and in dark."""
    read(page, ner, TEXT, NAMES, FACTS)
    page.goto(f"{ner.url}{path}")

    expect(page.get_by_role("main")).to_contain_text(sees)
    fine(page, name)


def test_a_hostile_name_runs_nowhere(page: Page, ner: Served) -> None:
    """On the server's pages and in the picture with its list, which a script writes."""
    text = f"{HOSTILE} met Tessel."
    fact = (text, HOSTILE, "met", "Tessel")
    document = read(page, ner, text, {HOSTILE: "person", "Tessel": "organisation"}, [fact])
    for path in (f"documents/{document}", "documents", "entities", "entities/1", "facts/1", "query", "graph"):
        page.goto(f"{ner.url}/ui/{path}")
        expect(page.get_by_role("main")).to_contain_text("<script>")
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    expect(page.locator("#graph")).to_have_attribute("aria-busy", "false")
    page.locator("#graph-list").get_by_text("Tessel", exact=True).click()
    expect(page.locator("#graph-said")).to_contain_text("Tessel: 0 more entities")

    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert page.title() != "taken"
