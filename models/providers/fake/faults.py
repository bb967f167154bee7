"""What can go wrong, on order: a list of faults, each used by the next requests that it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FITS: Mapping[str, frozenset[str] | None] = {
    "rate_limited": frozenset({"submit"}),
    "error_before_accept": frozenset({"submit"}),
    "error_after_accept": frozenset({"submit"}),
    "lost_answer": frozenset({"submit"}),
    "unreachable": frozenset({"submit"}),
    "slow_download": frozenset({"download"}),
    "broken_download": frozenset({"download"}),
    "expired_url": frozenset({"download"}),
    "wrong_content_type": frozenset({"download"}),
    "not_a_video": frozenset({"download"}),
    "huge_result": frozenset({"download"}),
    "webhook_twice": frozenset({"webhook"}),
    "webhook_late": frozenset({"webhook"}),
    "webhook_forged": frozenset({"webhook"}),
    "webhook_missing": frozenset({"webhook"}),
    "cancel_race": frozenset({"cancel"}),
    "cancel_deaf": frozenset({"cancel"}),
    "fails": frozenset({"submit"}),
    "refuses_input": frozenset({"submit"}),
    "refuses_content": frozenset({"submit"}),
    "wrong_key": None,
    "no_quota": frozenset({"submit"}),
    "retired": frozenset({"submit", "model"}),
    "schema_changed": frozenset({"submit"}),
    "look_errors": frozenset({"look"}),
    "forgets": frozenset({"look"}),
}
"""Every fault and the operations whose requests it fits; None: all that ask for a key."""
KEYLESS = frozenset({"download", "webhook"})
"""Operations that (mostly) go without a key."""


@dataclass(slots=True)
class Fault:
    """One entry of the script.

    Attributes:
        name: A key of `FITS`.
        left: How many more requests it is for.
        operation: Only requests of this operation; None: all that `FITS` says.
        endpoint: Only requests whose path contains this.
        retry_after_s: Of `rate_limited`: what `Retry-After` says.
        seconds: Of `slow_download` and `webhook_late`: how long.
        status: HTTP status instead of the usual one (of `expired_url`, `look_errors`, `error_…`).
        field: Of `schema_changed`: the field that is refused as unknown; None: the last one of the body.
        bytes: Of `huge_result`: how many, 100 times the clip where it is None.
        declared: Of `huge_result`: the size stands in `Content-Length`.
    """

    name: str
    left: int = 1
    operation: str | None = None
    endpoint: str | None = None
    retry_after_s: float = 1.0
    seconds: float = 1.0
    status: int | None = None
    field: str | None = None
    bytes: int | None = None
    declared: bool = True

    def fits(self, operation: str, path: str) -> bool:
        """True when a request of this operation to this path is to meet it."""
        wanted = frozenset({self.operation}) if self.operation else FITS[self.name]
        here = operation not in KEYLESS if wanted is None else operation in wanted
        return self.left > 0 and here and (self.endpoint is None or self.endpoint in path)


class Script:
    """The faults that are still to come, in order."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Append a fault.

        Raises:
            ValueError: there is none of that name, or it is for no request at all.
        """
        if fault.name not in FITS:
            raise ValueError(f"no fault {fault.name!r}; there are {', '.join(FITS)}")
        if fault.left < 1:
            raise ValueError(f"times must be at least 1; got {fault.left}")
        self._faults.append(fault)

    def take(self, operation: str, path: str) -> Fault | None:
        """The first fault that fits, used up by one."""
        for fault in self._faults:
            if fault.fits(operation, path):
                fault.left -= 1
                return fault
        return None

    def give_back(self, fault: Fault) -> None:
        """It could not be played on this request (a body that was refused): the next one gets it."""
        fault.left += 1

    def clear(self) -> None:
        """Forget what is still to come."""
        self._faults.clear()

    @property
    def pending(self) -> dict[str, int]:
        """How many requests each fault is still for."""
        counts: dict[str, int] = {}
        for fault in self._faults:
            if fault.left:
                counts[fault.name] = counts.get(fault.name, 0) + fault.left
        return counts
