"""Libraries that the pages carry are what VENDORED.md says, to the byte."""

from __future__ import annotations

import hashlib

from services.pages.site import STATIC

VENDOR = STATIC / "vendor"


def rows() -> dict[str, list[str]]:
    """The cells of each file's row, by the file's name."""
    lines = (VENDOR / "VENDORED.md").read_text().splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row for row in cells[1:]}


def test_every_library_has_its_row_and_its_sum() -> None:
    found = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in VENDOR.iterdir() if f.suffix == ".js"}
    assert found == {name: row[-1] for name, row in rows().items()}


def test_every_library_has_its_license_beside_it() -> None:
    for row in rows().values():
        name = row[4].partition("(")[2].rstrip(")")
        assert (VENDOR / name).read_text().strip(), row[0]
