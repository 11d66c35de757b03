"""Fetches a document from the web: http and https only, from no address inside the house, bounded in size and time.

What an address is gets looked at where it is connected to, at every redirect anew: a name that says one thing to a
check and another to the connection finds no gap between the two.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import httpx2

from services.rag.parsed import Refusal, Source, plain_name

Resolve = Callable[[str, int], Awaitable[list[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NEVER = tuple(ipaddress.IPv6Network(n) for n in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10"))
"""Not of the internet, whatever `ipaddress` of this Python says: IPv4 in two older wrappings, one's own NAT64
(RFC 8215), site-local."""
_AGENT = "Cutover-RAG/1 (+docs/RAG.md)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a fetch may do. `max_bytes` of the body; `limit_s` seconds for all of it, redirects and body together."""

    may_reach_private: bool = False
    max_bytes: int = 50 * 1024 * 1024
    limit_s: float = 30.0
    max_redirects: int = 5


async def resolved(host: str, port: int) -> list[str]:
    """Every address of `host`, as the system tells them. Raises `OSError`, `UnicodeError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def fetch(url: str, reach: Reach, *, resolve: Resolve = resolved) -> Source:
    """The document at `url`. Raises `Refusal`; its `again` says whether a later try may succeed."""
    try:
        async with (
            asyncio.timeout(reach.limit_s),
            _client(reach, resolve) as client,
            client.stream("GET", url) as response,
        ):
            return await _taken(response, reach)
    except TimeoutError:
        raise Refusal("fetch-too-slow", f"{url!r} took more than {reach.limit_s:g} s", again=True) from None
    except httpx2.TooManyRedirects as exc:
        raise Refusal("fetch-redirects", f"{url!r} redirects more than {reach.max_redirects} times") from exc
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as exc:
        raise Refusal("url-invalid", f"{url!r} is no http or https address: {exc}") from exc
    except httpx2.TransportError as exc:
        detail = f"{url!r} cannot be reached ({type(exc).__name__}: {exc}); see whether this host may reach it"
        raise Refusal("fetch-unreachable", detail, again=True) from exc


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet; what is wrapped in another kind of address is unwrapped first."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if any(address in network for network in _NEVER):
            return False
    return address.is_global and not address.is_multicast


class _Checked(httpx2.AsyncBaseTransport):
    """Connects to the very address that was checked; the name goes into the Host header and the TLS handshake only."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise Refusal("url-invalid", f"{str(url)!r} is no plain http or https address without a password in it")
        address = await self._address(url.host, url.port or (443 if url.scheme == "https" else 80))
        connecting = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._inner.handle_async_request(connecting)

    async def _address(self, host: str, port: int) -> str:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as exc:
            raise Refusal("fetch-unreachable", f"nobody knows the host {host!r} ({exc})", again=True) from exc
        private = [a for a in addresses if not is_public(ipaddress.ip_address(a.partition("%")[0]))]
        if private and not self._reach.may_reach_private:
            detail = f"{host!r} is {private[0]}, inside the house; RAG_FETCH_PRIVATE=on allows that"
            raise Refusal("address-private", detail)
        return addresses[0]

    async def aclose(self) -> None:
        await self._inner.aclose()


def _client(reach: Reach, resolve: Resolve) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=_Checked(reach, resolve),
        timeout=reach.limit_s,
        trust_env=False,
        follow_redirects=True,
        max_redirects=reach.max_redirects,
        headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"},
    )


async def _taken(response: httpx2.Response, reach: Reach) -> Source:
    url = str(response.url)
    if response.status_code != httpx2.codes.OK:
        again = response.status_code >= 500 or response.status_code in (408, 425, 429)
        raise Refusal("fetch-refused", f"{url!r} answered {response.status_code}", again=again)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal("fetch-packed", f"{url!r} answers packed, though it was asked not to; upload the file instead")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > reach.max_bytes:
            raise Refusal("document-too-large", f"{url!r} is larger than {reach.max_bytes} bytes; upload it in parts")
    name = plain_name(PurePosixPath(unquote(response.url.path)).name or response.url.host)
    return Source(data=bytes(body), name=name, media_type=response.headers.get("Content-Type", ""))
