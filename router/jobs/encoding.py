"""What may be stored: JSON and text that both databases take, and the media keys inside a document."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.errors import InvalidRequest

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def encode_json(value: object) -> str:
    """JSON text for a column.

    PostgreSQL stores neither NUL nor lone surrogates, and JSON has no NaN: text is repaired with U+FFFD
    and such numbers become null, so that an odd error message never keeps an outcome from being written.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain_mapping
        )
        text.encode()
    except ValueError:  # NaN, infinity, or a lone surrogate (UnicodeEncodeError)
        return encode_json(_repaired(value))
    if "\\u0000" in text:
        return json.dumps(_repaired(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text


def _plain_mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _repaired(value: object) -> object:
    if isinstance(value, str):
        return str(value).encode("utf-8", "replace").decode().replace("\0", _REPLACEMENT)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_repaired(key): _repaired(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_repaired(item) for item in value]
    return value


def check_text(param: str, text: str | None) -> None:
    """Raise `InvalidRequest` when a client's text cannot be stored as it is."""
    if text is None:
        return
    if "\0" in text:
        raise InvalidRequest(f"{param} must not contain the NUL character", param=param)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{param} must be valid Unicode text", param=param) from None


def media_keys(document: object) -> tuple[str, ...]:
    """All media keys in the `media` member of a request or result, each once, in order.

    A member is a key itself, a mapping with a `key`, or a nesting of these.
    """
    if not isinstance(document, Mapping):
        return ()
    return tuple(dict.fromkeys(_keys(document.get("media"))))


def _keys(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        if isinstance(node.get("key"), str):
            yield node["key"]
        else:
            for item in node.values():
                yield from _keys(item)
    elif isinstance(node, Sequence):
        for item in node:
            yield from _keys(item)
