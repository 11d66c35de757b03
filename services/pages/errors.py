"""Problems as pages: what went wrong, the next step, and the request's id for whoever reads the log."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import Request, Response

from services.pages.guard import HEADERS, SAFE
from services.pages.rendering import go, page
from services.web.page_paths import LOGIN
from services.web.problems import TITLES, Problem
from services.web.request_id import HEADER, request_id
from services.web.route_path import route_path

NEXT: Mapping[int, str] = {
    400: "Go back, change what you sent and try again.",
    401: "Sign in with an API key.",
    403: "Sign in with another key, or open the page again from the menu.",
    404: "It may have been deleted. Look for it in the list.",
    409: "Somebody or something changed it meanwhile. Open the page again.",
    412: "Somebody changed it meanwhile. Open the page again, then make your change.",
    413: "Send a smaller one, or ask a shorter question.",
    422: "Go back, change the fields named above and try again.",
    429: "Wait a moment and try again.",
    502: "Try again. If it happens again, look at the page Engines.",
    503: "Wait a moment and try again. The page Engines says which engine is well.",
    504: "Try again, or ask for a shorter answer.",
    507: "Make room on the disk, then try again.",
}
FALLBACK_STEP = "Try again. If it happens again, look for the request id in the service's log."


def problem_page(request: Request, problem: Problem) -> Response:
    """The page of `problem`. Whoever only lacks a sign-in is taken to it, and back afterwards."""
    if problem.code == "not-signed-in":
        path = route_path(request.scope)
        query = f"?{request.url.query}" if request.url.query else ""
        back = f"{path}{query}" if request.method in SAFE and not request.headers.get("HX-Request") else "/ui/"
        return go(request, f"{LOGIN}?next={quote(back, safe='')}")
    said = problem.document(request_id(request))
    template = "_problem.html" if request.headers.get("HX-Request") else "problem.html"
    told = page(
        request,
        template,
        status=problem.status_code,
        problem=said,
        title=TITLES.get(problem.status_code, "Error"),
        step=NEXT.get(problem.status_code, FALLBACK_STEP),
        causes=said.get("causes", []),
    )
    told.headers.update({**(problem.headers or {}), **HEADERS, HEADER: request_id(request)})
    return told
