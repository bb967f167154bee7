"""Tell a lost rank from other errors: what torch raises when another process of the gang is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import DistError

from models.errors import RankLost

_WORDS = (
    "connection closed by peer",  # gloo, when the process ended
    "connection reset by peer",
    "broken pipe",
    "timed out waiting",  # gloo, when it is alive but does not come
    "application timeout",  # gloo, the call after that
    "pair closure",
    "nccl",
)


def is_lost_peer(error: BaseException) -> bool:
    """True for what gloo and NCCL raise when another rank of a collective is gone or does not come."""
    if isinstance(error, DistError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(phrase in words for phrase in _WORDS)


@contextmanager
def typed_peers(doing: str) -> Iterator[None]:
    """Raise `RankLost` where the body fails because of another rank; let all else through.

    Afterwards the ranks that remain disagree about what was exchanged: the gang is to be built anew.

    Args:
        doing: What was tried, for the message: "sharing a step".

    Raises:
        RankLost: another rank ended, or did not come within the time-out.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        if is_lost_peer(error):
            raise RankLost(f"another rank was lost while {doing}: {error}") from error
        raise
