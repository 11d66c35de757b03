"""Finds, in Python source, fields and paths that one of the two engines ignores. Reads syntax only, runs nothing. Pure.

What is sent to whom is told by the call: `chat.completions.create` of the openai SDK, or an HTTP call with the URL of
an API, with the dicts that its arguments name in the same function. Where the address names neither engine, both may
be behind it. A line with `# cutover: meant` is left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.migration.code_names import Names, constant
from services.migration.foreign_fields import FOREIGN, GUIDED, HONOURED, OTHERS

MEANT = "# cutover: meant"
SDK = re.compile(r"\.(chat\.completions\.(create|parse|stream)|completions\.create|responses\.create)$")
HTTP = frozenset({"post", "request", "stream", "send"})
V1 = re.compile(r"/v1/(chat/completions|completions|responses)\b")
NATIVE = re.compile(r"^/api/(chat|generate|embed|embeddings|tags|show|pull|ps)\b")
NATIVE_WORK = re.compile(r"/api/(chat|generate)\b")
BELOW_V1 = re.compile(r"/v1/api/(chat|generate|embed|embeddings|tags|show|pull|ps)\b")
ELSEWHERE = re.compile(r"api\.openai\.com|openrouter|azure|anthropic|googleapis|mistral\.ai|groq|litellm")
NOT_THERE = "answers 404: it has no /api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One place. What each engine does with `what`, and what to write instead."""

    line: int
    what: str
    ollama: str
    vllm: str
    instead: str


def hits(source: str) -> list[Hit]:
    """Every place, by line. Raises `SyntaxError` or `ValueError` for what is no Python of today."""
    lint = _Lint(names=Names.of(ast.parse(source)))
    lines = source.splitlines()
    found = {(h.line, h.what): h for h in lint.found() if MEANT not in lines[h.line - 1]}
    return [found[key] for key in sorted(found)]


def _hit(node: ast.AST, name: str) -> Hit:
    known = FOREIGN[name]
    return Hit(line=_line(node), what=name, ollama=known.ollama, vllm=known.vllm, instead=f"send {known.instead}")


def _path(node: ast.AST, path: str) -> Hit:
    step = "ask vLLM at /v1 (/v1/chat/completions), or send this to Ollama's own address, without /v1"
    return Hit(line=_line(node), what=path, ollama="serves it, not below /v1", vllm=NOT_THERE, instead=step)


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lint:
    """One file."""

    names: Names

    def found(self) -> Iterator[Hit]:
        for node in ast.walk(self.names.tree):
            yield from self._removed(node)
            yield from self._paths(node)
            if isinstance(node, ast.Call):
                yield from self._sent(node)

    def _removed(self, node: ast.AST) -> Iterator[Hit]:
        """Names so peculiar that they mean only one thing, wherever a dict or a call holds them."""
        keys: Sequence[tuple[object, ast.AST]] = ()
        if isinstance(node, ast.Dict):
            keys = [(constant(key), key) for key in node.keys if key is not None]
        elif isinstance(node, ast.keyword):
            keys = [(node.arg, node.value)]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys = [(constant(node.slice), node)]
        for name, where in keys:
            if name in GUIDED:
                yield _hit(where, str(name))

    def _sent(self, call: ast.Call) -> Iterator[Hit]:
        """The fields of a request."""
        asked = ast.unparse(call.func)
        if SDK.search(asked):
            to = self.names.text(_owner(call.func))
            sent = self.names.arguments(call)
            yield from self._of_v1({**sent, **self._body(sent)}, to)
        elif isinstance(call.func, ast.Attribute) and call.func.attr in HTTP:
            to = " ".join(self.names.text(a) for a in (call.func.value, *_urls(call)))
            bodies = [a.value for a in call.keywords if a.arg in ("json", "data", "content")]
            sent = {name: value for body in bodies for name, value in self.names.keys(body).items()}
            if V1.search(to):
                yield from self._of_v1(sent, to)
            elif NATIVE_WORK.search(to) and "max_completion_tokens" in sent and "options" not in sent:
                yield _hit(sent["max_completion_tokens"], "max_completion_tokens")

    def _body(self, sent: Mapping[str, ast.expr]) -> Mapping[str, ast.expr]:
        """What the openai SDK is given to send beside its own arguments."""
        return self.names.keys(sent["extra_body"]) if "extra_body" in sent else {}

    def _of_v1(self, sent: Mapping[str, ast.expr], to: str) -> Iterator[Hit]:
        """What either engine's /v1 would ignore, as far as the address does not say that it is never asked."""
        only_vllm = "vllm" in to and "ollama" not in to
        if ELSEWHERE.search(to):
            return
        for name in OTHERS.keys() & sent.keys():
            harmless = (name == "max_completion_tokens" and "max_tokens" in sent) or (name == "n" and _one(sent[name]))
            if not harmless and not (only_vllm and FOREIGN[name].vllm == HONOURED):
                yield _hit(sent[name], name)

    def _paths(self, node: ast.AST) -> Iterator[Hit]:
        """Ollama's own paths below an OpenAI address."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not self.names.is_doc(node):
            if below := BELOW_V1.search(node.value):
                yield _path(node, below.group())
        elif isinstance(node, ast.JoinedStr):
            for first, then in zip(node.values, node.values[1:], strict=False):
                yield from self._joined(first, then)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from self._joined(node.left, node.right)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            for url in _urls(node)[:1]:
                yield from self._joined(node.func.value, url)

    def _joined(self, address: ast.AST, path: ast.AST) -> Iterator[Hit]:
        to, found = self.names.text(address), NATIVE.match(str(constant(path)))
        names_vllm = "vllm" in to or "openai" in to or re.search(r"/v1/?['\"]", to)
        if found and names_vllm and "ollama" not in to:
            yield _path(path, found.group())


def _owner(func: ast.expr) -> ast.expr:
    """The client of `client.chat.completions.create`."""
    while isinstance(func, ast.Attribute) and func.attr in (
        "create", "parse", "stream", "completions", "chat", "beta", "responses"
    ):  # fmt: skip
        func = func.value
    return func


def _urls(call: ast.Call) -> list[ast.expr]:
    """What may be the URL of an HTTP call: the first words, or the one called so."""
    named = [k.value for k in call.keywords if k.arg == "url"]
    return named or list(call.args[:2])


def _one(node: ast.AST) -> bool:
    """Whether `n` asks for one answer, or nobody can tell for how many."""
    return constant(node) in (1, None)
