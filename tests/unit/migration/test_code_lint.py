"""What `cutover doctor --code` finds in a team's Python, and what it leaves alone."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from services.cli import main
from services.migration import code_files, code_lint
from services.migration.errors import CodeError
from services.migration.findings import Finding, Level
from services.migration.foreign_fields import FOREIGN as KNOWN
from services.migration.swallowed import FOREIGN, SPELLINGS

SERVICES = Path(code_lint.__file__).parents[1]


def found(source: str) -> list[tuple[int, str]]:
    return [(hit.line, hit.what) for hit in code_lint.hits(textwrap.dedent(source).strip() + "\n")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("c.chat.completions.create(model=m, extra_body={'guided_json': s})", [(1, "guided_json")]),
        ("llm = ChatOpenAI(model_kwargs=dict(guided_regex=r))", [(1, "guided_regex")]),
        ("def body():\n    b = {}\n    b['guided_choice'] = [1]\n    return b", [(3, "guided_choice")]),
        ("c.chat.completions.create(model=m, max_completion_tokens=9)", [(1, "max_completion_tokens")]),
        ("ollama.chat.completions.create(max_completion_tokens=9)", [(1, "max_completion_tokens")]),
        ("more = {'max_completion_tokens': 9}\nc.chat.completions.create(**more)", [(1, "max_completion_tokens")]),
        ("c.beta.chat.completions.parse(n=3)", [(1, "n")]),
        ("httpx.post(f'{url}/v1/chat/completions', json={'options': {'num_predict': 9}})", [(1, "options")]),
        ("requests.post(base + '/v1/completions', data=json.dumps({'keep_alive': -1}))", [(1, "keep_alive")]),
        (
            "URL = 'http://gpu:8000/v1/chat/completions'\ndef ask(http):\n    body = {'model': 'm'}\n"
            "    body['format'] = 'json'\n    body.update(think=False)\n    return http.post(URL, json=body)",
            [(4, "format"), (5, "think")],
        ),
        (
            "class A:\n    def __init__(self):\n        self.http = httpx.Client(base_url='http://gpu:8000/v1/')\n"
            "    def ask(self):\n        return self.http.post('/api/chat')",
            [(5, "/api/chat")],
        ),
        ("http.get(f'{VLLM_URL}/api/tags')", [(1, "/api/tags")]),
        ("http.post(openai_base + '/api/generate')", [(1, "/api/generate")]),
        ("http.post('http://gpu:8000/v1/api/embed')", [(1, "/v1/api/embed")]),
        ("http.post(f'{o}/api/chat', json={'max_completion_tokens': 9})", [(1, "max_completion_tokens")]),
    ],
)  # fmt: skip
def test_what_an_engine_ignores_is_found_with_its_line(source: str, expected: list[tuple[int, str]]) -> None:
    assert found(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "c.chat.completions.create(model=m, max_tokens=9, n=1, response_format=f)",
        "c.chat.completions.create(max_tokens=9, max_completion_tokens=9)",
        "vllm = OpenAI(base_url=VLLM_URL)\nvllm.chat.completions.create(max_completion_tokens=9, n=2)",
        "OpenAI(base_url='https://api.openai.com/v1').chat.completions.create(max_completion_tokens=9)",
        "http.post(f'{OLLAMA_URL}/api/chat', json={'options': {'num_predict': 9}, 'keep_alive': -1, 'format': s})",
        "ollama.chat(model=m, options={'num_ctx': 4096}, keep_alive=-1)",
        "http.get(f'{ollama_url}/api/tags')",
        "http.get('/api/version')",
        "http.get(f'{our_service}/api/chat')",
        "parser.add_argument('--format', options=['a'])",
        "def other():\n    b = {'options': 1}\ndef ask():\n    b = {'a': 1}\n    c.post('/v1/completions', json=b)",
        "c.post('/v1/orders', json={'options': {}, 'n': 3})",
        "'''Never ask vLLM at /v1/api/chat.'''",
        "x = {'guided_tour': True}",
        "x = {'guided_json': s}  # cutover: meant",
    ],
)
def test_what_is_right_or_not_ours_to_say_is_left_alone(source: str) -> None:
    assert found(source) == []


def test_our_own_services_are_clean() -> None:
    summary, *places = code_files.code(SERVICES)
    assert places == []
    assert summary.level is Level.PASS
    assert int(summary.vllm.split()[0]) > 300


def test_what_the_engines_are_asked_about_is_what_is_looked_for() -> None:
    """One list: a field that only one of both knows would be measured and not found, or found and not measured."""
    asked = {key.partition(".")[0] for key in (*FOREIGN, *SPELLINGS)} - {"a field nobody knows"}
    assert {name for name in asked if not name.startswith("response_format")} <= KNOWN.keys()


def test_a_place_is_a_finding_with_both_engines_and_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "llm.py").write_text("import x\n\nc.chat.completions.create(max_completion_tokens=9)\n")
    place = code_files.code(tmp_path)[1]
    assert place == Finding(
        check="code, app/llm.py:3 max_completion_tokens", level=Level.WARN,
        ollama="max_completion_tokens: takes it with 200 and ignores it", vllm="max_completion_tokens: honours it",
        next="send `max_tokens`, which both engines honour; where it is meant, write `# cutover: meant` at the end of "
        "that line",
    )  # fmt: skip


def test_what_nobody_wrote_or_nobody_can_read_is_skipped_and_counted(tmp_path: Path) -> None:
    bad = "c.create(guided_json=s)\n"
    for folder in (".git", "__pycache__", "env", "node_modules", "app"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(bad)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "binary.py").write_bytes(b"\0guided_json")
    (tmp_path / "huge.py").write_text(bad + "#" * code_files.LARGEST)
    (tmp_path / "old.py").write_text("print 'guided_json'\n")
    (tmp_path / "deep.py").write_text("(" * 5000 + ")" * 5000)
    (tmp_path / "latin.py").write_bytes("x = 'é'  # guided_json".encode("latin-1"))
    (tmp_path / "link.py").symlink_to(tmp_path / "app" / "a.py")
    (tmp_path / "escape.py").write_text("x = '\\d'\n")
    summary, *places = code_files.code(tmp_path)
    assert [p.check for p in places] == ["code, app/a.py:1 guided_json"]
    for said in (
        "5 Python files read, 1 places found", "4 folders (hidden", "1 binary files", "3 files that are no Python 3",
        "2 files (links, larger than 1 MiB)",
    ):  # fmt: skip
        assert said in summary.vllm


def test_findings_are_bounded_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "many.py"
    path.write_text("f(guided_json=s)\n" * (code_files.TOLD + 7))
    summary, *places = code_files.code(path)
    assert len(places) == code_files.TOLD
    assert "7 more" in summary.next


def test_names_that_go_in_circles_end(tmp_path: Path) -> None:
    circle = "a = {**b}\nb = {**a, 'options': 1}\nurl = url + '/v1/completions'\nhttp.post(url, json=a)"
    assert found(circle) == [(2, "options")]


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_path_without_code_is_a_usage_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before any engine is asked: none is up here."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path / "home"))
    assert main(["doctor", "notes", "--code", str(tmp_path / name)]) == 64
    assert str(tmp_path / name) in capsys.readouterr().err
    with pytest.raises(CodeError):
        code_files.code(tmp_path / name)
