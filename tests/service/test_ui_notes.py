"""Notes' pages without a browser: lists, edits that lose nobody's words, history, folders, hostile words."""

from __future__ import annotations

import html
import io
import re
import zipfile

import pytest

from services.notes.ui_differences import MAX_LINES, Pair, side_by_side
from services.notes.ui_forms import typed
from tests.service.scripted import Desk

OWN = {"Origin": "http://service"}
FAN = {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday."}
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'{{ 7*7 }}"


async def add(notes: Desk, **fields: str) -> str:
    return str((await notes.http.post("/v1/notes", json={**FAN, **fields})).json()["id"])


async def text_of(notes: Desk, note: str) -> tuple[str, str, int]:
    body = (await notes.http.get(f"/v1/notes/{note}")).json()
    return body["title"], body["text"], body["version"]


async def seen(notes: Desk, path: str, status: int = 200) -> str:
    response = await notes.http.get(f"/ui/{path}")
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    return response.text


async def send(notes: Desk, path: str, **fields: str) -> tuple[int, str]:
    """The status, and the page or the address that it leads to."""
    response = await notes.http.post(f"/ui/{path}", data=fields, headers=OWN)
    return response.status_code, response.headers.get("location", response.text)


def titles(page: str) -> list[str]:
    return [html.unescape(t) for t in re.findall(r'<h2 class="entry"><a href="[^"]*">(.*?)</a>', page)]


def link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]*)"', page)
    return html.unescape(found[1]).removeprefix("/ui/") if found else ""


class TestTheList:
    async def test_pages_lead_on_until_the_oldest_note(self, notes: Desk) -> None:
        """Newest first, each once."""
        for i in range(5):
            await add(notes, title=f"n{i}")
        page, shown = await seen(notes, "?limit=2"), []
        while True:
            shown.append(titles(page))
            if not link(page, "next"):
                break
            page = await seen(notes, f"{link(page, 'next')}&limit=2")

        assert shown == [["n4", "n3"], ["n2", "n1"], ["n0"]]

    async def test_a_tag_narrows_the_list_and_a_search(self, notes: Desk) -> None:
        tagged = await add(notes, title="tagged")
        await add(notes, title="plain")
        await notes.http.post(f"/v1/notes/{tagged}/tags:accept", json={"tags": ["gpu fan"]})

        assert titles(await seen(notes, "?tag=gpu-fan")) == ["tagged"]
        assert titles(await seen(notes, "?tag=gpu-fan&q=fan")) == ["tagged"]
        assert titles(await seen(notes, "?q=fan")) == ["tagged", "plain"]
        assert "No note has the tag rack" in await seen(notes, "?tag=rack")

    async def test_a_note_behind_many_better_ones_is_found_by_its_tag(self, notes: Desk) -> None:
        """The tag is looked for in the store, not among the best."""
        for _ in range(3):
            await add(notes, title="fan")
        last = await add(notes, title="three", text=f"{FAN['text']} {'And more words. ' * 20}")
        await notes.http.post(f"/v1/notes/{last}/tags:accept", json={"tags": ["rack"]})

        assert titles(await seen(notes, "?tag=rack&q=fan&limit=1")) == ["three"]
        assert "No note has these words and the tag rack" in await seen(notes, "?tag=rack&q=zebra")

    async def test_a_search_says_what_it_went_by_and_goes_on(self, notes: Desk) -> None:
        for i in range(3):
            await add(notes, title=f"n{i}")
        page = await seen(notes, "?q=fan&limit=2")
        rest = await seen(notes, link(page, "next"))

        assert "Best first, by words" in page
        assert (sorted(titles(page) + titles(rest)), link(rest, "next")) == (["n0", "n1", "n2"], "")

    async def test_archived_notes_are_searched_apart(self, notes: Desk) -> None:
        await add(notes, title="here")
        await send(notes, f"notes/{await add(notes, title='away')}/archived")

        assert titles(await seen(notes, "?q=fan")) == ["here"]
        assert titles(await seen(notes, "?q=fan&archived=true")) == ["away"]

    @pytest.mark.parametrize("q", ['"', "fan* OR (", "%00fan", "%F0%9F%A6%8A"])
    async def test_hostile_words_are_only_words(self, notes: Desk, q: str) -> None:
        """Nothing that a person types is query syntax."""
        await add(notes)

        assert "<h1>Notes</h1>" in await seen(notes, f"?q={q}")

    async def test_archived_notes_are_a_list_of_their_own(self, notes: Desk) -> None:
        note = await add(notes)
        await send(notes, f"notes/{note}/archived")

        assert (titles(await seen(notes, "")), titles(await seen(notes, "?archived=true"))) == ([], ["Standup"])
        await send(notes, f"notes/{note}/archived?back=true")
        assert titles(await seen(notes, "")) == ["Standup"]

    async def test_a_cursor_of_another_list_is_a_page_that_says_so(self, notes: Desk) -> None:
        """An error is a page for people here, no problem document."""
        assert "not the `next`" in html.unescape(await seen(notes, "?after=abc", 400))


