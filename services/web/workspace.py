"""Whose rows a request may see: the workspace of its API key, `default` where no keys are set up."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

DEFAULT = "default"
"""Where everything lives that was stored without keys, before they existed as well."""


def workspace(request: Request) -> str:
    """The workspace that the request's key opened."""
    return str(request.scope["state"].get("workspace", DEFAULT))


def key_name(request: Request) -> str:
    """The name of the request's key; empty where no keys are set up."""
    return str(request.scope["state"].get("key", ""))


Workspace = Annotated[str, Depends(workspace)]
"""What an endpoint asks for to bind its store: `store.of(workspace)`."""
