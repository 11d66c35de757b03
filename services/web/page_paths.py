"""Which paths are pages for people, and which of those anybody may see."""

from __future__ import annotations

PAGES = "/ui"
STATIC = f"{PAGES}/static"
LOGIN = f"{PAGES}/login"


def is_page(path: str) -> bool:
    """Whether `path` is one of the pages, or belongs to one."""
    return path == PAGES or path.startswith(f"{PAGES}/")


def is_open_page(path: str) -> bool:
    """Whether a page needs no key even where there are some: what a page is made with, and where one signs in."""
    return path == LOGIN or path.startswith(f"{STATIC}/")
