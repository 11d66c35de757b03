"""RAG's pages in a real browser: by hand, by keyboard, with and without JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from services.llm.errors import DeadError, ErrorType
from services.llm.types import Outcome, Token
from services.web.key_file import change
from services.web.keys import Key, digest
from tests.browser.conftest import Served, serving
from tests.browser.looks import fine, follow
from tests.service.scripted import Hang, answer, cut, ended
from tests.unit.rag.papers import pdf

pytestmark = pytest.mark.browser

TEXT = "The nightly backup of rack B starts at 02:40. Restores are run by Mara.\n" + "More of the manual.\n" * 200
ANSWER = "The nightly backup of rack B starts at 02:40 [1]."
HOSTILE = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


def stored(page: Page, rag: Served, title: str = "Rack manual", text: str = TEXT) -> str:
    made = page.request.post(f"{rag.url}/v1/documents", data={"title": title, "text": text})
    return str(made.json()["id"])


def test_the_front_page_is_where_one_asks(page: Page, rag: Served) -> None:
    page.goto(rag.url)

    expect(page).to_have_url(f"{rag.url}/ui/")
    expect(page.get_by_label("Question")).to_be_visible()
    fine(page, "rag-ask-empty")


def test_an_answer_comes_in_the_page_and_its_citation_opens_the_passage(page: Page, rag: Served) -> None:
    """By keyboard alone: question, the button, the citation; the passage is marked, in sight and has the focus."""
    document = stored(page, rag)
    dead = DeadError("refused", provider="vllm", type=ErrorType.CONNECT)
    rag.llm.steps = ended(answer(ANSWER, provider="ollama", error=dead))
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").focus()
    page.keyboard.type("When does the backup start?")
    page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Ask")).to_be_focused()
    page.keyboard.press("Enter")

    answered = page.get_by_role("region", name="Answer")
    expect(answered.get_by_role("status")).to_have_text("Answered")
    expect(answered.locator("[data-text]")).to_have_text(ANSWER)
    expect(answered).to_contain_text("vLLM did not answer: nobody listened at its address; Ollama did.")
    assert page.url == f"{rag.url}/ui/"
    answered.get_by_text("Answered by").click()
    fine(page, "rag-answer")
    citation = answered.get_by_role("link", name="Rack manual")
    expect(answered.get_by_role("link", name="[1]")).to_have_attribute(
        "href", f"{rag.url}{citation.get_attribute('href')}"
    )
    citation.focus()
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{rag.url}/ui/documents/{document}?start=0&end=45#passage")
    expect(page.locator("#passage")).to_have_text("The nightly backup of rack B starts at 02:40.")
    expect(page.locator("#passage")).to_be_focused()
    expect(page.locator("#passage")).to_be_in_viewport()
    fine(page, "rag-document")


def test_words_are_seen_as_they_come_and_leaving_ends_the_work(page: Page, rag: Served) -> None:
    stored(page, rag)
    rag.llm.steps = [Token(text="The nightly "), Token(text="backup"), Hang()]
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").fill("When does the backup start?")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("[data-text]")).to_have_text("The nightly backup")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "true")
    expect(page.locator("[data-status]")).to_have_text("Answering")
    fine(page, "rag-streaming")
    page.get_by_role("link", name="Documents").click()
    expect(page.get_by_role("heading", name="Documents", exact=True)).to_be_visible()
    for _ in range(1200):
        if rag.llm.left_early.is_set():
            break
        page.wait_for_timeout(50)
    assert rag.llm.left_early.is_set()


def test_a_stream_that_breaks_is_told_in_words(page: Page, rag: Served) -> None:
    stored(page, rag)
    rag.llm.steps = [DeadError("refused", provider="vllm", type=ErrorType.CONNECT)]
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").fill("When does the backup start?")
    page.get_by_role("button", name="Ask").click()

    expect(page.get_by_role("alert")).to_contain_text("No engine could answer")
    expect(page.get_by_role("alert")).to_contain_text("Request ")
    fine(page, "rag-ask-failed")


def test_what_was_said_before_the_break_stays_and_is_called_cut(page: Page, rag: Served) -> None:
    stored(page, rag)
    rag.llm.steps = ended(answer("The nightly backup"), outcome=Outcome.PARTIAL, error=cut("The nightly backup"))
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").fill("When does the backup start?")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("[data-text]")).to_have_text("The nightly backup")
    expect(page.locator("[data-status]")).to_have_text("The answer was cut")
    expect(page.get_by_role("alert")).to_be_visible()


def test_without_javascript_the_form_is_answered_whole(chromium: Browser, rag: Served) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    stored(page, rag)
    rag.llm.answers = [answer(ANSWER)]
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").fill("When does the backup start?")
    page.get_by_role("button", name="Ask").click()

    expect(page.locator("[data-text]")).to_have_text(ANSWER)
    expect(page.get_by_role("link", name="Rack manual")).to_be_visible()
    context.close()


def test_documents_come_in_by_file_are_read_by_a_job_and_go(page: Page, rag: Served, tmp_path: Path) -> None:
    """The list shows the document when its job ends, without a reload; deleting asks first."""
    file = tmp_path / "manual.pdf"
    file.write_bytes(pdf("The nightly backup of rack B\nstarts at 02:40.", title="Rack manual of paper"))
    page.goto(f"{rag.url}/ui/documents")
    fine(page, "rag-documents-empty")
    page.get_by_label("PDF, docx").set_input_files(file)
    page.get_by_role("button", name="Upload").click()

    expect(page.locator(".state-done")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("link", name="Rack manual of paper", exact=True)).to_be_visible()
    page.get_by_label("New collection").fill("Runbooks")
    follow(page, page.get_by_role("button", name="Make"))
    page.get_by_label("Title", exact=True).fill("A note")
    page.get_by_label("Text", exact=True).fill("Line one.\nLine two.")
    page.get_by_role("button", name="Store").click()
    expect(page.get_by_role("heading", name="A note")).to_be_visible()
    expect(page.get_by_text("in Runbooks")).to_be_visible()
    page.goto(f"{rag.url}/ui/documents")
    fine(page, "rag-documents")
    follow(page, page.get_by_role("link", name="Delete A note"))
    fine(page, "rag-delete")
    page.get_by_role("link", name="Keep it").click()
    expect(page.get_by_role("heading", name="A note")).to_be_visible()
    page.get_by_role("link", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="Documents", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="A note", exact=True)).to_have_count(0)


def test_what_a_document_says_is_never_run(page: Page, rag: Served) -> None:
    document = stored(page, rag, title=HOSTILE, text=f"Backups start at 02:40 {HOSTILE}.")
    rag.llm.steps = ended(answer(f"Backups start at 02:40 {HOSTILE} [1]."))
    page.goto(f"{rag.url}/ui/")
    page.get_by_label("Question").fill("When do backups start?")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("[data-status]")).to_have_text("Answered")
    expect(page.locator("[data-text]")).to_contain_text("<img")
    assert "owned" not in page.title()
    for path in ("documents", f"documents/{document}"):
        page.goto(f"{rag.url}/ui/{path}")
        expect(page.locator("main")).to_contain_text("<img src=x")
        expect(page.locator("main img, main script")).to_have_count(0)


def test_the_engines_of_every_service_are_on_one_page(page: Page, rag: Served) -> None:
    page.goto(f"{rag.url}/ui/engines")
    expect(page.get_by_text("on Ollama; not moved yet")).to_have_count(3)
    fine(page, "rag-engines")


def test_who_is_not_signed_in_signs_in_and_out(page: Page, tmp_path: Path, ports: dict[str, int]) -> None:
    key = Key(name="mara", digest=digest("cutover_k"), workspace="rack", created_at="now")
    change(tmp_path / "state/api-keys.json", lambda _: [key])
    with serving("rag", tmp_path, ports) as rag:
        page.goto(f"{rag.url}/ui/documents")
        page.get_by_label("API key").fill("cutover_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not known")
        fine(page, "rag-login")
        page.get_by_label("API key").fill("cutover_k")
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{rag.url}/ui/documents")
        [cookie] = page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()


def test_an_error_is_a_page_to_read(page: Page, rag: Served) -> None:
    page.goto(f"{rag.url}/ui/documents/none")
    expect(page.get_by_role("alert")).to_contain_text("may have been deleted")
    fine(page, "rag-missing")


@pytest.mark.parametrize("path", ["", "documents", "engines"])
def test_the_first_key_pressed_skips_the_menu(page: Page, rag: Served, path: str) -> None:
    page.goto(f"{rag.url}/ui/{path}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
