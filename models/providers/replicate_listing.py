"""Rows of Replicate's listing: is this the prediction that was made of our upload? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from models.errors import ProviderUnavailable
from models.providers.replicate_errors import NAME


def names_input(value: Any, uploaded: str) -> bool:
    """True when the uploaded file stands anywhere in an input, by its URL or by its id at another host."""
    if isinstance(value, str):
        tail = urlsplit(uploaded).path.rpartition("/")[2]
        return value == uploaded or (len(tail) >= 16 and tail in value)
    if isinstance(value, dict):
        return any(names_input(entry, uploaded) for entry in value.values())
    return isinstance(value, list) and any(names_input(entry, uploaded) for entry in value)


def unreadable(row: Mapping[str, Any], model: str) -> bool:
    """True for a prediction of the model whose input cannot be read any more."""
    other = isinstance(row.get("model"), str) and model and row["model"] != model
    return bool(row.get("data_removed") or not row.get("input")) and not other


def moment(told: Any, otherwise: float) -> float:
    """Unix seconds of an ISO 8601 time; `otherwise` when it is none."""
    try:
        moment = datetime.fromisoformat(str(told).replace("Z", "+00:00"))
    except ValueError:
        return otherwise
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def cursor_of(following: Any) -> str | None:
    """The cursor of the next page; only that is taken from the URL, so that the key stays at home.

    Raises:
        ProviderUnavailable: there is a next page and no cursor in its URL.
    """
    if following is None:
        return None
    found = parse_qs(urlsplit(str(following)).query).get("cursor")
    if not found:
        raise ProviderUnavailable(f"{NAME}: the listing goes on, and where cannot be read")
    return found[0]
