"""What a clone must not carry: big files, somebody's own machine, secrets, unlocked or private requirements."""

from __future__ import annotations

import re

import pytest

from tests.house.sources import ROOT, tracked_files

MAX_BYTES = 1024 * 1024
LOCAL_PATH = re.compile(r"(?<![\w.~$}/-])/(?:root|work|tmp|home/\w+|Users/\w+)/[\w.]")
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bhf_[A-Za-z0-9]{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bAKIA[0-9A-Z]{16}\b|://[^\s/:@]+:[^\s/@{}$]+@"
)
PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org", "download.pytorch.org"}
NOT_LOCKS = {"requirements/engine-excludes.txt": "names that uv leaves out of a lock; nothing is installed from it"}

TRACKED = tracked_files()
LOCKS = [p for p in TRACKED if p.parts[0] == "requirements" and p.suffix == ".txt" and str(p) not in NOT_LOCKS]


def texts(*, tests: bool) -> dict[str, str]:
    """The tracked files that are text, by name."""
    found = {}
    for path in TRACKED:
        if tests or path.parts[0] != "tests":
            data = (ROOT / path).read_bytes()
            if b"\0" not in data:
                found[str(path)] = data.decode("utf-8")
    return found


def test_no_file_is_bigger_than_a_mebibyte() -> None:
    assert not [str(p) for p in TRACKED if (ROOT / p).stat().st_size > MAX_BYTES]


def test_no_file_names_a_place_on_a_developers_machine() -> None:
    """Tests may: theirs are examples that nothing opens."""
    assert {name: m.group() for name, t in texts(tests=False).items() if (m := LOCAL_PATH.search(t))} == {}


def test_no_file_holds_a_secret() -> None:
    assert [name for name, t in texts(tests=True).items() if SECRET.search(t)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_requirement_is_pinned_with_a_hash(lock: object) -> None:
    """Each entry is `name==version` or an address, and hashes of what it may be."""
    text = (ROOT / str(lock)).read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and line.lstrip()[0] != "#"]
    assert lines
    assert not [
        line[:60] for line in lines if not re.match(r"[\w.\[\]-]+ ?(==|@ )\S+.*--hash=sha256:[0-9a-f]{64}", line)
    ]


def test_requirements_come_from_public_hosts() -> None:
    """No index of somebody's own, in an option or in an address."""
    for name, text in texts(tests=False).items():
        if name.startswith("requirements/"):
            hosts = set(re.findall(r"https?://(?:[^\s/@]+@)?([^\s/:]+)", text))
            assert hosts <= PUBLIC_HOSTS, f"{name}: {hosts - PUBLIC_HOSTS}"
            assert not re.search(r"^\s*(--?\w*index-url|--find-links|-i|-f)\b", text, re.MULTILINE), name
