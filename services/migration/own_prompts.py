"""Sends the service's own prompts and recorded requests through the service, on both arms, and compares."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.migration.asking import NO_ENGINE, NOTHING_HELD, Asker, NotReached, Reply
from services.migration.findings import Finding, compared
from services.migration.records import Side
from services.migration.rendering import TEMPLATE_HINT

SIDES = (Side.BASELINE, Side.CANDIDATE)
RECORDED_LIMIT_S = 300.0
"""Seconds after which no more recorded requests are begun: a doctor is not a load test."""

NONCE = "[doctor] "
FINISH_DRIFT = 0.2
"""Share of answers that may end otherwise before somebody should read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One request on both arms."""

    item: str
    limit: int | None
    replies: tuple[Reply, Reply]

    @property
    def trouble(self) -> str:
        """Why the pair compares nothing; empty where both arms answered themselves."""
        for side, reply in zip(SIDES, self.replies, strict=True):
            if reply.error:
                return f"{side.provider}: {reply.error}"
            if reply.llm.get("provider") != side.provider:
                return f"{side.provider} did not answer itself"
        return ""

    @property
    def prompt(self) -> tuple[int | None, int | None]:
        first, second = self.replies
        return first.tokens("prompt"), second.tokens("prompt")


async def ask_both(asker: Asker, item: str) -> Pair:
    """One request on each arm, both at once: nothing is timed here. Raises `NotReached`."""
    limit = asker.workload.item(item).body.get("max_tokens")
    first, second = await asyncio.gather(*(asker.ask(item, side, NONCE) for side in SIDES))
    return Pair(item=item, limit=limit if isinstance(limit, int) else None, replies=(first, second))


async def own(asker: Asker, items: Sequence[str]) -> tuple[list[Finding], list[Pair]]:
    """The recipe's prompts, a finding for each; nothing more where the service is down."""
    pairs: list[Pair] = []
    try:
        for item in items:
            pairs.append(await ask_both(asker, item))
    except NotReached:
        step = f"start it with `cutover up`; its prompts were not checked, so {asker.workload.service} must not move"
        said = f"no answer at {asker.url}"
        return [compared("service", said, said, fail=step)], []
    return [_own(pair) for pair in pairs], pairs


def not_asked(service: str) -> Finding:
    """The service part was left out on purpose."""
    said = "not asked: --engines-only"
    return compared("service", said, said, warn=f"run `cutover doctor {service}` with the service up before it moves")


def _own(pair: Pair) -> Finding:
    check = f"prompt tokens, own prompt {pair.item}"
    shown = [_reply(r, s) for r, s in zip(pair.replies, SIDES, strict=True)]
    if any(r.status in (401, 403) for r in pair.replies):
        return compared(
            check,
            *shown,
            fail="the service refused the token or the key: ADMIN_TOKEN must be the same here and there, and "
            "CUTOVER_API_KEY one of its keys where it has any",
        )
    if any(r.error == NO_ENGINE for r in pair.replies):
        return compared(check, *shown, fail=f"the service holds nothing to answer from. {NOTHING_HELD}")
    if pair.trouble:
        step = f"{pair.trouble}; look into the service's log, then run the doctor again"
        return compared(check, *shown, fail=step)
    same = pair.prompt[0] == pair.prompt[1] and pair.prompt[0] is not None
    return compared(check, *shown, fail="" if same else TEMPLATE_HINT)


def _reply(reply: Reply, side: Side) -> str:
    if reply.error:
        return reply.error
    served = str(reply.llm.get("provider"))
    by = "" if served == side.provider else f" (answered by {served})"
    return f"{reply.tokens('prompt')} tokens{by}"


