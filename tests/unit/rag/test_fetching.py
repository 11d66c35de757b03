"""Documents by address, from a real server on this machine; and the addresses that nobody may reach."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from services.rag import fetching
from services.rag.fetching import Reach, fetch, is_public
from services.rag.parsed import Refusal

INSIDE = Reach(may_reach_private=True, max_bytes=2000, limit_s=5.0, max_redirects=3)


@asynccontextmanager
async def serving(answers: Mapping[str, bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server of raw answers by path, its address, and the requests that came. An empty answer is silence."""
    asked: list[bytes] = []

    handling: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.append(asyncio.current_task())
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            asked.append(request)
            if answer := answers[request.split()[1].decode()]:
                writer.write(answer)
                writer.write_eof()
            await reader.read()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        await asyncio.gather(*(task for task in handling if task), return_exceptions=True)


def said(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def refusal(url: str, reach: Reach = INSIDE, **known: str) -> Refusal:
    async def resolve(host: str, _port: int) -> list[str]:
        return [known.get(host.replace(".", "_"), host)]

    with pytest.raises(Refusal) as caught:
        await fetch(url, reach, resolve=resolve)
    return caught.value


async def test_a_document_comes_with_its_name_and_type() -> None:
    """The path names it, the server types it; nothing packed was asked for."""
    async with serving({"/docs/a%20b.md": said(b"# Hi", Content_Type="text/markdown; charset=utf-8")}) as (url, asked):
        source = await fetch(f"{url}/docs/a%20b.md", INSIDE)

    assert (source.data, source.name, source.media_type) == (b"# Hi", "a b.md", "text/markdown; charset=utf-8")
    assert b"accept-encoding: identity" in asked[0].lower()


async def test_no_address_inside_the_house_is_reached_unless_allowed() -> None:
    """Refused before anything is sent."""
    async with serving({"/": said(b"secret")}) as (url, asked):
        error = await refusal(url, replace(INSIDE, may_reach_private=False))

    assert (error.code, error.again, asked) == ("address-private", False, [])


async def test_a_name_that_leads_inside_is_refused() -> None:
    """The name may be anybody's; its address decides."""
    error = await refusal("http://intranet.example/x", Reach(), intranet_example="169.254.169.254")

    assert error.code == "address-private"


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """No second look-up that could say something else; the name stays in the Host header."""
    async with serving({"/a.txt": said(b"words")}) as (url, asked):

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        source = await fetch(f"http://no-such-host.invalid:{url.rpartition(':')[2]}/a.txt", INSIDE, resolve=resolve)

    assert source.data == b"words"
    assert b"host: no-such-host.invalid:" in asked[0].lower()


async def test_a_redirect_is_checked_as_the_first_address_was() -> None:
    """A public page that points inside reaches nothing there."""
    async with serving({"/": said(b"", status="302 Found", Location="http://metadata.example/latest")}) as (url, _):
        port = url.rpartition(":")[2]

        async def resolve(host: str, _port: int) -> list[str]:
            return ["10.0.0.1" if host == "metadata.example" else "127.0.0.1"]

        with pytest.MonkeyPatch.context() as patched, pytest.raises(Refusal) as caught:
            patched.setattr(fetching, "is_public", lambda a: a == ipaddress.ip_address("127.0.0.1"))
            await fetch(f"http://public.example:{port}/", Reach(limit_s=5.0), resolve=resolve)

    assert caught.value.code == "address-private"
    assert "metadata.example" in caught.value.detail


@pytest.mark.parametrize(
    ("path", "answer", "code", "again"),
    [
        ("/large", said(b"x" * 2001), "document-too-large", False),
        ("/packed", said(b"x", Content_Encoding="gzip"), "fetch-packed", False),
        ("/gone", said(b"", status="404 Not Found"), "fetch-refused", False),
        ("/ill", said(b"", status="503 Busy"), "fetch-refused", True),
        ("/round", said(b"", status="302 Found", Location="/round"), "fetch-redirects", False),
        ("/file", said(b"", status="302 Found", Location="file:///etc/passwd"), "url-invalid", False),
        ("/nonsense", b"SSH-2.0-OpenSSH\r\n", "fetch-unreachable", True),
    ],
)
async def test_what_cannot_be_fetched_says_why_and_whether_to_try_again(
    path: str, answer: bytes, code: str, again: bool
) -> None:
    """Each with its own code."""
    async with serving({path: answer}) as (url, _):
        error = await refusal(url + path)

    assert (error.code, error.again) == (code, again)


async def test_a_server_that_says_nothing_is_left() -> None:
    """The limit is for all of it together."""
    async with serving({"/": b""}) as (url, _):
        error = await refusal(url, replace(INSIDE, limit_s=0.2))

    assert error.again


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a", "file:///etc/passwd", "http://u:$p@example.org/", "http:///x", "x"]
)
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    """Without a look-up."""
    assert (await refusal(url)).code == "url-invalid"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::a00:1",
        "ff02::1",
        "fec0::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "64:ff9b:1::a00:1",
    ],
)
def test_every_kind_of_inside_address_is_known(address: str) -> None:
    """Also one that is wrapped in an IPv6 address."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
