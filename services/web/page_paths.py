"""Which paths are pages for people, and which of those anybody may see."""

from __future__ import annotations

PAGES = "/ui"
STATIC = f"{PAGES}/static"
LOGIN = f"{PAGES}/login"
LOGOUT = f"{PAGES}/logout"


def is_page(path: str) -> bool:
    """Whether `path` is one of the pages, or belongs to one."""
    return path == PAGES or path.startswith(f"{PAGES}/")


def is_open_page(path: str) -> bool:
    """Whether a page needs no key even where there are some: what a page is made with, and where one signs in or out.

    Whose key opens nothing here, or has no request left, must be able to sign out all the same.
    """
    return path in (LOGIN, LOGOUT) or path.startswith(f"{STATIC}/")
