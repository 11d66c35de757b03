"""spaCy's names as NER's: with its small English model where that is installed, and the command where it is not."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from services.ner import spacy_names
from services.ner.spacy_names import INSTALL, MODEL, NotInstalled
from tests.house.sources import ROOT

TEXT = "Angela Merkel met the engineers of Siemens in Berlin on Monday."


def test_where_it_is_not_installed_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODEL, None)
    with pytest.raises(NotInstalled, match=r"spaCy is not installed here; `python -m pip install --require-hashes"):
        spacy_names.load()


def test_the_command_installs_what_is_loaded() -> None:
    """Its file is there, locked by hashes, and holds the model by that name."""
    file = ROOT / INSTALL.split()[-1]
    assert f"{MODEL.replace('_', '-')}==3.8.0" in file.read_text()
    assert "--hash=sha256:" in file.read_text()


@pytest.mark.skipif(not importlib.util.find_spec(MODEL), reason=f"needs spaCy: {INSTALL}")
def test_names_stand_at_their_places_with_types_of_ours() -> None:
    found = {(m.text, m.type) for m in spacy_names.load().find(TEXT)}
    assert found == {("Angela Merkel", "person"), ("Siemens", "organisation"), ("Berlin", "place")}
    assert all(TEXT[m.start : m.end] == m.text for m in spacy_names.load().find(TEXT))


@pytest.mark.skipif(not importlib.util.find_spec(MODEL), reason=f"needs spaCy: {INSTALL}")
def test_what_it_sees_says_which_spacy_and_which_model_saw_it() -> None:
    """As an accepted candidate's mentions keep it."""
    made = spacy_names.load().made("now")
    assert (made.provider, made.model, made.digest) == ("spacy", MODEL, "version:3.8.0")
    assert made.prompt_version == f"spacy-{importlib.import_module('spacy').__version__}"
