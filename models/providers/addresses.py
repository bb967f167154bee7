"""Which addresses a provider may send us to. Pure.

Results lie on content networks, and providers redirect; a URL in an answer is a stranger's word all the
same. It never leads into our own network, unless the account itself points there (an engine of one's own,
a test).
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

_INSIDE = (".local", ".localhost", ".internal", ".intranet", ".lan", ".home.arpa", ".svc")
"""Endings of names that mean something only inside a network (RFC 6761, RFC 8375, and common use)."""


def is_private(host: str) -> bool:
    """True for an address or a name that does not lead to the public internet.

    Args:
        host: A name, or an address as in a URL; brackets around IPv6 may be there.
    """
    bare = host.strip("[]").partition("%")[0].rstrip(".").lower()
    try:
        address = ip_address(bare)
    except ValueError:
        last = bare.rpartition(".")[2]
        # `2130706433`, `127.1` and `0x7f.1` are addresses to resolvers though not to `ipaddress`.
        numeric = last.isdigit() or last.startswith("0x")
        return "." not in bare or numeric or bare.endswith(_INSIDE)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not address.is_global or address.is_multicast


def host_of(url: str) -> str:
    """The host of a URL; empty when it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; what cannot be read is nobody's origin."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", 0


def objection(url: str, base: str) -> str | None:
    """Why a URL that a provider named is not followed; None when it may be.

    Args:
        url: What the provider's answer (or a redirect) says.
        base: The account's own base URL. A private one may lead to private addresses and over plain HTTP.
    """
    scheme, host, port = origin_of(url)
    if scheme not in ("http", "https") or not host or not port or re.search(r"[\x00-\x20\x7f\\]", url):
        return "it is no http(s) address"
    if "@" in urlsplit(url).netloc:
        return "it holds a user name or password"
    if is_private(host_of(base)):
        return None
    if scheme != "https":
        return "it is not https"
    if is_private(host):
        return "it leads to a private address"
    return None
