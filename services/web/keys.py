"""API keys: made once and shown once, kept as their hash, found again when a request brings one. Pure but for chance.

A key is 256 random bits, so its plain SHA-256 is enough at rest: a slow hash protects words that people can think of,
and nobody guesses 2^256, while every request would pay for it. Hashes are compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

PREFIX = "cutover_"
"""So that people and scanners of repositories know what they found."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of keys and of workspaces."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
VERSION = 1


class KeysError(Exception):
    """The keys cannot be read or changed; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Who may ask. `services` is empty for all of them; without `requests_per_s` the key has no rate limit.

    `burst` is how many requests may come at once after a while of silence.
    """

    name: str
    digest: str
    workspace: str
    created_at: str
    services: tuple[str, ...] = ()
    requests_per_s: float | None = None
    burst: int = 1

    def opens(self, service: str) -> bool:
        """Whether this key is for `service`."""
        return not self.services or service in self.services


def new_secret() -> str:
    """A key as its holder gets it, once."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def holder(keys: Sequence[Key], secret: str) -> Key | None:
    """The key that `secret` is; every one is compared, so that the time tells nothing."""
    given, found = digest(secret), None
    for key in keys:
        if hmac.compare_digest(given, key.digest):
            found = key
    return found


def dump(keys: Sequence[Key]) -> str:
    """The text of a keys file."""
    return json.dumps({"version": VERSION, "keys": [asdict(k) for k in keys]}, indent=2) + "\n"


def parse(text: str) -> tuple[Key, ...]:
    """The keys of a file's text. Raises `KeysError` unless all of it is right: half a list is not let in."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise ValueError(f"it is not a keys file of version {VERSION}")
        keys = tuple(_key(entry) for entry in found["keys"])
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise KeysError(f"not usable: {exc}") from exc
    for what in ("name", "digest"):
        if len({getattr(k, what) for k in keys}) < len(keys):
            raise KeysError(f"not usable: two keys have one {what}")
    return keys


def _key(entry: Any) -> Key:
    made = Key(**{**entry, "services": tuple(entry["services"])})
    named = [made.name, made.workspace, *made.services]
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in named):
        raise ValueError(f"a name of the key {made.name!r} is not letters, digits and . _ -, at most 64")
    if not (isinstance(made.digest, str) and _DIGEST.fullmatch(made.digest)):
        raise ValueError(f"the digest of the key {made.name!r} is not 64 hex digits")
    check_rate(made.requests_per_s, made.burst)
    return made


def check_rate(requests_per_s: float | None, burst: int) -> None:
    """Raises `ValueError` for a limit that could let nothing through."""
    rate_is_sound = requests_per_s is None or (
        isinstance(requests_per_s, int | float) and 0.001 <= requests_per_s <= 1e6
    )
    if not rate_is_sound or type(burst) is not int or not 1 <= burst <= 1_000_000:
        raise ValueError(f"{requests_per_s!r} requests a second in bursts of {burst!r} is no limit that can be kept")
