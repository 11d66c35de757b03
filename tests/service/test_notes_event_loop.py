"""A long note is cut and compared beside the event loop: everybody else's requests go on meanwhile.

Nothing here waits for anything, so the loop goes round only if the work itself lets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from services.llm.errors import ContextTooLong
from services.notes.answers import NoteSources
from services.notes.store import Note, Notebook, NoteHit
from services.notes.summaries import Summariser
from services.web.answering import Answering, Question
from services.web.asking import Wishes
from tests.service.scripted import ScriptedClient, answer

NOTE = Note(number=1, id="a", title="Plan", text="Ivo swaps the fan.", version=1, created_at="", updated_at="")
WISHES = Wishes(request_id="r", key="k", first=None, deadline_s=60.0)


class OneNote:
    """Has it at hand, so that it never waits."""

    async def get(self, note_id: str) -> Note:
        return NOTE


async def find(question: str, limit: int) -> tuple[list[NoteHit], object]:
    return [NoteHit(id="a", title="Plan", snippet="", score=1.0)], None


async def rounds_during(work: Coroutine[Any, Any, object]) -> int:
    """How often the event loop came round before `work` was done."""
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await work
    counting.cancel()
    return rounds


async def nothing() -> None: ...


async def test_a_question_lets_others_go_on_while_passages_are_compared() -> None:
    notebook = cast(Notebook, OneNote())
    sources = NoteSources(find=find, notebook=notebook)
    answers = Answering(service="notes", alias="a", context=4096, client=ScriptedClient(), sources=sources)
    work = answers.ask(Question(text="Who swaps the fan?", k=1, max_tokens=8), WISHES)

    assert await rounds_during(nothing()) == 0
    assert await rounds_during(work) > 0


async def test_a_long_note_lets_others_go_on_while_it_is_cut() -> None:
    client = ScriptedClient()
    client.answers = [ContextTooLong("too long"), answer("In short.")]
    summariser = Summariser(service="notes", alias="a", context=1024, client=client)

    assert await rounds_during(summariser.summarise(NOTE.text, WISHES)) > 0
