"""Which addresses lead inside, and where a provider may send us."""

from __future__ import annotations

import pytest

from models.providers.addresses import is_private, objection

BASE = "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True), ("10.1.2.3", True), ("172.16.0.1", True), ("192.168.1.1", True),
        ("169.254.169.254", True), ("100.64.0.1", True), ("0.0.0.0", True), ("224.0.0.1", True),
        ("::1", True), ("[::1]", True), ("fe80::1%eth0", True), ("fd00::1", True), ("::ffff:10.0.0.1", True),
        ("localhost", True), ("engine", True), ("db.internal", True),
        ("wan.models.svc", True), ("wan.models.svc.cluster.local", True), ("printer.local.", True),
        ("2130706433", True), ("127.1", True), ("0x7f.0x1", True),
        ("::", True), ("::127.0.0.1", True), ("[::a00:1]", True), ("::8.8.8.8", False),
        ("::ffff:8.8.8.8", False), ("::ffff:a9fe:a9fe", True), ("::ffff:224.0.0.1", True),
        ("::ffff:0:10.0.0.1", True), ("::ffff:0:8.8.8.8", False),
        ("64:ff9b::169.254.169.254", True), ("64:ff9b::c0a8:101", True), ("64:ff9b::8.8.8.8", False),
        ("64:ff9b:1::8.8.8.8", True),
        ("2002:7f00:1::", True), ("2002:a9fe:a9fe::1", True), ("2002:808:808::1", False),
        # Teredo: the server in bits 32-63, the client in the last 32, inverted.
        ("2001:0:808:808::f5ff:fffe", True), ("2001:0:a00:1::f7f7:f7f7", True),
        ("2001:0:808:808::f7f7:f7f7", False),
        ("8.8.8.8", False), ("2606:4700::1111", False), ("api.replicate.com", False), ("v3.fal.media", False),
        ("localhost.example.com", False),
    ],
)  # fmt: skip
def test_private_addresses_are_known(host: str, private: bool) -> None:
    assert is_private(host) is private


@pytest.mark.parametrize(
    ("url", "base", "allowed"),
    [
        ("https://cdn.example.net/a", BASE, True),
        ("http://cdn.example.net/a", BASE, False),
        ("https://user:pw@cdn.example.net/a", BASE, False),
        ("https://127.0.0.1/a", BASE, False),
        ("ftp://cdn.example.net/a", BASE, False),
        ("https:///a", BASE, False),
        ("https://cdn.example.net:99999/a", BASE, False),
        ("https://[::1/a", BASE, False),
        ("https://cdn.example.net/a b", BASE, False),
        ("http://127.0.0.1:9/a", "http://127.0.0.1:8", True),
        ("http://10.0.0.9/a", "http://engine.models.svc:8000", True),
        ("https://cdn.example.net/a", "http://127.0.0.1:8", True),
        ("file:///etc/passwd", "http://127.0.0.1:8", False),
    ],
)
def test_where_a_provider_may_send_us(url: str, base: str, allowed: bool) -> None:
    assert (objection(url, base) is None) is allowed
