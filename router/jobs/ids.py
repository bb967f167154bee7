"""Job ids: ours, unguessable, safe in a path and in a URL."""

from __future__ import annotations

import base64
import secrets

PREFIX = "vid_"
_RANDOM_BYTES = 16  # 128 bits: ids of other tenants cannot be guessed, twins do not happen


def new_job_id() -> str:
    """`vid_` and 26 lower-case base32 characters (16 random bytes)."""
    return PREFIX + base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().rstrip("=").lower()
