"""Whose rows a request may see: the workspace of its API key, `default` where no keys are set up."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

DEFAULT = "default"
"""Where everything lives that was stored without keys, before they existed as well."""

ANONYMOUS = "anonymous"
"""Who says something where no API keys are set up."""


def workspace(request: Request) -> str:
    """The workspace that the request's key opened."""
    return str(request.scope["state"].get("workspace", DEFAULT))


def who(request: Request) -> str:
    """The name of the request's key, for what is kept of who said something."""
    return str(request.scope["state"].get("key") or ANONYMOUS)


Who = Annotated[str, Depends(who)]
"""What an endpoint asks for that keeps who said something."""

Workspace = Annotated[str, Depends(workspace)]
"""What an endpoint asks for to bind its store: `store.of(workspace)`."""