async def recorded(asker: Asker, on_item: Callable[[str], None]) -> tuple[list[Finding], list[Pair]]:
    """Every recorded request within the time, and what they show together. Raises `NotReached`."""
    pairs: list[Pair] = []
    items, begun = asker.workload.items, asker.clock()
    for n, item in enumerate(items, start=1):
        if asker.clock() - begun > RECORDED_LIMIT_S:
            break
        on_item(f"recorded request {n} of {len(items)}")
        pairs.append(await ask_both(asker, item.id))
    return [_answered(pairs, len(items)), _counts(pairs), _finishes(pairs)], pairs


def _answered(pairs: Sequence[Pair], of: int) -> Finding:
    """A request that only one engine answers is a difference; one that neither answers was a bad request."""
    errors = [[p.replies[i].error for p in pairs if p.replies[i].error] for i in (0, 1)]
    foreign = [p for p in pairs if p.trouble and not any(r.error for r in p.replies)]
    told = [f"{len(pairs) - len(e)} of {len(pairs)} answered" + (f", {_mix(e)}" if e else "") for e in errors]
    apart = [p for p in pairs if bool(p.replies[0].error) != bool(p.replies[1].error)]
    first = [p.item for p in (*apart, *foreign)][:3]
    fail = f"see what is behind {', '.join(first)}: one engine answers and the other does not" if first else ""
    left = f"{of - len(pairs)} of {of} not sent, the time was up" if len(pairs) < of else ""
    both = "some fail on both engines: are they requests of this version of the service?" if any(errors) else ""
    return compared("answered, recorded", *told, fail=fail, warn="; ".join(w for w in (left, both) if w))


def _counts(pairs: Sequence[Pair]) -> Finding:
    """Prompt tokens of every pair that both answered."""
    good = [p for p in pairs if not p.trouble and p.prompt != (None, None)]
    other = [p for p in good if p.prompt[0] != p.prompt[1]]
    sums = [f"{sum(p.prompt[i] or 0 for p in good)} in {len(good)} requests" for i in (0, 1)]
    if not good:
        return compared("prompt tokens, recorded", *sums, fail="no recorded request was answered by both engines")
    shown = "; ".join(f"{p.item}: {p.prompt[0]} and {p.prompt[1]}" for p in other[:3])
    fail = f"{len(other)} of {len(good)} differ ({shown}): {TEMPLATE_HINT}" if other else ""
    return compared("prompt tokens, recorded", *sums, fail=fail)


def _finishes(pairs: Sequence[Pair]) -> Finding:
    """How answers end: an engine that is cut more often writes longer ones, and its times are of more tokens."""
    good = [p for p in pairs if not p.trouble and all(r.llm for r in p.replies)]
    ends = [[str(p.replies[i].llm.get("finish")) for p in good] for i in (0, 1)]
    apart = sum(a != b for a, b in zip(*ends, strict=True))
    far = bool(good) and apart / len(good) > FINISH_DRIFT
    step = f"{apart} of {len(good)} answers end otherwise: read some of both side by side before believing their times"
    return compared("finish, recorded", *(_mix(e) or "none" for e in ends), warn=step if far else "")


def _mix(words: Sequence[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common(4))


def fits(pairs: Sequence[Pair], windows: tuple[int, int | None]) -> Finding:
    """The 99th percentile of prompt and limit, against what each engine has: `windows` are Ollama's and vLLM's."""
    needs = [sorted((p.prompt[i] or 0) + (p.limit or 0) for p in pairs if p.prompt[i]) for i in (0, 1)]
    tops = [n[min(len(n) - 1, math.ceil(len(n) * 0.99) - 1)] if n else None for n in needs]
    told = [f"{top} of {window}, {len(n)} requests" for top, window, n in zip(tops, windows, needs, strict=True)]
    known = [(t, w) for t, w in zip(tops, windows, strict=True) if t is not None and w is not None]
    if not known:
        return compared("context fit", *told, warn="no request was counted; run the doctor with the service up")
    over = any(top > window for top, window in known)
    step = "1 in 100 needs more than a window holds: raise `context` in models.toml with both engines, or send less"
    return compared("context fit", *told, fail=step if over else "")
