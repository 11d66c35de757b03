"""What names stand for in one Python file, as far as its syntax shows: dicts by their keys, addresses by their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

DEPTH, MOST = 3, 20
"""How many names deep a value is followed, and how many of its values are looked at."""

Scope = ast.AST | None
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def constant(node: ast.AST) -> object:
    """The value of a literal; None for anything else."""
    return node.value if isinstance(node, ast.Constant) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """One file. `bound` holds every value given to a name, by the function around it (None: the file) and its text."""

    tree: ast.Module
    scopes: Mapping[int, Scope]
    bound: Mapping[tuple[Scope, str], Sequence[ast.expr]]
    docs: frozenset[int]

    @staticmethod
    def of(tree: ast.Module) -> Names:
        """Read once; nodes are known by identity."""
        scopes: dict[int, Scope] = {id(tree): None}
        bound: dict[tuple[Scope, str], list[ast.expr]] = {}
        docs = set()
        for node in ast.walk(tree):
            inside = node if isinstance(node, FUNCTIONS) else scopes[id(node)]
            scopes.update((id(child), inside) for child in ast.iter_child_nodes(node))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                docs.add(id(node.value))
            for target, value in _given(node):
                scope = None if "." in target else scopes[id(node)]  # `self.client` is known in every method
                bound.setdefault((scope, target), []).append(value)
        return Names(tree=tree, scopes=scopes, bound=bound, docs=frozenset(docs))

    def is_doc(self, node: ast.AST) -> bool:
        """Whether a text stands by itself, as a docstring does."""
        return id(node) in self.docs

    def values(self, node: ast.expr) -> Sequence[ast.expr]:
        """What was given to a name in its function, else in the file."""
        name = ast.unparse(node)
        return self.bound.get((self.scopes.get(id(node)), name)) or self.bound.get((None, name)) or ()

    def text(self, node: ast.AST) -> str:
        """An address as it is written, in small letters, with what the names in it were given, and theirs."""
        parts, seen = [ast.unparse(node).lower()], set[str]()
        level: Sequence[ast.AST] = [node]
        for _ in range(DEPTH):
            inner = (n for one in level for n in ast.walk(one))
            names = {ast.unparse(n): n for n in inner if isinstance(n, ast.Name | ast.Attribute)}
            level = [value for name, n in names.items() if name not in seen for value in self.values(n)][:MOST]
            seen |= names.keys()
            parts += [ast.unparse(value).lower() for value in level]
        return " ".join(parts)

    def keys(self, node: ast.expr, depth: int = DEPTH) -> dict[str, ast.expr]:
        """The keys of a dict, also by way of a name, `dict(…)`, `|` or `json.dumps`, each with its value."""
        found: dict[str, ast.expr] = {}
        inner: Sequence[ast.expr] = ()
        match node:
            case ast.Dict():
                pairs = list(zip(node.keys, node.values, strict=True))
                found = {str(constant(k)): v for k, v in pairs if k is not None and constant(k) is not None}
                inner = [v for k, v in pairs if k is None]
            case ast.Call() if ast.unparse(node.func).endswith("dumps"):
                inner = node.args[:1]
            case ast.Call() if ast.unparse(node.func).endswith(("dict", ".update")):
                return self.arguments(node, depth)
            case ast.BinOp(op=ast.BitOr()):
                inner = [node.left, node.right]
            case ast.IfExp():
                inner = [node.body, node.orelse]
            case ast.Name() | ast.Attribute():
                inner = self.values(node)[:MOST]
        for value in inner if depth else ():
            found |= self.keys(value, depth - 1)
        return found

    def arguments(self, call: ast.Call, depth: int = DEPTH) -> dict[str, ast.expr]:
        """The named arguments of a call, those of `**known` included."""
        found = {k.arg: k.value for k in call.keywords if k.arg is not None}
        for value in [k.value for k in call.keywords if k.arg is None] if depth else ():
            found |= self.keys(value, depth - 1)
        return found


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each name and what it is given: by `=`, by `body["key"] = …`, or by `body.update(…)`."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign):
        targets, value = [node.target], node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
        yield from ((ast.unparse(node.func.value), a) for a in node.args)
        if node.keywords:
            yield ast.unparse(node.func.value), node
    for target in targets:
        if value is None:
            continue
        if isinstance(target, ast.Name | ast.Attribute):
            yield ast.unparse(target), value
        elif isinstance(target, ast.Subscript):
            key = ast.copy_location(ast.Dict(keys=[target.slice], values=[value]), target)
            yield ast.unparse(target.value), key
