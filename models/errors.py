"""The one error hierarchy of the product.

Every error has a stable `code` (part of the API), an HTTP status used when a client caused or can see
it, and a `disposition` that tells the dispatcher what to do with the attempt that raised it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Disposition(StrEnum):
    """What the dispatcher does with a job after an attempt failed."""

    RETRY = "retry"
    """The same candidate may succeed elsewhere or later (a lost process, a full disk)."""
    FALLBACK = "fallback"
    """This offer cannot do this job (input refused, out of memory at this size): try the next one."""
    FAIL = "fail"
    """No candidate can do this job: tell the client now."""


class I2VError(Exception):
    """Base of all product errors.

    `param` names the offending request field; `allowed` lists what would have been accepted.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    disposition: ClassVar[Disposition] = Disposition.FAIL
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, *, param: str | None = None, allowed: object | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.allowed = allowed


# --- what a client did -----------------------------------------------------------------------


class InvalidRequest(I2VError):
    """A field is missing, malformed or out of range."""

    code = "invalid_request"
    status = 400
    title = "Invalid request"


class InvalidImage(InvalidRequest):
    """The upload is not a photograph that the product accepts."""

    code = "invalid_image"
    title = "Invalid image"


class InvalidMedia(InvalidRequest):
    """The upload is not a video or sound that the product accepts as a driver of the clip."""

    code = "invalid_media"
    title = "Invalid driving video or audio"


class PayloadTooLarge(I2VError):
    """The body, an upload or the decoded image exceeds a limit."""

    code = "payload_too_large"
    status = 413
    title = "Payload too large"


class UnknownModel(InvalidRequest):
    """`model` names no card of the catalog."""

    code = "unknown_model"
    status = 404
    title = "Unknown model"


class NoRoute(I2VError):
    """No model can do what was asked; the decision with counter-offers rides along."""

    code = "no_route"
    status = 422
    title = "No model can do this"

    def __init__(self, message: str, *, decision: object = None, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.decision = decision


class JobNotFound(I2VError):
    """The job does not exist, or belongs to another tenant."""

    code = "job_not_found"
    status = 404
    title = "Job not found"


class NotReady(I2VError):
    """The clip (or variant) asked for does not exist yet, or never will."""

    code = "not_ready"
    status = 404
    title = "Not ready"


class IdempotencyMismatch(I2VError):
    """The same `Idempotency-Key` came with another request."""

    code = "idempotency_mismatch"
    status = 422
    title = "Idempotency key reused"


class HookRefused(I2VError):
    """A provider's webhook is forged, too old, or for nobody we know."""

    code = "hook_refused"
    status = 401
    title = "Webhook refused"


class StoreUnavailable(I2VError):
    """The job store could not be written in time; nothing was accepted."""

    code = "store_unavailable"
    status = 503
    title = "Job store unavailable"
    disposition = Disposition.RETRY


class MediaUnavailable(I2VError):
    """The media store refused a read or write (full disk, missing bucket)."""

    code = "media_unavailable"
    status = 503
    title = "Media store unavailable"
    disposition = Disposition.RETRY


class FleetUnavailable(I2VError):
    """No model is ready to take work now; the same request may do later."""

    code = "fleet_unavailable"
    status = 503
    title = "No model is ready"
    disposition = Disposition.RETRY


class ConfigError(I2VError):
    """A card, profile, serve_config.yaml or environment value is wrong."""

    code = "config_error"
    title = "Configuration error"


# --- what a run can meet ---------------------------------------------------------------------


class RunnerError(I2VError):
    """Base of errors raised while a clip is made."""

    code = "runner_error"
    title = "Generation failed"
    disposition = Disposition.RETRY


class Cancelled(RunnerError):
    """The cancel flag was seen at a step boundary."""

    code = "cancelled"
    title = "Cancelled"
    disposition = Disposition.FAIL


class OutOfMemory(RunnerError):
    """The accelerator or host ran out of memory at this geometry; the replica is recycled."""

    code = "out_of_memory"
    title = "Out of memory"
    disposition = Disposition.FALLBACK


class CheckpointMissing(RunnerError):
    """The weights are not where the card or the operator says, or are not safetensors."""

    code = "checkpoint_missing"
    title = "Checkpoint missing"
    disposition = Disposition.FALLBACK


class InputRefused(RunnerError):
    """This model does not accept this photograph, prompt or control."""

    code = "input_refused"
    title = "Input refused by the model"
    disposition = Disposition.FALLBACK


class EncodeFailed(RunnerError):
    """The frames could not be written as the promised MP4."""

    code = "encode_failed"
    title = "Encoding failed"


class RankLost(RunnerError):
    """A rank process died; its gang is rebuilt and the clip runs again."""

    code = "rank_lost"
    title = "Rank lost"


class CheckpointUnusable(RunnerError):
    """A clip's saved state was cut short, or another model, shape or version wrote it; it starts anew."""

    code = "checkpoint_unusable"
    title = "Saved state unusable"


class Stalled(RunnerError):
    """No step finished within three times the predicted step time."""

    code = "stalled"
    title = "Stalled"


class StaleFence(I2VError):
    """A write carried a fence that a later attempt has overtaken; it was refused."""

    code = "stale_fence"
    status = 409
    title = "Stale fence"


# --- what a provider can answer --------------------------------------------------------------


class ProviderError(RunnerError):
    """Base of what hosted providers and engines answer, or fail to.

    `retry_after_s` is the provider's own word on when to come back; None where it gave none.
    """

    code = "provider_error"
    title = "The provider failed"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        allowed: object | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, allowed=allowed)
        self.retry_after_s = retry_after_s


