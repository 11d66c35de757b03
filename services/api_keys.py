"""The settings of API keys, parsed: where a service finds who may ask it, and what our own programs show a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.secret_files import secret

ADMIN_HEADER = "X-Admin-Token"
"""Carries the admin token: `Authorization` may have to hold an API key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeys:
    """`file` holds the keys that a service takes; `is_given` where a setting names it, which asks for keys even before
    the file exists. `own` is the key that our programs send, empty for none."""

    file: Path
    is_given: bool
    own: str = field(repr=False)

    def headers(self, token: str = "") -> dict[str, str]:
        """What a request of ours carries: the key where there is one, the admin token where it needs it."""
        key = {"Authorization": f"Bearer {self.own}"} if self.own else {}
        return {**key, ADMIN_HEADER: token} if token else key


def parse(values: Mapping[str, str], state_dir: Path, problems: list[str]) -> ApiKeys:
    """From the values of every variable. What cannot be used is added to `problems`, a sentence each."""
    given = values["CUTOVER_API_KEYS_FILE"]
    return ApiKeys(
        file=Path(given).expanduser().absolute() if given else state_dir / "api-keys.json",
        is_given=bool(given),
        own=secret("CUTOVER_API_KEY", values, problems),
    )
