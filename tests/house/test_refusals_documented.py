"""Each reason for which RAG refuses a document is in docs/RAG.md with what to do about it, and no other."""

from __future__ import annotations

import ast
import re

from tests.house import sources

RAISED = ("Refusal", "JobError")
OF_THE_WORKER = {"lost", "internal", "store"}
"""What services/store says of any job."""


def test_the_page_lists_exactly_the_codes_that_are_raised() -> None:
    """A code is the first argument of a refusal, or of a job's error."""
    raised = {
        ast.literal_eval(call.args[0])
        for path in sources.python_files("services/rag")
        for call in ast.walk(sources.tree(path))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in RAISED
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    table = (sources.ROOT / "docs" / "RAG.md").read_text().partition("| `code` |")[2].partition("\n\n")[0]
    told = {
        code
        for row in table.splitlines()
        for code in re.findall(r"`([a-z-]+)`", row.split("|")[1] if "|" in row else "")
    }

    assert len(raised) > 20
    assert told - OF_THE_WORKER == raised
