"""What a reader says of an answer, in a real browser: by keyboard, changed, taken back, and without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Served
from tests.browser.looks import fine, follow
from tests.service.scripted import answer, ended

pytestmark = pytest.mark.browser

TEXT = "The nightly backup of rack B starts at 02:40. Restores are run by Mara."
ANSWER = "The nightly backup of rack B starts at 02:40 [1]."


def asked(page: Page, rag: Served) -> None:
    page.request.post(f"{rag.url}/v1/documents", data={"title": "Rack manual", "text": TEXT})
    rag.llm.steps = ended(answer(ANSWER))
    rag.llm.answers = [answer(ANSWER, provider="ollama")]
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").fill("When does the backup start?")


def test_an_answer_is_judged_by_keyboard_and_the_word_taken_back(page: Page, rag: Served) -> None:
    """In the page: the answer stays, the focus stays, and what was kept is read out."""
    asked(page, rag)
    page.get_by_role("button", name="Ask").click()
    box = page.get_by_role("group", name="Did this answer help?")
    expect(box).to_be_visible()
    box.get_by_text("Say why").click()
    box.get_by_label("Comment").fill("Short and right.")
    fine(page, "rag-feedback-asked")
    helped = box.get_by_role("button", name="It helped")
    helped.focus()
    page.keyboard.press("Enter")

    expect(box.locator("[data-kept]")).to_have_text("Kept: it helped, with your comment.")
    expect(helped).to_be_focused()
    expect(helped).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-text]")).to_have_text(ANSWER)
    fine(page, "rag-feedback-kept")
    box.get_by_label("A citation that is wrong").select_option(label="[1] Rack manual")
    box.get_by_role("button", name="It did not").press("Enter")
    expect(box.locator("[data-kept]")).to_have_text("Kept: it did not help, citation [1] is wrong, with your comment.")
    [kept] = page.request.get(f"{rag.url}/v1/feedback").json()["feedback"]
    assert (kept["rating"], kept["producer"]["provider"]) == ("down", "vllm")
    box.get_by_role("button", name="Take it back").press("Enter")
    expect(box.locator("[data-kept]")).to_have_text("")
    expect(box.get_by_role("button", name="Take it back")).to_have_count(0)
    assert page.request.get(f"{rag.url}/v1/feedback").json()["feedback"] == []


def test_without_javascript_the_word_leads_to_the_page_of_feedback(chromium: Browser, rag: Served) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    asked(page, rag)
    follow(page, page.get_by_role("button", name="Ask"))
    follow(page, page.get_by_role("button", name="It helped"))

    expect(page).to_have_url(f"{rag.url}/ui/feedback")
    expect(page.get_by_role("rowheader", name="ollama (ollama)")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="When does the backup start?")).to_contain_text("helped")
    context.close()


def test_the_page_of_feedback_looks_well(page: Page, rag: Served) -> None:
    """With engines side by side, long questions and comments."""
    for n, provider in enumerate(("vllm", "ollama", "vllm")):
        made = {"provider": provider, "engine": provider, "model": "smollm2-135m", "prompt_version": "ask-1", "at": ""}
        body = {"question": "When? " * 30, "answer": str(n), "rating": "up", "comment": "long" * 200, "producer": made}
        assert page.request.post(f"{rag.url}/v1/feedback", data=body).status == 201
    page.goto(f"{rag.url}/ui/feedback")
    expect(page.get_by_role("table")).to_be_visible()
    fine(page, "rag-feedback-list")
