"""What an address says about where a prompt would go. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def base(url: str) -> str | None:
    """`url` without a slash or `/v1` at its end, "" for none; None for what is no address of an HTTP server."""
    text = url.rstrip("/").removesuffix("/v1")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    return text if usable or not text else None


def is_open(url: str) -> bool:
    """Whether `url` is plain HTTP to somewhere else than this machine."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True
