"""What each service's OpenAPI promises, tried with generated requests: no 5xx, and answers as they are declared.

Bounded and drawn the same way each time, so that a failure here is a change and not luck.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.ner import app as ner_app
from services.notes import app as notes_app
from services.rag import app as rag_app
from services.settings import load
from tests.service.scripted import TOKEN, Desk, ScriptedClient, answer, served

EXAMPLES = 12
CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance]
BUILDS = {"rag": rag_app.build, "notes": notes_app.build, "ner": ner_app.build}
FIRST: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "rag": (
        ("/v1/collections", {"name": "Runbooks"}),
        ("/v1/documents", {"title": "Fans", "text": "Ivo swaps the fan of gpu-2 on Thursday."}),
        ("/v1/feedback", {"rating": "up", "question": "Who swaps the fan?", "answer": "Ivo [1].", "request_id": "r"}),
    ),
    "notes": (("/v1/notes", {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday."}),),
    "ner": (("/v1/documents", {"text": "Ivo works for Tessel."}),),
}
SAID = '{"entities": [{"text": "Ivo", "type": "person"}], "relations": [], "tags": [], "new": ["hardware"]}'
"""What the scripted model says to everything: JSON that each service can use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A served app, its schema, and ids of what it holds, for paths that want one."""

    desk: Desk
    portal: BlockingPortal
    schema: Any
    known: list[str]

    def send(self, case: Any) -> httpx2.Response:
        """The answer to a generated case."""
        made = requests.Request(**case.as_transport_kwargs(base_url="http://service")).prepare()
        headers = {**made.headers, "Authorization": f"Bearer {TOKEN}"}
        content = made.body.encode() if isinstance(made.body, str) else made.body
        ask = self.desk.http.build_request(str(made.method), str(made.url), headers=headers, content=content)
        return self.portal.call(self.desk.http.send, ask)


@pytest.fixture(scope="module", autouse=True)
def zips() -> None:
    """What is sent where a body is a zip file: bytes that mostly are none."""
    schemathesis.openapi.media_type("application/zip", st.binary(max_size=200))


@contextmanager
def trying(service: str, home: Path) -> Iterator[Tried]:
    llm = ScriptedClient()
    llm.answers = [answer(SAID)]
    built = BUILDS[service](load({"CUTOVER_HOME": str(home), "ADMIN_TOKEN": TOKEN}), client=llm)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served(built, llm)) as desk:
        known = []
        for path, body in FIRST[service]:
            made = portal.call(lambda p=path, b=body: desk.http.post(p, json=b))
            assert made.status_code in (200, 201), made.text
            known.append(str(made.json().get("id") or made.json()["document"]["id"]))
        document = portal.call(desk.http.get, "/openapi.json").json()
        yield Tried(desk=desk, portal=portal, schema=schemathesis.openapi.from_dict(document), known=known)


@pytest.mark.parametrize("service", sorted(BUILDS))
def test_nothing_that_the_schema_allows_or_forbids_makes_a_5xx(service: str, tmp_path: Path) -> None:
    """Every operation, with valid and with broken requests, on ids that exist and on others."""
    with trying(service, tmp_path) as tried:
        wrong = [said for found in tried.schema.get_all_operations() if (said := _tried(tried, found.ok()))]

    assert wrong == [], "\n\n".join(wrong)


def _tried(tried: Tried, operation: Any) -> str:
    """What the first case showed that broke a promise; empty where none did."""
    ids = itertools.cycle([*tried.known, None])

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*(operation.as_strategy(mode) for mode in GenerationMode)))
    def promise(case: Any) -> None:
        one = next(ids)
        if case.method == "DELETE" or one is None:
            pass
        elif case.path_parameters:
            case.path_parameters = {name: one for name in case.path_parameters}
        case.validate_response(tried.send(case), checks=CHECKS)

    try:
        promise()
    except schemathesis.errors.FailureGroup as exc:
        return f"{operation.method.upper()} {operation.path}: {exc}"
    return ""
