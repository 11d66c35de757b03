"""A real Chromium, and the three services with a scripted model, each on a port of its own."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from services.ner import app as ner_app
from services.notes import app as notes_app
from services.rag import app as rag_app
from services.settings import SERVICES, Settings, load
from tests.conftest import held_ports
from tests.service.scripted import ScriptedClient, first_places, seeing_names

SEEN = ("Vidar Holm", "person")
"""Whom somebody sees beside NER's model, in a text that names him."""


def _ner(settings: Settings, *, client: ScriptedClient) -> FastAPI:
    return ner_app.build(settings, client=client, names=seeing_names(first_places(SEEN)))


BUILD: Mapping[str, Callable[..., FastAPI]] = {
    "rag": rag_app.build,
    "notes": notes_app.build,
    "ner": _ner,
}
STARTS_WITHIN_S = 120.0
WAITS_MS = 60_000  # a ceiling, not a figure: what is waited for may need a poll of the page, on a machine that is busy
expect.set_options(timeout=WAITS_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A service at `url`, without a slash at its end; `llm` says what its model answers."""

    url: str
    llm: ScriptedClient
    home: Path


@contextmanager
def serving(service: str, home: Path, ports: Mapping[str, int], llm: ScriptedClient | None = None) -> Iterator[Served]:
    """`service` on its port of `ports`, in a thread, with everything that it writes in `home`."""
    env = {"CUTOVER_HOME": str(home), **{f"CUTOVER_{s.upper()}_PORT": str(ports[s]) for s in SERVICES}}
    llm = llm or ScriptedClient()
    app = BUILD[service](load(env), client=llm)
    config = uvicorn.Config(app, port=ports[service], log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name=f"serving {service}")
    thread.start()
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until, f"{service} did not start"
            time.sleep(0.02)
        yield Served(url=f"http://127.0.0.1:{ports[service]}", llm=llm, home=home)
    finally:
        server.should_exit = True
        thread.join(STARTS_WITHIN_S)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. Where CUTOVER_REQUIRE_CHROMIUM=1 its absence is a failure, elsewhere a skip.

    It ends with the module: while Playwright's loop runs in this thread, no test that is a coroutine can.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CUTOVER_REQUIRE_CHROMIUM") == "1":
            pytest.fail("CUTOVER_REQUIRE_CHROMIUM=1 and there is no chromium on the PATH")
        pytest.skip("no chromium on the PATH; `apt-get install chromium` brings one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=4 * WAITS_MS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh browser of one window, 1280 wide. Errors of scripts and of the page's policy fail the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAITS_MS)
    made = context.new_page()
    troubles: list[str] = []
    made.on("pageerror", lambda error: troubles.append(str(error)))
    made.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
    yield made
    context.close()
    assert not troubles


@pytest.fixture
def ports() -> Iterator[Mapping[str, int]]:
    with held_ports(len(SERVICES)) as found:
        yield dict(zip(SERVICES, found, strict=True))


@pytest.fixture
def rag(tmp_path: Path, ports: Mapping[str, int]) -> Iterator[Served]:
    with serving("rag", tmp_path / "rag", ports) as served:
        yield served


@pytest.fixture
def notes(tmp_path: Path, ports: Mapping[str, int]) -> Iterator[Served]:
    with serving("notes", tmp_path / "notes", ports) as served:
        yield served


@pytest.fixture
def ner(tmp_path: Path, ports: Mapping[str, int]) -> Iterator[Served]:
    with serving("ner", tmp_path / "ner", ports) as served:
        yield served
