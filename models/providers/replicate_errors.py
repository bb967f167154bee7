"""What Replicate's refusals and failed runs mean. Tables with their sources; pure.

Sources, read 2026-11-21: replicate.com/docs/reference/error-codes (E1000 and up, Replicate's own). E001-E006
are what the wrappers of hosted vendors' models print: E001-E005 in a public copy of such a wrapper, E005 also
in predictions quoted by several projects, E006 in one user's comparison of 17 models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from models.errors import (
    I2VError,
    InputRefused,
    ModelRetired,
    ProviderFault,
    ProviderUnavailable,
    SchemaChanged,
)
from models.providers.answers import Answer
from models.providers.refusals import call_refusal, content_refusal, field_name

NAME = "replicate"
RUN_CODES: Mapping[str, str] = {
    "E001": "the vendor behind the model has no quota left for Replicate",
    "E002": "the vendor behind the model refuses Replicate's key",
    "E003": "the vendor behind the model is at its limit",
    "E004": "the vendor behind the model is away",
    "E1000": "unknown error",
    "E1001": "out of memory",
    "E4875": "webhook URL is empty",
    "E6716": "the prediction did not start in time",
    "E8367": "the prediction was stopped by its host",
    "E8765": "health check failed",
    "E9243": "the prediction could not be started",
    "E9825": "the result could not be stored",
}
"""Codes at the end of a failed run's `error` that are no fault of the input."""
_CODE = re.compile(r"\bE\d{3,4}\b")
_INPUT = re.compile(
    r"\bE006\b|invalid[ _](?:input|image|video|audio|argument|parameter)|no (?:face|body|person|human)"
    r"|(?:too (?:small|large|short|long)|not supported|unsupported|cannot identify image)",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"no longer (?:available|supported|served)|deprecated|retired|has been (?:removed|disabled)", re.I
)
_MEMORY = re.compile(r"out of memory|\bOOM\b", re.IGNORECASE)
_REQUIRED = re.compile(r"(\w[\w.\-]*) is required", re.IGNORECASE)
_EXTRA = re.compile(
    r"(?:additional|unknown|unexpected) (?:property|properties|field|input)s?:? ['\"]?([\w.\-]+)", re.I
)
_LINE = re.compile(r"^\s*-?\s*(?:input\.)?([\w.\-]+)\s*:\s*(.*)$")


def run_failure(text: str) -> I2VError:
    """What the `error` of a failed prediction means; of an unknown text, the provider's fault."""
    refused = content_refusal(NAME, text)
    if refused is not None:
        return refused
    code = _CODE.search(text)
    known = RUN_CODES.get(code[0]) if code else None
    if code is not None and known is not None:
        return ProviderFault(f"{NAME}: the run failed with {code[0]} ({known})")
    if _MEMORY.search(text):
        return ProviderFault(f"{NAME}: the run failed (out of memory)")
    if _GONE.search(text):
        return ModelRetired(f"{NAME}: the model is no longer served")
    if _INPUT.search(text):
        said = f" ({code[0]})" if code else ""
        return InputRefused(f"{NAME}: the model does not accept this input{said}")
    return ProviderFault(f"{NAME}: the run failed" + (f" with {code[0]}" if code else ""))


def submit_refusal(answer: Answer, ref: str) -> I2VError:
    """What a refused submission means.

    Args:
        answer: A 4xx or 503.
        ref: The model, for messages.
    """
    status = answer.status
    common = call_refusal(NAME, answer, ref)
    if common is not None:
        return common
    if status == 404:
        return ModelRetired(f"{NAME} does not serve {ref} (404)")
    if status in (400, 422):
        return _input_refusal(answer, ref)
    if status == 413:
        return InputRefused(f"{NAME}: the inputs of {ref} are too large (413)", param="image")
    return ProviderUnavailable(f"{NAME} answers {status}", retry_after_s=answer.retry_after_s)


def _input_refusal(answer: Answer, ref: str) -> I2VError:
    told = answer.fields()
    detail = str(told.get("detail") or "")
    if re.search(r"version does not exist|invalid version", f"{told.get('title')} {detail}", re.IGNORECASE):
        return ModelRetired(f"{NAME} does not serve the pinned version of {ref} ({answer.status})")
    for field, why in _complaints(told, detail):
        missing, extra = _REQUIRED.search(why), _EXTRA.search(why)
        if extra is not None:
            name = field_name(extra[1])
            return SchemaChanged(f"{NAME}: {ref} does not know the field {name}", param=name)
        if missing is not None:
            name = field_name(missing[1])
            return SchemaChanged(f"{NAME}: {ref} wants the field {name}", param=name)
        if re.search(
            r"invalid type|(?:expected|must be) an? (?:string|integer|number|boolean|array)", why, re.I
        ):
            return SchemaChanged(f"{NAME}: {ref} wants another type of {field}", param=field)
        return InputRefused(f"{NAME}: {ref} does not accept the value of {field}", param=field)
    return content_refusal(NAME, detail) or InputRefused(
        f"{NAME}: {ref} does not accept this input ({answer.status})"
    )


def _complaints(told: Mapping[str, Any], detail: str) -> list[tuple[str | None, str]]:
    """(field, why) pairs, from `invalid_fields` where there are any, else from the lines of `detail`."""
    listed = told.get("invalid_fields")
    if isinstance(listed, list) and listed:
        return [
            (field_name(row.get("field")), f"{row.get('type')} {row.get('description')}")
            for row in listed
            if isinstance(row, dict)
        ]
    found = []
    for line in detail.splitlines():
        match = _LINE.match(line)
        if match is not None:
            found.append((field_name(match[1]), match[2]))
    return found
