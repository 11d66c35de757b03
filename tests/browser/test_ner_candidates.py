"""A document's page with a name that somebody else saw: by keyboard alone, at both widths, in light and in dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SEEN, Served
from tests.browser.looks import fine
from tests.browser.test_ner_pages import read

pytestmark = pytest.mark.browser

NAME, KIND = SEEN


def test_a_candidate_is_accepted_and_taken_back_by_keyboard(page: Page, ner: Served) -> None:
    """It is marked in the text then, and the page is where one was."""
    document = read(page, ner, f"Mara Quill met {NAME}.", {"Mara Quill": "person"}, [])
    page.goto(f"{ner.url}/ui/documents/{document}")
    expect(page.locator("mark.name")).to_have_count(1)
    fine(page, "ner-candidates")
    page.get_by_role("button", name=f"{NAME}, {KIND}: it is a name").press("Enter")
    expect(page.locator("mark.name")).to_have_count(2)
    expect(page.get_by_role("heading", name="Candidates")).to_be_in_viewport()
    fine(page, "ner-candidate-accepted")
    page.get_by_role("button", name=f"Undo: {NAME}").press("Enter")

    expect(page.locator("mark.name")).to_have_count(1)
    expect(page.get_by_role("button", name=f"{NAME}, {KIND}: it is none")).to_be_visible()
