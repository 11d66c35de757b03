"""Notes' pages in a real browser: write, find, edit over another's save, and go back; asked, tagged and summarised."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from services.llm.errors import DeadError
from tests.browser.conftest import Served
from tests.browser.looks import fine
from tests.service.scripted import answer, ended

pytestmark = pytest.mark.browser

FAN = {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday.\n\nSee [[Rack]] and [[Nobody]]."}
RACK = {"title": "Rack", "text": "The rack with gpu-2 and its fan stands in room 4."}
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def add(page: Page, notes: Served, **fields: str) -> str:
    response = page.request.post(f"{notes.url}/v1/notes", data={**FAN, **fields})
    assert response.status == 201
    return str(response.json()["id"])


def save(page: Page, notes: Served, note: str, text: str) -> None:
    """As somebody else would, over the API."""
    body = {"title": FAN["title"], "text": text}
    response = page.request.put(f"{notes.url}/v1/notes/{note}", data=body, headers={"If-Match": "*"})
    assert response.status == 200


class TestLooks:
    def test_every_page_is_fine_at_both_widths(self, page: Page, notes: Served) -> None:
        """No serious finding of axe-core, no sideways scroll, light and dark."""
        note = add(page, notes)
        add(page, notes, **RACK)
        save(page, notes, note, f"{FAN['text']}\n\n- one\n- {'x' * 120}")
        page.request.post(f"{notes.url}/v1/notes/{note}/tags:accept", data={"tags": ["hardware", "gpu-fan"]})
        notes.llm.answers = [answer(json.dumps({"tags": ["hardware"], "new": ["thursday", "swap"]}))]
        page.request.post(f"{notes.url}/v1/notes/{note}/tags:suggest")
        notes.llm.answers = [answer("Ivo swaps a fan.", provider="ollama")]
        page.request.post(f"{notes.url}/v1/notes/{note}/summary")
        save(page, notes, note, f"{FAN['text']}\n\n- one\n- two\n- {'y' * 120}")
        for name, path in {
            "list": "",
            "search": "?q=fan&tag=hardware",
            "note": f"notes/{note}",
            "edit": f"notes/{note}/edit",
            "history": f"notes/{note}/history?version=2",
            "delete": f"notes/{note}/delete",
            "ask": "ask",
            "tags": "tags",
            "folder": "folder",
            "jobs": "jobs",
        }.items():
            page.goto(f"{notes.url}/ui/{path}")
            page.wait_for_load_state("networkidle")
            fine(page, f"notes-{name}")
