"""docs/FAULTS.md is the catalogue: each fault, where it is from, what happens, what is right, in which modes."""

from __future__ import annotations

import re

from services.faults.catalogue import CATALOGUE
from services.faults.peer import NAMES
from tests.house.sources import ROOT

PAGE = ROOT / "docs" / "FAULTS.md"
ROW = re.compile(r"^\| `([\w-]+)` \| (S\d\d|-) \| (.+) \| (.+) \| ([\w, ]+) \|$", re.MULTILINE)


def test_the_page_and_the_catalogue_are_the_same() -> None:
    """Word for word and in order, so that neither can drift."""
    documented = ROW.findall(PAGE.read_text(encoding="utf-8"))

    assert documented == [
        (fault.id, fault.source or "-", fault.title, fault.right, ", ".join(map(str, fault.expects)))
        for fault in CATALOGUE
    ]


def test_every_peer_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [name for name in NAMES if f"- `{name}`" not in page] == []
