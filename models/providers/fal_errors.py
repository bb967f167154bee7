"""What fal's refusals and failed runs mean. Decided by `type` and `error_type` only, never by words; pure.

Sources, read 2026-11-21: fal.ai/docs/documentation/model-apis/errors (types of a run's `detail` list) and
fal.ai/docs/documentation/model-apis/request-errors (`error_type` of the platform, also in `X-Fal-Error-Type`
and in the status of a failed run).
"""

from __future__ import annotations

import re
from typing import Any

from models.errors import (
    ContentRefused,
    I2VError,
    InputRefused,
    ModelRetired,
    ProviderFault,
    ProviderUnavailable,
    SchemaChanged,
)
from models.providers.answers import Answer
from models.providers.refusals import call_refusal, field_name

NAME = "fal"
CONTENT = frozenset({"content_policy_violation"})
INPUT = frozenset({
    "image_too_small", "image_too_large", "image_load_error", "file_download_error", "face_detection_error",
    "file_too_large", "greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of",
    "sequence_too_short", "sequence_too_long", "one_of", "feature_not_supported", "audio_duration_too_long",
    "audio_duration_too_short", "unsupported_audio_format", "unsupported_image_format", "bad_request",
    "unsupported_video_format", "video_duration_too_long", "video_duration_too_short", "invalid_archive",
    "archive_file_count_below_minimum", "archive_file_count_exceeds_maximum", "no_media_generated",
})  # fmt: skip
"""The input's own fault (mostly 422, not retryable): the next offer may take it."""
FAULTS = frozenset({
    "internal_server_error", "generation_timeout", "downstream_service_error",
    "downstream_service_unavailable", "request_timeout", "startup_timeout", "runner_scheduling_failure",
    "runner_connection_timeout", "runner_disconnected", "runner_connection_refused",
    "runner_connection_error", "runner_incomplete_response", "runner_server_error", "internal_error",
})  # fmt: skip
"""The run's fault, or fal's machines' (after up to ten tries of their own). `X-Fal-Retryable` says whether
another try can help."""
CANCELLED = frozenset({"client_cancelled", "client_disconnected"})
UNKNOWN_FIELD = frozenset({"extra_forbidden", "value_error.extra", "unexpected_keyword_argument"})
MISSING_FIELD = frozenset({"missing", "value_error.missing", "missing_argument"})
WRONG_TYPE = re.compile(r"type_error.*|.*_type|.*_parsing")
"""pydantic's types of a value of the wrong kind (`string_type`, `int_parsing`, `type_error.integer`): our
map's fault and not the client's, so the schema has changed."""


def error_type_of(answer: Answer) -> str | None:
    """The platform's own word, in the header or in a flat body."""
    told = answer.headers.get("x-fal-error-type") or answer.fields().get("error_type")
    return told if isinstance(told, str) and told else None


def run_failure(answer: Answer, ref: str, error_type: str | None = None) -> I2VError | None:
    """What a run's 4xx or 5xx result means; None when it does not say that the run failed.

    Args:
        answer: The result.
        ref: The endpoint, for messages.
        error_type: What the run's status told.
    """
    for entry in _details(answer):
        return _by_type(str(entry.get("type")), entry.get("loc"), answer, ref)
    told = error_type_of(answer) or error_type
    if told is not None:
        return _by_type(told, None, answer, ref)
    if answer.status in (404, 410):
        return ProviderFault(f"{NAME}: the run of {ref} ended and its result is gone")
    if answer.status in (400, 422):
        return InputRefused(f"{NAME}: {ref} does not accept this input ({answer.status})")
    if answer.status == 500 and "detail" in answer.fields():
        return ProviderFault(f"{NAME}: the run of {ref} failed (500)")
    return None


def _by_type(told: str, loc: Any, answer: Answer, ref: str) -> I2VError:
    field = field_name(loc[-1]) if isinstance(loc, list) and loc else None
    where = f" ({field})" if field else ""
    again = answer.headers.get("x-fal-retryable") or answer.headers.get("x-fal-needs-retry") or ""
    # fal: a type that is not listed is to be read as a 422 that another try does not mend.
    error: I2VError = InputRefused(f"{NAME}: {ref} does not accept this input{where}", param=field)
    if told in CONTENT:
        error = ContentRefused(f"{NAME}: its rules on content refuse this clip{where}", param=field)
    elif told in UNKNOWN_FIELD:
        error = SchemaChanged(f"{NAME}: {ref} does not know the field {field}", param=field)
    elif told in MISSING_FIELD:
        error = SchemaChanged(f"{NAME}: {ref} wants the field {field}", param=field)
    elif told in INPUT:
        error = InputRefused(f"{NAME}: {ref} does not accept this input: {told}{where}", param=field)
    elif told in FAULTS and again.lower() in ("false", "0"):
        error = InputRefused(f"{NAME}: {ref} cannot make this clip ({told}), and another try cannot help")
    elif told in FAULTS:
        error = ProviderFault(f"{NAME}: the run of {ref} failed: {told}")
    elif told in CANCELLED:
        error = ProviderFault(f"{NAME}: the run of {ref} was cancelled")
    elif WRONG_TYPE.fullmatch(told):
        error = SchemaChanged(f"{NAME}: {ref} wants another type of {field}", param=field)
    elif answer.status >= 500:
        error = ProviderFault(f"{NAME}: the run of {ref} failed ({answer.status})")
    return error


def submit_refusal(answer: Answer, ref: str) -> I2VError:
    """What a refused submission means: a 4xx or 503."""
    common = call_refusal(NAME, answer, ref)
    if common is not None:
        return common
    if answer.status == 404:
        return ModelRetired(f"{NAME} does not serve {ref} (404)")
    if answer.status == 413:
        return InputRefused(f"{NAME}: the inputs of {ref} are too large (413)", param="image")
    if answer.status in (400, 422):
        failure = run_failure(answer, ref)
        if failure is not None:
            return failure
    return ProviderUnavailable(f"{NAME} answers {answer.status}", retry_after_s=answer.retry_after_s)


def _details(answer: Answer) -> list[dict[str, Any]]:
    detail = answer.fields().get("detail")
    return [entry for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []
