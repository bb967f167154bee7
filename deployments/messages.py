"""Serve's messages as people should see them: without terminal colours, and short."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 1000
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def told(messages: Iterable[str], longest: int = LONGEST) -> str:
    """The messages that say something, in one text of about `longest` characters.

    The middle gives way: a traceback's first words say what failed, and its last ones why.
    """
    text = " ".join(message for message in (_COLOUR.sub("", raw).strip() for raw in messages) if message)
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} ... {text[-half:]}"
