"""What the house tests look at: the repository's files, as text and as syntax trees."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_files(*rooms: str) -> list[Path]:
    """Every Python file of the rooms; all of `services` and `bench` without one. Relative to the repository."""
    return sorted(p.relative_to(ROOT) for room in rooms or ("services", "bench") for p in (ROOT / room).rglob("*.py"))


@functools.cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), filename=str(path))


def tracked_files() -> list[Path]:
    """What git has, and what it would take with `add`: a file that is only forgotten is looked at as well."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(Path(name) for name in set(done.stdout.split("\0")) if name and (ROOT / name).is_file())


def module_name(path: Path) -> str:
    """`services/llm/__init__.py` is `services.llm`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[str]:
    """Full names of what a file imports, wherever in the file."""
    package = module_name(path).split(".")
    return list(imported(tree(path), package if path.name == "__init__.py" else package[:-1]))


def imported(module: ast.Module, package: list[str]) -> Iterator[str]:
    """`from a.b import c` gives `a.b.c`; relative ones are told as if they were absolute."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def is_main_block(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'"


def calls_at_import(path: Path) -> Iterator[tuple[ast.Call, bool]]:
    """Calls that importing the file makes, and whether each is there for its effect alone. Decorators are not meant."""
    todo: list[ast.AST] = [s for s in tree(path).body if not is_main_block(s)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node.value, True
        elif isinstance(node, ast.Call):
            yield node, False
        todo += [c for c in ast.iter_child_nodes(node) if c not in getattr(node, "decorator_list", ())]
