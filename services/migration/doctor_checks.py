"""The catalogue of the doctor's checks: each name, its number in `reference/engines.md` section 4, and why it is asked.

docs/DOCTOR.md has a row for each; a waiver may name nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`id` as in the reference; `why` says what goes wrong where nobody looks."""

    id: str
    why: str


CHECKS: Mapping[str, Check] = {
    "answers readable": Check(id="S0", why="what answers HTML or other types is not the engine that we think it is"),
    "versions": Check(id="S1", why="defaults change between versions, and facts are facts about a version"),
    "same model": Check(id="S2", why="a tag can move, and the same words can name other weights"),
    "model names": Check(id="S3", why="a name that an engine does not know is a 404 for every request"),
    "quantisation": Check(id="S4", why="other weights make another model: speed and quality then compare models"),
    "context window": Check(id="S5", why="Ollama cuts in silence what vLLM refuses; the windows must be the same"),
    "context fit": Check(id="S5", why="the service's longest prompts and its answers must fit both windows"),
    "Modelfile": Check(id="S6", why="SYSTEM, ADAPTER, MESSAGE and stops live in Ollama only and do not move along"),
    "sampling complete": Check(id="S7", why="a field that is not sent is filled by each engine in its own way"),
    "sampling defaults": Check(id="S7", why="what each engine would fill in: these differ three ways"),
    "GPU share": Check(id="S8", why="a model that spills to the CPU is no baseline"),
    "prompt tokens, user only": Check(id="R1", why="a template may add its own system message"),
    "prompt tokens, system and user": Check(id="R1", why="the same messages must be the same prompt"),
    "prompt tokens, several turns": Check(id="R1", why="the same messages must be the same prompt"),
    "prompt tokens, code and accents": Check(id="R1", why="the same messages must be the same prompt"),
    "prompt tokens, tools": Check(id="R1", why="tools are rendered by the template, each in its own way"),
    "prompt tokens, tool result": Check(id="R1", why="an agent's second turn is rendered by other lines"),
    "prompt tokens, own prompt *": Check(id="R1", why="the service's own prompts, through the service, on both arms"),
    "prompt tokens, recorded": Check(id="R1", why="the service's real requests, through the service, on both arms"),
    "begins once": Check(id="R2", why="a second begin-of-text token makes answers worse and nobody sees it"),
    "tools in the prompt": Check(id="R4", why="a template may drop tools in silence"),
    "thinking": Check(id="R5 B8", why="a model that thinks on one engine only is slower there and answers otherwise"),
    "generates": Check(id="B0", why="an open port says nothing; a token does"),
    "over-long prompt": Check(id="B1", why="Ollama cuts what does not fit and answers 200; vLLM refuses"),
    "needle at 95 %": Check(id="B2", why="a window that is told is not always a window that is used"),
    "max_tokens honoured": Check(id="B3", why="else times compare verbosity, and one request can block the queue"),
    "stop honoured": Check(id="B4", why="a stop that one engine ignores runs into the next turn"),
    "schema kept": Check(id="B5", why="a schema that is swallowed shows up as broken JSON in production"),
    "response formats": Check(id="B5", why="each engine takes some spellings of a schema and swallows the rest"),
    "schema cut short": Check(id="B6", why="half a document must end with `length`, or it passes for a whole one"),
    "tool calls": Check(id="B7", why="vLLM needs a tool parser; without one it refuses, or tells the call as text"),
    "stream framing": Check(id="B9", why="no end, no usage or a role-only first frame: each spoils what is measured"),
    "unknown model refused": Check(id="B10", why="a mistyped model must be noticed"),
    "bad requests refused": Check(id="B10", why="the client's error classes rest on these answers"),
    "disconnect frees the engine": Check(id="B11", why="work for callers who have left takes the place of others"),
    "greedy repeats": Check(id="B12", why="temperature 0 is no oracle: ties flip; told, not failed"),
    "images refused": Check(id="B13", why="Ollama answers 200 and ignores an image that its model cannot see"),
    "seed repeats": Check(id="B14", why="a run that is to be repeated needs it, within one engine"),
    "swallowed fields": Check(id="S10", why="both engines answer 200 to fields that they ignore"),
    "services' code": Check(id="S10", why="fields and paths that one engine ignores are found before they are missed"),
    "code, *": Check(id="S10", why="what an engine takes with 200 and ignores has no effect, and nobody is told"),
    "embedding space": Check(id="E1 E2 E3", why="vectors of two spaces must never meet in one index"),
    "embedding of long texts": Check(id="E6", why="Ollama cuts a long text in silence, vLLM refuses"),
    "existing index": Check(id="E5", why="vectors of another space than the stored ones find nothing, or anything"),
    "existing index, top ten": Check(id="E4", why="an engine that ranks otherwise finds others in the index there is"),
    "warm": Check(id="F1", why="loading time must not count as answering time"),
    "parallel slots": Check(id="F2", why="five times faster than a queue of one is an artefact"),
    "prompts not cached": Check(id="F4", why="repeated prompts hit a prefix cache and flatter vLLM"),
    "finish, recorded": Check(id="Q3", why="answers that end otherwise are other answers, and other times"),
    "answered, recorded": Check(id="Q4", why="a request that one engine answers and the other refuses"),
    "service": Check(id="R1", why="only the service knows its own prompts"),
    "waiver *": Check(id="S0", why="a waiver that has run out, or that fits nothing any more, must not lie around"),
}  # fmt: skip
"""By name. A name that ends with `*` is a family: one finding for each prompt or waiver."""


def check_of(name: str) -> Check | None:
    """The check that a finding, or a waiver, names; None where there is no such check."""
    if name in CHECKS:
        return CHECKS[name]
    families = (f for f in CHECKS if f.endswith("*"))
    return next((CHECKS[f] for f in families if name.startswith(f[:-1])), None)
