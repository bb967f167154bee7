"""What engines answer when they will not or cannot, as our errors. Pure.

Their words are looked at and never repeated: FastAPI and pydantic put the offending value into the text, and
that value may be the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from models.errors import (
    ContentRefused,
    I2VError,
    InputRefused,
    ModelRetired,
    OutOfMemory,
    ProviderAuth,
    ProviderError,
    ProviderFault,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    SchemaChanged,
)
from models.providers.answers import Answer

_MEMORY: Final = re.compile(r"out of memory|OutOfMemory", re.IGNORECASE)
_CONTENT: Final = re.compile(r"nsfw|safety check|content policy|guardrail|unsafe content", re.IGNORECASE)
_PICTURE: Final = re.compile(r"\bimage\b|input_reference|reference (image|media)", re.IGNORECASE)
_OTHER_MODEL: Final = re.compile(r"model mismatch|model .{0,200}(does not exist|not found)", re.IGNORECASE)
_QUEUE_FULL: Final = re.compile(r"queue is full|queue full|too many (tasks|requests)", re.IGNORECASE)
_UNKNOWN_FIELD: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
"""pydantic's types of errors for a field that the schema does not have."""

WORDS: Final = frozenset({"detail", "error", "message"})
"""Fields of engines' own errors: FastAPI's `detail`, SGLang's `error`, TensorRT-LLM's flat `message`."""


def refusal(name: str, answer: Answer) -> ProviderError | InputRefused:
    """A refused request, as an error; for submissions it means that nothing was accepted.

    Args:
        name: The engine.
        answer: A 4xx or 503.
    """
    status, told = answer.status, words_of(answer.fields())
    if status in (401, 402, 403):
        return _refused_account(name, status)
    if status == 429 or (status == 503 and _QUEUE_FULL.search(told)):
        return RateLimited(f"{name} takes no more work now ({status})", retry_after_s=answer.retry_after_s)
    if status in (404, 405):
        return ModelRetired(f"{name} has no such route or model ({status}); is it this kind of engine?")
    if status == 409:
        # vLLM-Omni keeps jobs in one process and answers 409 on all routes when it runs several.
        return ProviderUnavailable(f"{name} answers 409; vLLM-Omni needs --api-server-count 1")
    if status >= 500 or status in (408, 425):
        return ProviderUnavailable(
            f"{name} cannot take work now ({status})", retry_after_s=answer.retry_after_s
        )
    return _refused_body(name, status, answer.fields(), told)


def _refused_account(name: str, status: int) -> ProviderError:
    if status == 402:
        return QuotaExhausted(f"{name} asks for payment ({status})")
    return ProviderAuth(f"{name} refuses the key ({status})")


def failure(name: str, code: object, told: str) -> I2VError:
    """Why a job failed.

    Args:
        name: The engine.
        code: The HTTP-like code that vLLM-Omni gives with it; None elsewhere.
        told: The engine's words, which are looked at and not repeated.
    """
    if _MEMORY.search(told):
        return OutOfMemory(f"{name} ran out of memory at this clip")
    if _CONTENT.search(told):
        return ContentRefused(f"{name} refuses the content")
    if isinstance(code, int) and 400 <= code < 500:
        return InputRefused(f"{name} refuses the input ({code})", param=_picture(told))
    return ProviderFault(f"{name} failed at the clip")


def words_of(fields: Mapping[str, Any]) -> str:
    """The message of an error body, whatever its shape: `error` as object or text, or FastAPI's `detail`."""
    error = fields.get("error", fields.get("detail", fields.get("message", "")))
    if isinstance(error, dict):
        error = error.get("message", "")
    if isinstance(error, list):
        return " ".join(str(part.get("msg", "")) for part in error if isinstance(part, dict))
    return error if isinstance(error, str) else ""


def _refused_body(
    name: str, status: int, fields: Mapping[str, Any], told: str
) -> ProviderError | InputRefused:
    for part in _complaints(fields):
        place = part.get("loc")
        field = str(place[-1]) if isinstance(place, list) and place else None
        if part.get("type") in _UNKNOWN_FIELD:
            return SchemaChanged(f"{name} knows no field {field} ({status})", param=field)
        return InputRefused(f"{name} refuses {field or 'the request'} ({status})", param=field)
    if _OTHER_MODEL.search(told):
        return ModelRetired(f"{name} serves another model ({status})")
    if _CONTENT.search(told):
        return ContentRefused(f"{name} refuses the content ({status})")
    return InputRefused(f"{name} refuses the request ({status})", param=_picture(told))


def _complaints(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    detail = fields.get("detail")
    return [part for part in detail if isinstance(part, dict)] if isinstance(detail, list) else []


def _picture(told: str) -> str | None:
    return "image" if _PICTURE.search(told) else None
