"""The path of a request as the router sees it, for middleware that decides by the path.

A server with a root path (`UVICORN_ROOT_PATH=/rag`) puts it in front of `scope["path"]`, and the router takes it off
again. Whoever looks at `scope["path"]` guards other paths than those that answer.
"""

from __future__ import annotations

from starlette._utils import get_route_path  # the router's own: a copy of ours could come to differ from it
from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """What the routes of the app are matched with."""
    return get_route_path(scope)