class ProviderUnavailable(ProviderError):
    """It could not be reached, or said that it cannot answer; nothing was accepted."""

    code = "provider_unavailable"
    title = "The provider is away"


class RateLimited(ProviderError):
    """Too many requests or calls at once; nothing was accepted."""

    code = "rate_limited"
    title = "The provider's limit is reached"


class AccountFull(RateLimited):
    """The account has taken no more calls for as long as we wait; others may have room."""

    code = "account_full"
    title = "The account is full"


class PriceUnknown(ProviderError):
    """The offer has no known price, and the account may spend no more than its cap: nothing was sent."""

    code = "price_unknown"
    title = "The price is not known"
    disposition = Disposition.FALLBACK


class ProviderFault(ProviderError):
    """The provider took the call and its own machines failed at it."""

    code = "provider_fault"
    title = "The provider failed at the clip"


class ProviderAuth(ProviderError):
    """The key is missing or wrong, or the account is locked: all of it is out until it works again.

    Nothing was sent and the job is not at fault: it runs elsewhere, or waits for the account.
    """

    code = "provider_auth"
    title = "The provider refuses the key"


class QuotaExhausted(ProviderError):
    """The account has no money or no quota left: it is out for a while; the job as with `ProviderAuth`."""

    code = "quota_exhausted"
    title = "The provider's account is empty"


class SpendCapReached(ProviderError):
    """Our own cap on what may be spent with this account is reached: as with `QuotaExhausted`."""

    code = "spend_cap_reached"
    title = "Spend cap reached"


class ModelRetired(ProviderError):
    """The provider does not serve this model (any more), or not to this account: the offer is flagged."""

    code = "model_retired"
    title = "The provider does not serve this model"
    disposition = Disposition.FALLBACK


class SchemaChanged(ProviderError):
    """The provider refuses a field (`param`) that the card sends: the offer is flagged."""

    code = "schema_changed"
    title = "The provider's schema has changed"
    disposition = Disposition.FALLBACK


class ContentRefused(ProviderError):
    """The provider's rules on content refuse the photograph or the words; it is not shopped round."""

    code = "content_refused"
    title = "Content refused"
    disposition = Disposition.FAIL


class ResultUnusable(ProviderError):
    """What came back is no video, is far too large, or is gone; it may have cost money all the same."""

    code = "result_unusable"
    title = "The provider's result is unusable"
    disposition = Disposition.FALLBACK


class OutcomeUnknown(ProviderError):
    """A paid call may or may not have been accepted, or what became of it cannot be found out.

    It is never sent again to the same offer; `policies.unknown` says what happens to the job.
    """

    code = "outcome_unknown"
    title = "Outcome unknown"
    disposition = Disposition.FALLBACK
