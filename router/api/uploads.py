"""Driving videos and sounds of a request: into files that live as long as it, probed."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from models.errors import InvalidMedia, InvalidRequest
from router.api.context import GatewayContext
from router.drivers import PreparedDriver, prepare_driver, too_large
from router.engine import DRIVERS

CHUNK = 1 << 20


def save(source: BinaryIO, target: Path, name: str, limit: int) -> None:
    """Copy an upload into a file. Raises `PayloadTooLarge` when it has more than `limit` bytes."""
    size = 0
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > limit:
                raise too_large(name, limit)
            file.write(chunk)


def save_data_uri(address: str, target: Path, name: str, limit: int) -> None:
    """Decode a `data:…;base64,` address into a file.

    Raises:
        InvalidRequest: it is a web address.
        InvalidMedia: it is not base64.
        PayloadTooLarge: it holds more than `limit` bytes.
    """
    if address[:8].lower().startswith(("http:", "https:")):
        raise InvalidRequest(
            f"{name}: web addresses are not read by this server; send a file or a data: URI", param=name
        )
    header, comma, payload = address.partition(",")
    if not (comma and header.lower().startswith("data:") and header.lower().endswith(";base64")):
        raise InvalidMedia(f"{name}: must be a file or a base64 data: URI (data:…;base64,…)", param=name)
    if len(payload) > 4 * (limit // 3 + 1):
        raise too_large(name, limit)
    try:
        content = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidMedia(f"{name}: its data: URI is not valid base64", param=name) from None
    if len(content) > limit:
        raise too_large(name, limit)
    target.write_bytes(content)


async def prepare_drivers(context: GatewayContext, files: Mapping[str, Path]) -> Mapping[str, PreparedDriver]:
    """Check each driver, in threads, few at a time.

    Raises:
        InvalidMedia: a file is not what its field takes.
    """
    prepared = {}
    for name in DRIVERS:
        if name in files:
            async with context.decoders:
                prepared[name] = await asyncio.to_thread(prepare_driver, files[name], name)
    return prepared
