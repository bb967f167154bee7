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
    ModelRetired,
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
_KEY = re.compile(
    r"\b(?:api|access|auth\w*)[ _-]?(?:key|token)"
    r"|\b(?:invalid|wrong|expired|revoked|disabled|missing) (?:key|token|credential)"
    r"|\bauthentication\b|\bunauthenticated\b|\buser is locked\b",
    re.IGNORECASE,
)
"""A 403 about the key or the whole account: fal `Authentication is required …  Use a valid API key.` and
`User is locked. Reason: …`, Replicate `You did not pass a valid authentication token`."""
_EXPIRED = re.compile(r"expired", re.IGNORECASE)
"""Storage's 400 for a signed link that ran out: `<Code>ExpiredToken</Code>` (Google Cloud Storage)."""
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


def call_refusal(name: str, answer: Answer, ref: str) -> I2VError | None:
    """As `account_refusal`, of the submission of one model.

    A 403 that speaks neither of the key nor of the account concerns this model alone (not released to this
    account, not in its region): `ModelRetired`, so that the account's other models stay in use.

    Args:
        name: The provider.
        answer: The refusal.
        ref: The model, for messages.
    """
    found = account_refusal(name, answer)
    if isinstance(found, ProviderAuth) and answer.status == 403 and not _KEY.search(answer.text[:4096]):
        return ModelRetired(f"{name}: the account may not use {ref} (403)")
    return found


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


def rejected_upload(name: str, answer: Answer, file: str, *, keyed: bool = True) -> I2VError:
    """Why an input was not taken up: 400, 413, 415 and 422 are the file's fault.

    Args:
        name: The provider.
        answer: The refusal.
        file: Which input, for messages.
        keyed: Whether the key was sent. Without it (a signed link to storage) no refusal is about the
            account: the link has run out or is not for us, and another one may do.
    """
    if not keyed and (
        answer.status in (401, 402, 403, 404, 410)
        or (answer.status == 400 and _EXPIRED.search(answer.text[:4096]))
    ):
        return ProviderUnavailable(f"{name}: the upload's link is refused ({answer.status})")
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