class TestSaving:
    async def test_a_new_note_leads_to_its_page(self, notes: Desk) -> None:
        status, where = await send(notes, "notes/new", title="Fan", text="one\r\ntwo")

        assert (status, await text_of(notes, where.rpartition("/")[2])) == (303, ("Fan", "one\ntwo", 1))

    async def test_a_refused_note_keeps_what_was_typed(self, notes: Desk) -> None:
        """Without a title it is not saved; its text comes back in the form."""
        status, page = await send(notes, "notes/new", title=" ", text="many & dear words")

        assert (status, "Title: only white space" in page, "many &amp; dear words" in page) == (422, True, True)
        assert titles(await seen(notes, "")) == []

    async def test_an_edit_over_anothers_save_shows_both_and_writes_nothing(self, notes: Desk) -> None:
        """Then the same form saves over the version that its writer has seen now."""
        note = await add(notes)
        await notes.http.put(f"/v1/notes/{note}", json={**FAN, "text": "theirs"}, headers={"If-Match": "*"})
        status, page = await send(notes, f"notes/{note}/edit", title="Standup", text="mine", version="1")

        assert (status, "theirs" in page, "mine</textarea>" in page, FAN["text"] in page) == (412, True, True, True)
        assert await text_of(notes, note) == ("Standup", "theirs", 2)
        assert (await send(notes, f"notes/{note}/edit", title="Standup", text="mine", version="2"))[0] == 303
        assert await text_of(notes, note) == ("Standup", "mine", 3)

    @pytest.mark.parametrize("version", ["", "x", "1.5", "-1"])
    async def test_an_edit_that_names_no_version_is_refused(self, notes: Desk, version: str) -> None:
        """A form that somebody made up cannot save blindly."""
        note = await add(notes)

        assert (await send(notes, f"notes/{note}/edit", title="a", text="b", version=version))[0] == 428
        assert (await text_of(notes, note))[2] == 1

    async def test_line_ends_stay_as_they_were(self, notes: Desk) -> None:
        """A browser sends CRLF for every line; an untouched text is saved as it was, and a CRLF text stays one."""
        unix, dos = await add(notes, text="a\nb"), await add(notes, text="a\r\nb")
        for note in (unix, dos):
            await send(notes, f"notes/{note}/edit", title="t", text="a\r\nb\r\nc", version="1")

        assert [(await text_of(notes, n))[1] for n in (unix, dos)] == ["a\nb\nc", "a\r\nb\r\nc"]
        assert typed("a\nb\nc", "a\r\nb\nc") == "a\r\nb\nc"

    async def test_a_text_that_begins_with_an_empty_line_keeps_it(self, notes: Desk) -> None:
        """HTML drops the first line break of a text area; the page gives it one to drop."""
        note = await add(notes, text="\nfirst")

        assert ">\n\nfirst</textarea>" in await seen(notes, f"notes/{note}/edit")

    async def test_a_form_of_another_site_changes_nothing(self, notes: Desk) -> None:
        note = await add(notes)
        response = await notes.http.post(f"/ui/notes/{note}/delete", headers={"Origin": "http://elsewhere"})

        assert (response.status_code, (await text_of(notes, note))[2]) == (403, 1)


