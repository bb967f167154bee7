"""What every provider means by the same statuses and words. Pure.

No message repeats what a provider wrote: its texts may quote the prompt. What is told is the status, a code
such as `E006`, and the name of a field.
"""

from __future__ import annotations

import re

from models.errors import (
    ContentRefused,
    I2VError,
    InputRefused,
    ProviderAuth,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)
from models.providers.answers import Answer

_EMPTY_ACCOUNT = re.compile(
    r"exhausted balance|insufficient (?:credit|balance|fund)|out of credit|spend(?:ing)? limit", re.IGNORECASE
)
"""fal answers 403 `User is locked. Reason: Exhausted balance. …`, Replicate 402 `Insufficient credit`."""
_CONTENT = re.compile(
    r"\bE005\b|flagged|nsfw|content[ _]polic|moderat|sensitive (?:content|material)"
    r"|safety (?:system|filter|check)",
    re.IGNORECASE,
)
"""Replicate: `The input or output was flagged as sensitive. … (E005)`, and what single models write."""
_FIELD = re.compile(r"[A-Za-z_][\w.\-]{0,63}")


def account_refusal(name: str, answer: Answer) -> I2VError | None:
    """What concerns the account or the moment, not the call; None for any other status.

    401 and 403: `ProviderAuth`; 402, or words that say the account is empty: `QuotaExhausted`; 429:
    `RateLimited`.
    """
    status = answer.status
    if status == 402 or (status == 403 and _EMPTY_ACCOUNT.search(answer.text[:4096])):
        return QuotaExhausted(f"{name}: the account has no money or quota left ({status})")
    if status in (401, 403):
        return ProviderAuth(f"{name}: the key is refused ({status})")
    if status == 429:
        return RateLimited(f"{name}: too many requests (429)", retry_after_s=answer.retry_after_s)
    return None


def judged(name: str, answer: Answer, what: str) -> Answer:
    """The answer of a request that may be repeated, when it is a 2xx.

    Args:
        name: The provider.
        answer: Any answer.
        what: What was asked for, for messages (`the listing`).

    Raises:
        ProviderAuth, QuotaExhausted, RateLimited, ProviderUnavailable: it is not.
    """
    if answer.ok:
        return answer
    raise account_refusal(name, answer) or ProviderUnavailable(
        f"{name}: {what} answers {answer.status}", retry_after_s=answer.retry_after_s
    )


def rejected_upload(name: str, answer: Answer, file: str) -> I2VError:
    """Why an input was not taken up: 400, 413, 415 and 422 are the file's fault."""
    if answer.status in (400, 413, 415, 422):
        return InputRefused(f"{name} does not take {file} up ({answer.status})", param="image")
    return account_refusal(name, answer) or ProviderUnavailable(
        f"{name}: the upload answers {answer.status}", retry_after_s=answer.retry_after_s
    )


def content_refusal(name: str, text: str) -> ContentRefused | None:
    """`ContentRefused` when the words are those of a content check."""
    return ContentRefused(f"{name}: its rules on content refuse this clip") if _CONTENT.search(text) else None


def field_name(told: object) -> str | None:
    """The last part of a field's path as the provider names it; None where that is no name."""
    found = _FIELD.fullmatch(str(told).strip())
    return None if found is None else found[0].removeprefix("body.").removeprefix("input.")
