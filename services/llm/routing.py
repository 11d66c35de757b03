"""Which providers a request asks, in which order: the pin, then the stage, then the sticky canary share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from services.llm.rollout import Stage, Standing

OLLAMA, VLLM = "ollama", "vllm"

MEASURED = "measured arm"
"""How the reason of a measuring request's route begins: the gate's, the doctor's, not a user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`chain` names providers in the order to ask them; `reason` says why, for the log."""

    chain: tuple[str, ...]
    reason: str


def in_share(service: str, key: str, share: float) -> bool:
    """Whether `key` belongs to the canary `share` (0..1). Sticky, and monotone: 5 % is a subset of 10 %."""
    digest = hashlib.sha256(f"{service}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def route(service: str, key: str, *, pin: str, standing: Standing, first: str | None = None) -> Route:
    """The chain of one request.

    `pin` is the environment's word (`ollama`, `vllm`, `auto`) and always wins; then `first`, a measuring request's
    arm; then the stage. Behind vLLM there is always Ollama. Before its gate has passed a service never meets vLLM;
    in the canary either engine stands behind the other. The keys that are held back in full are the last that would
    have entered the canary, so nobody who had vLLM loses it.
    """
    if pin == OLLAMA:
        return Route(chain=(OLLAMA,), reason="pinned to ollama")
    if pin == VLLM:
        return Route(chain=(VLLM, OLLAMA), reason="pinned to vllm")
    if first == VLLM:
        return Route(chain=(VLLM, OLLAMA), reason=f"{MEASURED} {VLLM}")
    if first == OLLAMA:
        return Route(chain=(OLLAMA,), reason=f"{MEASURED} {OLLAMA}")
    match standing.stage:
        case Stage.OLLAMA | Stage.ROLLED_BACK:
            return Route(chain=(OLLAMA,), reason=f"stage {standing.stage}")
        case Stage.FULL if in_share(service, key, standing.share):
            return Route(chain=(VLLM, OLLAMA), reason="stage full")
        case Stage.FULL:
            return Route(chain=(OLLAMA, VLLM), reason=f"holdback {1 - standing.share:.0%} of full")
        case Stage.CANARY:
            if in_share(service, key, standing.share):
                return Route(chain=(VLLM, OLLAMA), reason=f"canary {standing.share:.0%}")
            return Route(chain=(OLLAMA, VLLM), reason=f"control beside canary {standing.share:.0%}")
