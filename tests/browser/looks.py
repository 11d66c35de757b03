"""What every page is held to: no serious finding of axe-core, no sideways scroll at phone width, in light and dark."""

from __future__ import annotations

import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

SERIOUS = ("serious", "critical")
WIDTHS = (1280, 390)
SHOTS = os.environ.get("CUTOVER_SHOTS", "")


def follow(page: Page, way: Locator) -> None:
    """Click what leads to another page, and wait until that page stands: a click alone returns before it does."""
    with page.expect_navigation(wait_until="load"):
        way.click()


def fine(page: Page, name: str) -> None:
    """Look at the open page at both widths and in both schemes; `name` is its picture's, where CUTOVER_SHOTS is set.

    It stands whole by then: words of a page can be seen before its style sheet has come.
    """
    page.wait_for_load_state("load")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if SHOTS:
                Path(SHOTS).mkdir(parents=True, exist_ok=True)
                page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} scrolls sideways at {width} px: it is {wide} wide"
        found = Axe().run(page).response["violations"]
        told = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in SERIOUS]
        assert not told, f"{name} ({scheme}): {told}"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
