"""Notes' pages in a real browser: write, find, edit over another's save, and go back; asked, tagged and summarised."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from services.llm.errors import CallerError, DeadError
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


def refuse(route: Route, seen: list[str]) -> None:
    """As a busy store does."""
    seen.append(route.request.method)
    route.fulfill(status=503, content_type="text/html", body='<div role="alert">The store did not answer.</div>')


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


class TestWriting:
    def test_a_note_is_written_found_and_changed_by_keyboard_alone(self, page: Page, notes: Served) -> None:
        """From the skip link to the saved note, without a mouse."""
        page.goto(f"{notes.url}/ui/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="New note", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        page.get_by_label("Title").focus()
        page.keyboard.type("Standup")
        page.keyboard.press("Tab")
        page.keyboard.type("Ivo swaps the fan.")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Standup")).to_be_visible()
        page.goto(f"{notes.url}/ui/")
        page.get_by_label("Search by words").focus()
        page.keyboard.type("swap")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Standup")).to_be_visible()
        expect(page.get_by_text("Best first, by words")).to_be_visible()

    def test_two_writers_lose_nothing(self, page: Page, notes: Served) -> None:
        """Who saves second sees both versions, and saves over the one they have seen."""
        note = add(page, notes)
        page.goto(f"{notes.url}/ui/notes/{note}/edit")
        page.get_by_label("Text").fill("Ivo swaps the fan.\nMara helps.")
        save(page, notes, note, "Ivo swaps the fan.\nOn Friday.")
        page.get_by_role("button", name="Save").click()

        expect(page.get_by_role("heading", name="Somebody saved this note meanwhile")).to_be_visible()
        expect(page.locator("#stored-text")).to_have_text("Ivo swaps the fan.\nOn Friday.")
        expect(page.get_by_label("Text")).to_have_value("Ivo swaps the fan.\nMara helps.")
        fine(page, "notes-conflict")
        page.get_by_label("Text").fill("Ivo swaps the fan.\nOn Friday.\nMara helps.")
        page.get_by_role("button", name="Save mine over version 2").click()
        expect(page.get_by_text("Version 3, saved")).to_be_visible()
        page.get_by_role("link", name="History").click()
        page.get_by_role("button", name="Restore version 1").click()
        expect(page.locator("main .text")).to_have_text(FAN["text"])
        expect(page.get_by_text("Version 4, saved")).to_be_visible()

    def test_a_folder_comes_in_and_goes_out(self, page: Page, notes: Served) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as out:
            out.writestr("Work/fan.md", "---\ntags: [gpu]\n---\nFan")
            out.writestr("picture.png", "x")
        page.goto(f"{notes.url}/ui/folder")
        page.get_by_label("ZIP file").set_input_files(
            {"name": "vault.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
        )
        page.get_by_role("button", name="Import").click()
        expect(page.get_by_text("1 new, 0 changed, 0 unchanged, 1 refused.")).to_be_visible()
        fine(page, "notes-imported")
        with page.expect_download() as coming:
            page.get_by_role("link", name="Export all notes").click()
        assert "Work/fan.md" in zipfile.ZipFile(coming.value.path()).namelist()

    def test_a_delete_is_asked_about_without_scripts(self, chromium: Browser, page: Page, notes: Served) -> None:
        """And everything on the note's page is there without them."""
        note = add(page, notes)
        context = chromium.new_context(java_script_enabled=False)
        plain = context.new_page()
        plain.goto(f"{notes.url}/ui/notes/{note}")
        plain.get_by_role("button", name="Summarise").click()
        expect(plain.get_by_text("The summary was made.")).to_be_visible()
        plain.get_by_label("Tags of your own").fill("hardware")
        plain.get_by_role("button", name="Add").click()
        expect(plain.get_by_role("link", name="hardware", exact=True)).to_be_visible()
        plain.get_by_role("link", name="Show links and notes like this one").click()
        expect(plain.get_by_role("heading", name="It links to")).to_be_visible()
        plain.goto(f"{notes.url}/ui/notes/{note}")
        plain.get_by_role("link", name="Delete").click()
        plain.get_by_role("button", name="Delete for good").click()
        expect(plain.get_by_text("There are no notes yet.")).to_be_visible()
        context.close()


