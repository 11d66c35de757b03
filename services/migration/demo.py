"""Small traffic for a shown move: a few requests like users' to both arms of a canary, so that each is seen at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from services.llm.routing import in_share
from services.migration.asking import Asker


def keys(service: str, share: float, *, inside: bool) -> Iterator[str]:
    """Sticky keys of one arm. None where an arm is empty: nobody is outside of 100 %."""
    if (inside and share <= 0) or (not inside and share >= 1):
        return iter(())
    return (key for key in (f"demo-{n}" for n in count()) if in_share(service, key, share) is inside)


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Drives at most `most` requests in all, one at a time; both arms in turn."""

    asker: Asker
    share: float
    most: int
    sent: int = field(default=0)

    async def drive(self, each: int) -> int:
        """Send up to `each` requests to each arm; tells how many were sent, 0 when the limit is spent."""
        service, before = self.asker.workload.service, self.sent
        arms = [islice(keys(service, self.share, inside=i), self.sent, self.sent + each) for i in (True, False)]
        items = self.asker.workload.items
        for pair in zip(*arms, strict=False):
            for key in pair:
                if self.sent >= self.most:
                    break
                await self.asker.ask_as(items[self.sent % len(items)].id, key, f"[{key}] ")
                self.sent += 1
        return self.sent - before
