"""The one token: who holds it may look at the providers and pick a measuring arm."""

from __future__ import annotations

import hmac

from fastapi import Request

from services.settings import Secret


def holds_token(request: Request, token: Secret | None) -> bool:
    """Whether `request` carries `token` as a bearer. Never without a configured token; compared in constant time."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.value.encode())
