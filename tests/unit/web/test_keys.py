"""API keys: what is kept of them, how their file changes, and that no trouble with it opens a door."""

from __future__ import annotations

import json
import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.key_file import KeyFile, change, read
from services.web.keys import Key, KeysError, digest, dump, holder, new_secret, parse


def key(name: str = "ana", secret: str = "s", **more: Any) -> Key:
    return Key(**{"name": name, "digest": digest(secret), "workspace": "default", "created_at": "now", **more})


def entry(**more: Any) -> dict[str, Any]:
    """A key as the file has it."""
    made: dict[str, Any] = json.loads(dump([key()]))["keys"][0]
    return {**made, **more}


class TestKeys:
    def test_a_key_is_long_and_never_the_same(self) -> None:
        """256 random bits: what makes a plain hash enough."""
        made = {new_secret() for _ in range(100)}

        assert len(made) == 100
        assert all(len(secret) >= 43 for secret in made)

    def test_nothing_of_a_key_is_kept_but_its_hash(self) -> None:
        """Who reads the file cannot ask with it."""
        secret = new_secret()
        text = dump([key(secret=secret)])

        assert secret not in text
        assert digest(secret) in text
        assert holder(parse(text), digest(secret)) is None

    def test_the_holder_is_found_among_others(self) -> None:
        keys = [key("ana", "a"), key("bo", "b"), key("cy", "c")]

        assert [holder(keys, s) for s in ("a", "b", "c", "d", "")] == [*keys, None, None]

    def test_a_key_opens_its_services(self) -> None:
        """No service named is every service."""
        assert key().opens("rag")
        assert [key(services=("rag", "ner")).opens(s) for s in ("rag", "ner", "notes")] == [True, True, False]


class TestFormat:
    def test_what_was_written_is_read_again(self) -> None:
        keys = (key(), key("bo", "b", services=("rag",), requests_per_s=0.5, burst=10, workspace="team-b"))

        assert parse(dump(keys)) == keys

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "a b"},
            {"name": ""},
            {"name": 7},
            {"workspace": "../x"},
            {"digest": "abc"},
            {"digest": None},
            {"services": "rag"[:1] + " "},
            {"services": None},
            {"requests_per_s": 0},
            {"requests_per_s": -1},
            {"requests_per_s": "9"},
            {"burst": 0},
            {"burst": 1.5},
            {"unknown": 1},
        ],
    )
    def test_one_wrong_entry_makes_the_whole_file_unusable(self, wrong: dict[str, Any]) -> None:
        """Half a list of who may ask is no list."""
        good, bad = entry(name="good", digest=digest("g")), entry(**wrong)
        with pytest.raises(KeysError, match="not usable"):
            parse(json.dumps({"version": 1, "keys": [good, bad]}))

    def test_two_keys_of_one_name_or_hash_are_refused(self) -> None:
        for twin in (entry(digest=digest("t")), entry(name="twin")):
            with pytest.raises(KeysError, match="two keys"):
                parse(json.dumps({"version": 1, "keys": [entry(), twin]}))

    @given(st.text() | st.recursive(st.none() | st.text() | st.integers(), lambda s: st.lists(s)).map(json.dumps))
    def test_any_other_text_is_unusable(self, text: str) -> None:
        """Never another error than ours."""
        with pytest.raises(KeysError):
            parse(text)


class TestFile:
    def test_it_is_its_owners_alone(self, tmp_path: Path) -> None:
        """Also when it was there before with other rights."""
        file = tmp_path / "state" / "keys.json"
        change(file, lambda before: [*before, key()])
        file.chmod(0o644)
        change(file, lambda before: [*before, key("bo", "b")])

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [k.name for k in read(file)] == ["ana", "bo"]
        assert [p.name for p in file.parent.iterdir()] == ["keys.json"]

    def test_a_change_that_fails_leaves_the_file_as_it_was(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        change(file, lambda _: [key()])

        def refuse(_: object) -> list[Key]:
            raise KeysError("no")

        with pytest.raises(KeysError):
            change(file, refuse)
        assert read(file) == (key(),)
        assert list(tmp_path.iterdir()) == [file]

    def test_changes_at_once_lose_none(self, tmp_path: Path) -> None:
        """Each waits for the one before."""
        file = tmp_path / "keys.json"
        with ThreadPoolExecutor(8) as threads:
            for n in range(24):
                threads.submit(change, file, lambda before, n=n: [*before, key(f"k{n}", f"s{n}")])

        assert {k.name for k in read(file)} == {f"k{n}" for n in range(24)}

    def test_a_file_that_cannot_be_written_says_which_setting_helps(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(KeysError, match="CUTOVER_API_KEYS_FILE"):
            change(tmp_path / "file" / "keys.json", lambda _: [])


class TestWatched:
    def test_without_a_file_no_keys_are_set_up(self, tmp_path: Path) -> None:
        assert KeyFile(tmp_path / "keys.json", is_given=False).keys() is None

    def test_a_file_that_was_asked_for_and_is_missing_refuses(self, tmp_path: Path) -> None:
        """A misspelt path must not open the door."""
        with pytest.raises(KeysError, match="is not there"):
            KeyFile(tmp_path / "keys.json", is_given=True).keys()

    def test_it_is_read_again_when_it_changes(self, tmp_path: Path) -> None:
        """Added and revoked, without a restart; an empty list lets nobody in."""
        file = tmp_path / "keys.json"
        watched = KeyFile(file, is_given=False)
        seen = [watched.keys()]
        for keys in ([key()], [key(), key("bo", "b")], []):
            change(file, lambda _, keys=keys: keys)
            seen.append(watched.keys())

        assert seen == [None, (key(),), (key(), key("bo", "b")), ()]

    def test_it_is_not_read_again_when_it_does_not(self, tmp_path: Path) -> None:
        """Each request only looks whether it changed: what was read is the same object."""
        file = tmp_path / "keys.json"
        change(file, lambda _: [key()])
        watched = KeyFile(file, is_given=False)

        assert watched.keys() is watched.keys()

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version": 2, "keys": []}'])
    def test_a_broken_file_refuses_until_it_is_mended(
        self, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The keys of before do not stay valid; the log says it once, not at every request."""
        file = tmp_path / "keys.json"
        change(file, lambda _: [key()])
        watched = KeyFile(file, is_given=False)
        watched.keys()
        file.write_bytes(content)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                with pytest.raises(KeysError):
                    watched.keys()
        assert len(caplog.records) == 1

        file.write_text(dump([key("bo", "b")]))
        assert watched.keys() == (key("bo", "b"),)

    def test_a_file_that_was_moved_away_refuses(self, tmp_path: Path) -> None:
        """Once there were keys, their absence is an error."""
        file = tmp_path / "keys.json"
        change(file, lambda _: [key()])
        watched = KeyFile(file, is_given=False)
        watched.keys()
        file.unlink()
        with pytest.raises(KeysError, match="is not there"):
            watched.keys()