class TestMadeByModels:
    def test_a_summary_and_tags_come_into_the_page(self, page: Page, notes: Served) -> None:
        """Without a reload; the focus goes to what was said, so that a keyboard and a reader follow."""
        note = add(page, notes)
        notes.llm.answers = [answer("Ivo swaps a fan.")]
        page.goto(f"{notes.url}/ui/notes/{note}")
        page.get_by_role("button", name="Summarise").click()
        expect(page.get_by_text("The summary was made.")).to_be_focused()
        expect(page.get_by_text("fresh")).to_be_visible()
        notes.llm.answers = [answer(json.dumps({"new": ["fan", "thursday"]}))]
        page.get_by_role("button", name="Suggest tags").click()
        expect(page.get_by_text("2 suggested.")).to_be_focused()  # by then the new buttons send their forms by htmx
        page.get_by_role("button", name="accept fan").press("Enter")
        expect(page.get_by_text("Accepted: fan.")).to_be_focused()
        page.get_by_role("button", name="dismiss thursday").click()
        expect(page.get_by_role("list", name="Tags of this note")).to_contain_text("fan")
        expect(page.get_by_role("list", name="Suggested tags")).to_have_count(0)
        fine(page, "notes-made")

    def test_a_job_ends_on_the_open_page_and_takes_no_typed_words(
        self, page: Page, notes: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first attempt fails, the second, some seconds later, does not; meanwhile somebody types a tag.

        The page asks every two seconds; it goes on asking when it was refused once.
        """
        monkeypatch.setattr("services.store.jobs.FIRST_BACKOFF_S", 15.0)
        refused: list[str] = []
        note = add(page, notes)
        notes.llm.answers = [answer(json.dumps({"new": ["fan"]}))]
        page.request.post(f"{notes.url}/v1/notes/{note}/tags:suggest")
        save(page, notes, note, FAN["text"])
        notes.llm.answers = [DeadError("gone", provider="ollama"), answer(json.dumps({"new": ["thursday"]}))]
        page.request.post(f"{notes.url}/v1/rerun", data={"where": "stale"})
        page.route("**/ui/notes/*/tags", lambda route: refuse(route, refused), times=1)
        page.goto(f"{notes.url}/ui/notes/{note}")
        expect(page.get_by_text("A new suggestion is")).to_be_visible()
        page.get_by_label("Tags of your own").press_sequentially("mine, to")
        expect(page.get_by_role("button", name="accept thursday")).to_be_visible(timeout=60_000)
        assert refused == ["GET"]
        expect(page.get_by_label("Tags of your own")).to_be_focused()
        page.keyboard.type("o")
        expect(page.get_by_label("Tags of your own")).to_have_value("mine, too")

    def test_a_failed_job_says_why_on_its_note_and_among_the_jobs(self, page: Page, notes: Served) -> None:
        """And is made anew when asked for."""
        note = add(page, notes)
        page.request.post(f"{notes.url}/v1/notes/{note}/summary")
        save(page, notes, note, FAN["text"])
        notes.llm.answers = [CallerError("the engine does not take this", provider="vllm")]
        page.goto(f"{notes.url}/ui/jobs")
        page.get_by_role("button", name="Make anew").click()
        expect(page.get_by_text("1 job asked for.")).to_be_visible()
        expect(page.get_by_text("It failed: the engine does not take this")).to_be_visible(timeout=30_000)
        fine(page, "notes-jobs-failed")
        page.get_by_role("link", name="Standup").click()
        expect(page.get_by_text("The summary could not be made after 1 attempt")).to_be_visible()
        fine(page, "notes-failed")
        notes.llm.answers = [answer("Ivo swaps a fan.")]
        page.get_by_role("button", name="Make the summary again").click()
        expect(page.get_by_text("fresh")).to_be_visible()

    def test_a_summary_that_nobody_makes_says_why(self, page: Page, notes: Served) -> None:
        note = add(page, notes)
        notes.llm.answers = [DeadError("gone", provider="ollama")]
        page.goto(f"{notes.url}/ui/notes/{note}")
        page.get_by_role("button", name="Summarise").click()
        expect(page.get_by_role("alert")).to_contain_text("No summary was made. No engine could answer")
        fine(page, "notes-refused")

    def test_an_answer_is_streamed_and_its_citation_opens_the_passage(self, page: Page, notes: Served) -> None:
        add(page, notes, **RACK)
        add(page, notes, text="One.\n\n" * 120 + FAN["text"])
        notes.llm.steps = ended(answer("Ivo swaps it [1]."))
        page.goto(f"{notes.url}/ui/ask")
        page.get_by_label("Question").fill("Who swaps the fan on Thursday?")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("[data-text]")).to_have_text("Ivo swaps it [1].")
        expect(page.get_by_text("Answered by")).to_be_visible()
        fine(page, "notes-answer")
        page.locator(".cites a").first.click()
        passage = page.locator("#passage")
        expect(passage).to_have_text("Ivo swaps the fan of gpu-2 on Thursday.")
        expect(passage).to_be_in_viewport()
        expect(passage).to_be_focused()


class TestHostileWords:
    def test_nothing_that_a_note_or_a_model_says_is_run(self, page: Page, notes: Served) -> None:
        """Neither on the pages nor in what scripts put into them."""
        note = add(page, notes, title=HOSTILE, text=f"fan {HOSTILE}")
        add(page, notes, title="other", text=f"fan [[{HOSTILE}]]")
        notes.llm.answers = [answer(HOSTILE)]
        notes.llm.steps = ended(answer(f"Fan {HOSTILE}"))
        for path in ("", "?q=fan", f"notes/{note}/edit", f"notes/{note}/history?version=1", f"notes/{note}"):
            page.goto(f"{notes.url}/ui/{path}")
            page.wait_for_load_state("networkidle")
        page.get_by_role("button", name="Summarise").click()
        expect(page.locator(".summary")).to_have_text(HOSTILE)
        page.goto(f"{notes.url}/ui/ask")
        page.get_by_label("Question").fill("Which fan?")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("[data-text]")).to_have_text(f"Fan {HOSTILE}")
        expect(page.locator(".cites")).to_contain_text(HOSTILE)

        assert (page.title(), page.locator("main img, main script").count()) == ("Ask - Cutover Notes", 0)
