"""Form fields with bracketed names back into nested fields, as the OpenAI client flattens `extra_body`.

The client (openai 3.52, `_qs.py` with `array_format="brackets"`) writes a mapping as `routing[objective]`,
a list as repeated `tags[]`, and a list of mappings as repeated `frame_images[][frame_type]`, grouped by
name and not by element. So the k-th `a[][b]` belongs to the k-th element of `a`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

from models.errors import InvalidRequest

NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}(\[[A-Za-z0-9_.\-]{0,64}\]){0,4}")
MAX_INDEX = 63
Leaf = TypeVar("Leaf")
Tree = dict[str | int, Any]


def expand(pairs: Iterable[tuple[str, Leaf]]) -> dict[str, Any]:
    """Nest `pairs` by their bracketed names.

    A plain name that comes more than once becomes a list. Raises `InvalidRequest` naming the field when
    a name is malformed or used both for a value and for a group.
    """
    root: Tree = {}
    times: Counter[str] = Counter()
    for name, value in pairs:
        _place(root, name, _path(name, times[name]), value, repeated=times[name] > 0)
        times[name] += 1
    return {str(key): _lists(value, str(key)) for key, value in root.items()}


def _path(name: str, occurrence: int) -> list[str | int]:
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"form field name {name[:80]!r} is malformed; nested fields are written a[b], lists a[]",
            param=name[:80],
        )
    first, *rest = name.replace("]", "").split("[")
    if rest.count("") > 1:
        raise InvalidRequest(f"{name}: a list inside a list has no form notation; send JSON", param=name)
    path: list[str | int] = [first]
    for part in rest:
        index = occurrence if part == "" else int(part) if part.isdecimal() else None
        if index is not None and index > MAX_INDEX:
            raise InvalidRequest(f"{name}: a list may have at most {MAX_INDEX + 1} elements", param=name)
        path.append(part if index is None else index)
    return path


def _place(root: Tree, name: str, path: list[str | int], value: object, *, repeated: bool) -> None:
    node = root
    for part in path[:-1]:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise _clash(name)
        node = child
    last = path[-1]
    if last not in node:
        node[last] = value
    elif repeated and not isinstance(node[last], dict):
        before = node[last]
        node[last] = [*before, value] if isinstance(before, list) else [before, value]
        if len(node[last]) > MAX_INDEX + 1:
            raise InvalidRequest(f"{name}: given more than {MAX_INDEX + 1} times", param=name)
    else:
        raise _clash(name)


def _clash(name: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: this name is used for a value and for a group of fields", param=name)


def _lists(value: object, name: str) -> object:
    if not isinstance(value, dict):
        return value
    numbered = [isinstance(key, int) for key in value]
    if all(numbered):
        return [_lists(value[key], name) for key in sorted(value)]
    if any(numbered):
        raise InvalidRequest(f"{name}: list elements and named fields are mixed", param=name)
    return {key: _lists(child, name) for key, child in value.items()}
