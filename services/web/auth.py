"""The one token: who holds it may look at the providers and pick a measuring arm."""

from __future__ import annotations

import hmac

from fastapi import Request

from services.api_keys import ADMIN_HEADER
from services.settings import Secret


def holds_token(request: Request, token: Secret | None) -> bool:
    """Whether `request` carries `token`, as `X-Admin-Token` or as a bearer; compared in constant time.

    Never without a configured token.
    """
    scheme, _, given = _bearer(request).partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.value.encode())


def _bearer(request: Request) -> str:
    """Beside an API key, which has the `Authorization`, the token has a header of its own."""
    apart = request.headers.get(ADMIN_HEADER)
    return request.headers.get("authorization", "") if apart is None else f"Bearer {apart}"
