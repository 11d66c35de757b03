"""The house style that a syntax tree can see: sizes, first lines, errors, printing, environment, work at import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house import sources

MAX_FILE_LINES, MAX_TEST_LINES, MAX_FUNCTION_LINES = 300, 400, 40
DELIBERATELY_LONG: dict[str, str] = {}
"""`path` or `path:function` -> the reason. Empty, and better so."""

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common", "misc"}
READS_ENVIRONMENT = {"settings.py", "app.py", "cli.py", "__main__.py"}
ELSEWHERE = {
    "bench/_common.py": "Locust's own process: the admin token is a secret and so no argument",
}
ACTS_AT_IMPORT = {"services/stack/venvs.py": "must refuse an old Python before its own later lines fail on it"}
PRINTS = {
    "services/stack/venvs.py": "make runs it as a script before anything is installed",
    "services/llm/serving/__main__.py": "the command of the vLLM image, which has no `cutover`",
}

VALUES = {
    *(
        "dataclass",
        "field",
        "frozenset",
        "tuple",
        "dict",
        "set",
        "list",
        "range",
        "str",
        "float",
        "len",
        "zip",
        "sorted",
    ),
    *("resolve", "with_name", "with_suffix", "joinpath", "split", "format", "compile", "getLogger", "timedelta"),
    "lower",
    *("statements", "select", "scalar_subquery", "where", "label", "correlate", "count"),  # SQL, not yet run by anybody
}
"""Calls that only make a value. A capitalised name is a type; the ones that are alive are named below."""

ALIVE = ("Client", "App", "API", "Server", "Session", "Connection", "Registry", "Thread", "Pool", "Popen", "Counter")
ALIVE += ("Gauge", "Histogram", "Engine", "Environment", "Redis", "OpenAI", "Ollama")

FILES = sources.python_files()
TESTS = sources.python_files("tests")

each_file = pytest.mark.parametrize("path", FILES, ids=str)


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=str)
def test_files_and_functions_are_short(path: Path) -> None:
    """300 lines a file, 40 a function without its docstring. A test file, being many small cases, has 400."""
    lines = sources.text(path).count("\n")
    long = [] if lines <= (MAX_TEST_LINES if path in TESTS else MAX_FILE_LINES) else [f"{path} ({lines})"]
    for function in sources.functions(path):
        if sources.length(function) > MAX_FUNCTION_LINES:
            long.append(f"{path}:{function.name} ({sources.length(function)})")
    assert not [name for name in long if name.split(" ")[0] not in DELIBERATELY_LONG]


@each_file
def test_the_first_line_says_what_the_module_owns(path: Path) -> None:
    docstring = ast.get_docstring(sources.tree(path))
    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].rstrip().endswith((".", "?")), f"{path}: the first line is not a whole sentence"


@each_file
def test_the_file_is_named_for_what_is_in_it(path: Path) -> None:
    """Not for being shared. `bench/_common.py` is let through: Locust loads every name without the underscore."""
    assert path.stem not in EMPTY_NAMES


@each_file
def test_catching_everything_says_why(path: Path) -> None:
    """A comment on the line or the next one; catching to clean up and raise again needs none."""
    lines = sources.text(path).splitlines()
    for node in ast.walk(sources.tree(path)):
        if not isinstance(node, ast.ExceptHandler) or not catches_everything(node) or raises_again(node):
            continue
        assert "#" in "".join(lines[node.lineno - 1 : node.lineno + 1]), f"{path}:{node.lineno} catches all; say why"


def catches_everything(handler: ast.ExceptHandler) -> bool:
    caught = [handler.type] if not isinstance(handler.type, ast.Tuple) else handler.type.elts
    return any(c is None or ast.unparse(c) in ("Exception", "BaseException") for c in caught)


def raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and (last.exc is None or ast.unparse(last.exc) == handler.name)


@each_file
def test_only_the_command_line_prints(path: Path) -> None:
    if path.name.startswith("cli") or str(path) in PRINTS:
        return
    calls = [n for n in ast.walk(sources.tree(path)) if isinstance(n, ast.Call)]
    assert not [c.lineno for c in calls if ast.unparse(c.func) in ("print", "sys.stdout.write", "sys.stderr.write")]


@each_file
def test_only_bootstraps_read_the_environment(path: Path) -> None:
    if path.name in READS_ENVIRONMENT or str(path) in ELSEWHERE:
        return
    used = {ast.unparse(n) for n in ast.walk(sources.tree(path)) if isinstance(n, ast.Attribute | ast.Name)}
    assert not used & {"os.environ", "os.getenv", "os.putenv", "environ", "getenv"}


@each_file
def test_nothing_happens_at_import(path: Path) -> None:
    """No calls for their effect, and only calls that make plain values."""
    if str(path) in ACTS_AT_IMPORT:
        return
    for call, for_effect in sources.calls_at_import(path):
        name = ast.unparse(call.func).rpartition(".")[2]
        is_value = name in VALUES or (name[:1].isupper() and not name.endswith(ALIVE))
        assert is_value and not for_effect, f"{path}:{call.lineno} calls {ast.unparse(call.func)} when it is imported"


def test_every_exception_to_the_rules_is_still_needed() -> None:
    """A file that is gone has no reason left."""
    named = {
        name.partition(":")[0] for table in (DELIBERATELY_LONG, ELSEWHERE, ACTS_AT_IMPORT, PRINTS) for name in table
    }
    assert named <= {str(path) for path in FILES}
