"""Which addresses a provider may send us to. Pure.

Results lie on content networks, and providers redirect; a URL in an answer is a stranger's word all the
same. It never leads into our own network, unless the account itself points there (an engine of one's own,
a test).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_INSIDE = (".local", ".localhost", ".internal", ".intranet", ".lan", ".home.arpa", ".svc")
"""Endings of names that mean something only inside a network (RFC 6761, RFC 8375, and common use)."""

_CARRIERS = tuple(
    IPv6Network(prefix) for prefix in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
"""Prefixes whose last 32 bits are an IPv4 address: compatible and mapped (RFC 4291, 2.5.5), translated
(RFC 2765, 2.1) and NAT64 (RFC 6052, 2.1)."""
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
"""NAT64 inside a network (RFC 8215); where the IPv4 address lies in it, the network alone knows."""


def is_private(host: str) -> bool:
    """True for an address or a name that does not lead to the public internet.

    Of an IPv6 address that carries an IPv4 one, the inner address is judged: that is where it leads.

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
    if isinstance(address, IPv6Address):
        if address in _LOCAL_NAT64:
            return True
        if inner := _carried(address):
            return any(_is_inside(carried) for carried in inner)
    return _is_inside(address)


def _is_inside(address: IPv4Address | IPv6Address) -> bool:
    return not address.is_global or address.is_multicast


def _carried(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses inside: of Teredo (RFC 4380) the server's and the client's, of others one."""
    if any(address in prefix for prefix in _CARRIERS):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo or ()


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
