"""RAG's pages in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Served
from tests.browser.looks import fine


def test_the_front_page_is_where_one_asks(page: Page, rag: Served) -> None:
    page.goto(rag.url)

    expect(page).to_have_url(f"{rag.url}/ui/")
    expect(page.get_by_label("Question")).to_be_visible()
    fine(page, "rag-ask")
