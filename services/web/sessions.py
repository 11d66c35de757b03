"""A signed-in browser: a cookie that names its key and when it ends, sealed by what is kept of that key. Pure.

The key itself is in no cookie, so what reads one (another port of this host gets it as well) learns no key. A session
ends with its time, and at once where its key is removed. Whoever can read the file of keys could make one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from services.web.keys import Key

COOKIE = "cutover_session"
LASTS_S = 12 * 3600
MOST_CHARS = 256


def sealed(key: Key, *, now: float) -> str:
    """The value of the cookie of who holds `key`; `now` in seconds since the epoch."""
    until = int(now) + LASTS_S
    return f"{until}.{_seal(key, until)}.{key.name}"


def opened(keys: Sequence[Key], value: str, *, now: float) -> Key | None:
    """The key of a cookie that `sealed` made and that has not ended; None for anything else."""
    ends, _, rest = value.partition(".")
    seal, _, name = rest.partition(".")
    if len(value) > MOST_CHARS or not (ends.isascii() and ends.isdigit() and seal.isascii()):
        return None
    until = int(ends)
    for key in keys:
        if key.name == name:
            fits = hmac.compare_digest(_seal(key, until), seal)
            return key if fits and now < until <= now + LASTS_S else None
    return None


def _seal(key: Key, until: int) -> str:
    said = f"cutover session\0{key.name}\0{until}".encode()
    return hmac.new(bytes.fromhex(key.digest), said, hashlib.sha256).hexdigest()
