"""What a store says when it could not do its work."""

from __future__ import annotations


class StoreError(Exception):
    """The store could not do its work, and changed nothing. `is_full` when there is no room left."""

    def __init__(self, detail: str, *, is_full: bool = False) -> None:
        super().__init__(detail)
        self.is_full = is_full