class TestHistory:
    async def test_a_restored_version_is_a_new_one_and_none_is_lost(self, notes: Desk) -> None:
        note = await add(notes)
        await notes.http.put(f"/v1/notes/{note}", json={"title": "B", "text": "new"}, headers={"If-Match": "*"})
        assert (await send(notes, f"notes/{note}/history", restore="1", version="2"))[0] == 303

        assert await text_of(notes, note) == ("Standup", FAN["text"], 3)
        assert re.findall(r"\?version=(\d)", await seen(notes, f"notes/{note}/history")) == ["3", "2", "1"]

    async def test_a_restore_over_anothers_save_asks_first(self, notes: Desk) -> None:
        """Whoever looked at version 1 did not see version 2."""
        note = await add(notes)
        await notes.http.put(f"/v1/notes/{note}", json={"title": "B", "text": "new"}, headers={"If-Match": "*"})
        status, page = await send(notes, f"notes/{note}/history", restore="1", version="1")

        assert (status, "Somebody saved this note meanwhile" in page) == (412, True)
        assert (await text_of(notes, note))[2] == 2

    @pytest.mark.parametrize("restore", ["9", "", "x"])
    async def test_a_version_that_is_not_there_is_404(self, notes: Desk, restore: str) -> None:
        note = await add(notes)

        assert (await send(notes, f"notes/{note}/history", restore=restore, version="1"))[0] == 404

    def test_lines_that_belong_together_are_in_one_row(self) -> None:
        assert side_by_side("a\nb\nd", "a\nc\nd\ne") == [
            Pair(left="a", right="a", same=True),
            Pair(left="b", right="c", same=False),
            Pair(left="d", right="d", same=True),
            Pair(left=None, right="e", same=False),
        ]

    def test_very_long_texts_are_not_compared(self) -> None:
        """It would keep a thread busy for as long as somebody likes."""
        assert side_by_side("a\n" * (MAX_LINES + 1), "b") == []


class TestDeleting:
    async def test_the_question_says_what_goes_and_the_answer_needs_no_script(self, notes: Desk) -> None:
        note = await add(notes)
        assert "1 version" in await seen(notes, f"notes/{note}/delete")

        assert await send(notes, f"notes/{note}/delete") == (303, "/ui/")
        assert "Not found" in await seen(notes, f"notes/{note}", 404)

    async def test_a_note_that_was_deleted_first_is_as_gone(self, notes: Desk) -> None:
        """Two people who press the button both get what they wanted."""
        assert (await send(notes, "notes/none/delete"))[0] == 303


class TestFolders:
    async def test_each_file_is_told_with_its_reason_first(self, notes: Desk) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as out:
            out.writestr("a.md", "Fan")
            out.writestr("b.png", "x")
        sent = {"folder": ("vault.zip", packed.getvalue())}
        response = await notes.http.post("/ui/folder", files=sent, headers=OWN)

        assert "1 new, 0 changed, 0 unchanged, 1 refused" in response.text
        assert response.text.index("b.png") < response.text.index("a.md")
        assert titles(await seen(notes, "")) == ["a"]

    @pytest.mark.parametrize("name", ["notes.zip", ""])
    async def test_what_is_no_zip_is_told_on_the_page(self, notes: Desk, name: str) -> None:
        response = await notes.http.post("/ui/folder", files={"folder": (name, b"no zip")}, headers=OWN)

        assert (response.status_code, "Nothing was brought in" in response.text) == (422, True)

    async def test_the_export_is_the_folder_that_the_api_gives(self, notes: Desk) -> None:
        """Under /ui, because a browser's cookie opens nothing else."""
        await add(notes)
        response = await notes.http.get("/ui/export")

        assert response.headers["content-type"] == "application/zip"
        assert "Standup.md" in zipfile.ZipFile(io.BytesIO(response.content)).namelist()


class TestHostileWords:
    async def test_a_notes_words_are_words_on_every_page(self, notes: Desk) -> None:
        """Title, text, history, conflict, search, related, tag names of an import: escaped everywhere."""
        note = await add(notes, title=HOSTILE, text=f"fan {HOSTILE}")
        await add(notes, title="other", text=f"fan [[{HOSTILE}]] script alert")
        await notes.http.put(f"/v1/notes/{note}", json={"title": HOSTILE, "text": "x"}, headers={"If-Match": "*"})
        pages = [await seen(notes, p) for p in ("", "?q=fan", f"?q={HOSTILE}", f"?tag={HOSTILE}", "jobs", "tags")]
        for path in ("", "/edit", "/history?version=1", "/related", "/delete"):
            pages.append(await seen(notes, f"notes/{note}{path}"))
        pages.append((await send(notes, f"notes/{note}/edit", title=HOSTILE, text=HOSTILE, version="1"))[1])
        pages.append((await send(notes, "notes/new", title=HOSTILE, text=" "))[1])
        pages.append((await send(notes, "tags", tags=HOSTILE, into=HOSTILE))[1])

        assert sum("&lt;script&gt;alert(1)" in page for page in pages) >= 10
        for page in pages:
            assert "<script>alert" not in page and "<img" not in page and "onerror=alert(1)>'49" not in page
