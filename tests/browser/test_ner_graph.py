"""The graph's picture in a real browser: drawn, explored by pointer and by keyboard, in step with its list."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Served
from tests.browser.looks import fine
from tests.browser.test_ner_pages import FACTS, NAMES, TEXT, read

CY = "document.getElementById('graph-canvas')._cyreg.cy"


pytestmark = pytest.mark.browser


FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
"""By then the picture knows its size, and fits into it: on a busy machine that can come after what is fetched."""


def ready(page: Page) -> None:
    """Nothing is being fetched any more, and nothing moves."""
    expect(page.locator("#graph")).to_have_attribute("aria-busy", "false")
    page.evaluate(FRAMES)


@pytest.fixture
def graph(page: Page, ner: Served) -> Page:
    """The picture around one entity, with the rest to be found."""
    read(page, ner, TEXT, NAMES, FACTS)
    page.goto(f"{ner.url}/ui/graph?q=mara")
    ready(page)
    return page


def names(page: Page) -> set[str]:
    """What the list shows."""
    return set(page.locator("#graph-list [data-expand]").all_inner_texts())


def drawn(page: Page) -> set[str]:
    """What the picture shows."""
    return set(page.evaluate(f"{CY}.nodes().not('.apart').map((node) => node.data('name'))"))


def where(page: Page, name: str) -> tuple[float, float]:
    """The place of an entity in the picture, from its corner."""
    spot = page.evaluate(f"(name) => {CY}.nodes().filter((n) => n.data('name') === name).renderedPosition()", name)
    return spot["x"], spot["y"]


def test_the_whole_is_drawn_and_listed(page: Page, ner: Served) -> None:
    """The same entities and facts in both, and paint on the canvas."""
    read(page, ner, TEXT, NAMES, FACTS)
    page.goto(f"{ner.url}/ui/graph")
    ready(page)

    assert drawn(page) == names(page) == set(NAMES)
    assert page.evaluate(f"{CY}.edges().length") == len(FACTS)
    expect(page.locator("#graph-said")).to_have_text("7 entities and 5 facts are shown.")
    assert len(page.locator("#graph-canvas").screenshot()) > 10_000
    fine(page, "ner-graph")


def test_entities_without_a_fact_stand_in_rows(page: Page, ner: Served) -> None:
    """Nothing pulls them together: one column of them would leave most of the picture empty."""
    read(page, ner, TEXT, NAMES, [])
    page.goto(f"{ner.url}/ui/graph")
    ready(page)

    spots = [where(page, name) for name in NAMES]
    assert len(set(spots)) == len(NAMES)
    assert min(len({round(spot[axis]) for spot in spots}) for axis in (0, 1)) > 1
    fine(page, "ner-graph-without-facts")


def test_a_click_shows_what_is_around(graph: Page) -> None:
    """The picture and the list grow together, and it is said aloud."""
    assert drawn(graph) == names(graph) == {"Mara Quill", "Tessel"}
    x, y = where(graph, "Tessel")
    graph.locator("#graph-canvas").click(position={"x": x, "y": y})

    expect(graph.locator("#graph-said")).to_contain_text("Tessel: 1 more entity.")
    assert drawn(graph) == names(graph) == {"Mara Quill", "Tessel", "Lubrex 40"}
    expect(graph.locator("#graph-list [aria-current]")).to_have_text("Tessel")


def test_the_list_does_the_same_by_keyboard(graph: Page) -> None:
    """Enter on a name; the focus stays on it."""
    graph.locator("#graph-list").get_by_text("Tessel", exact=True).focus()
    graph.keyboard.press("Enter")

    expect(graph.locator("#graph-said")).to_contain_text("Tessel: 1 more entity.")
    expect(graph.locator("#graph-list").get_by_text("Tessel", exact=True)).to_be_focused()
    assert "Lubrex 40" in drawn(graph)


def test_the_picture_is_walked_by_arrow_keys(graph: Page) -> None:
    """Each step is said; Enter grows the picture, plus and minus zoom."""
    graph.locator("#graph-canvas").focus()
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        graph.keyboard.press(key)
        if "Tessel" in graph.locator("#graph-said").inner_text():
            break
    expect(graph.locator("#graph-said")).to_contain_text("Tessel, organisation")
    graph.keyboard.press("Enter")
    expect(graph.locator("#graph-said")).to_contain_text("Tessel: 1 more entity.")
    before = graph.evaluate(f"{CY}.zoom()")
    graph.keyboard.press("-")
    graph.keyboard.press("-")

    assert graph.evaluate(f"{CY}.zoom()") < before


def test_buttons_zoom(graph: Page) -> None:
    before = graph.evaluate(f"{CY}.zoom()")
    graph.get_by_role("button", name="Zoom in").click()
    nearer = graph.evaluate(f"{CY}.zoom()")
    graph.get_by_role("button", name="Zoom out").click()
    out = graph.evaluate(f"{CY}.zoom()")
    for _ in range(3):
        graph.get_by_role("button", name="Zoom out").click()
    small = graph.evaluate(f"{CY}.zoom()")
    graph.get_by_role("button", name="Whole").click()
    whole = graph.evaluate(f"{CY}.zoom()")

    assert nearer > before
    assert small < out < nearer
    assert whole > small


def test_a_type_is_filtered_and_a_name_found(graph: Page) -> None:
    """Without a new page; what is around a found name comes with it."""
    graph.get_by_label("Type").select_option("organisation")
    expect(graph.locator("#graph-list")).to_contain_text("Norrland Bearings")
    assert drawn(graph) == names(graph) == {"Tessel", "Norrland Bearings"}
    expect(graph.locator("#graph-said")).to_have_text("2 entities and 0 facts are shown.")
    graph.get_by_label("Type").select_option("")
    graph.get_by_label("Find a name").fill("ivo")
    graph.keyboard.press("Enter")

    expect(graph.locator("#graph-list [aria-current]")).to_have_text("Ivo Brandt")
    assert "Quill" in drawn(graph)
    graph.get_by_label("Find a name").fill("nobody")
    graph.keyboard.press("Enter")
    expect(graph.locator("#graph-said")).to_contain_text("No entity has 'nobody' in its name.")


def test_the_graph_is_downloaded(graph: Page) -> None:
    with graph.expect_download() as download:
        graph.get_by_role("link", name="Download as GraphML").click()

    assert download.value.suggested_filename == "graph.graphml"
    assert "Lubrex 40" in download.value.path().read_text(encoding="utf-8")


def test_without_scripts_the_list_leads_on(chromium: Browser, ner: Served) -> None:
    """The picture is not there and says so; links show what is around."""
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 900})
    page = context.new_page()
    read(page, ner, TEXT, NAMES, FACTS)
    page.goto(f"{ner.url}/ui/graph?q=mara")
    expect(page.get_by_text("The picture needs JavaScript.")).to_be_visible()
    page.locator("#graph-list").get_by_text("Tessel", exact=True).click()

    expect(page.locator("#graph-list")).to_contain_text("Lubrex 40")
    context.close()
