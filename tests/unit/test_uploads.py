"""The settings of documents that come into RAG."""

from __future__ import annotations

import pytest

from services.settings import SettingsError, load


def test_unless_told_otherwise_documents_are_small_and_from_outside() -> None:
    uploads = load({}).uploads

    assert (uploads.max_bytes, uploads.may_reach_private) == (50 * 1024 * 1024, False)


def test_both_can_be_set() -> None:
    uploads = load({"RAG_UPLOAD_MB": "2", "RAG_FETCH_PRIVATE": "on"}).uploads

    assert (uploads.max_bytes, uploads.may_reach_private) == (2 * 1024 * 1024, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAG_UPLOAD_MB", "0"), ("RAG_UPLOAD_MB", "1.5"), ("RAG_UPLOAD_MB", "901"), ("RAG_FETCH_PRIVATE", "yes")],
)
def test_what_is_no_setting_is_told_by_name(name: str, value: str) -> None:
    """A size that is none; anything but on and off."""
    with pytest.raises(SettingsError, match=name):
        load({name: value})
