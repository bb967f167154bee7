"""Where providers' keys come from: the environment, or a secrets file. Nowhere else, and never into a log."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from models.errors import ConfigError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
_VISIBLE = re.compile(r"[!-~]+")
"""What a key may consist of: bearer tokens are visible ASCII (RFC 6750, 2.1). A pasted line end or quotation
mark would fail only at the first request, with an error that quotes the header."""


def read_key(name: str, secrets: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key of that name, or None where nobody set it.

    Args:
        name: Environment variable, and entry of the file.
        secrets: File of `NAME=value` lines; `#` begins a comment line.
        environment: Wins over the file.

    Raises:
        ConfigError: the file cannot be read, others may read it, a line of it is none, or the key cannot go
            into a header. The value is never part of the message.
    """
    value = environment.get(name, "").strip()
    if not value and secrets is not None:
        value = read_secrets(secrets).get(name, "")
    if not value:
        return None
    if not _VISIBLE.fullmatch(value):
        told = f"{name}: the key holds spaces, line ends or characters outside visible ASCII, as no key does"
        raise ConfigError(told, param=name, allowed="visible ASCII")
    return value


def read_secrets(path: Path) -> Mapping[str, str]:
    """All entries of a secrets file. Raises `ConfigError` as `read_key` does."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = f"I2V_SECRETS: {path} cannot be read: {type(error).__name__}"
        raise ConfigError(told, param="I2V_SECRETS") from error
    if mode & OTHERS:
        raise ConfigError(
            f"I2V_SECRETS: {path} may be read by others (mode {stat.S_IMODE(mode):o}); chmod 600 it",
            param="I2V_SECRETS",
            allowed="600",
        )
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, equals, value = entry.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f"I2V_SECRETS: {path}, line {number}: is not NAME=value", param="I2V_SECRETS")
        found[name.strip()] = value.strip().strip("'\"")
    return found
