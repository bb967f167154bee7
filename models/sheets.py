"""Strict reading of the product's YAML files: safe tags, no repeated keys, errors with line and field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from pydantic import ValidationError


_UNKNOWN = "literal['unknown']"
"""How pydantic names the branch of `models.card.Unknown` in the place of an error."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a repeated key is an error: the plain loader keeps the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not a word", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} repeats", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A parsed file that still knows its lines.

    Attributes:
        name: How errors call the file.
        content: What was parsed.
        root: The syntax tree; None for an empty file.
    """

    name: str
    content: Any
    root: yaml.Node | None

    def line(self, path: Sequence[int | str]) -> int | None:
        """The line, from 1, of the deepest part of a path that the file has.

        Parts that name no key are passed over: schema errors put names of variants into their paths, and a
        field that is missing has no line of its own.
        """
        node = self.root
        if node is None:
            return None
        line = node.start_mark.line
        for part in path:
            found = _child(node, part)
            if found is not None:
                line, node = found
        return int(line) + 1


def read_sheet(file: Path | Traversable, name: str) -> Any:
    """Parse one YAML file; see `open_sheet`."""
    return open_sheet(file, name).content


def open_sheet(file: Path | Traversable, name: str) -> Sheet:
    """Parse one YAML file.

    Args:
        file: What to read, as UTF-8.
        name: How errors call it.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or repeats a key; names file and line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot be read: {error}", param=name) from error
    try:
        loader = _StrictLoader(text)
    except yaml.YAMLError as error:  # a character that no YAML may hold
        raise ConfigError(f"{name}: not valid YAML: {error}", param=name) from error
    try:
        root = loader.get_single_node()
        return Sheet(name, None if root is None else loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = "" if mark is None else f"line {mark.line + 1}: "
        told = error.problem or error.context or "the parser gives no reason"
        raise ConfigError(f"{name}: {at}not valid YAML: {told}", param=name) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {error}", param=name) from error
    finally:
        loader.dispose()


def _child(node: yaml.Node, part: int | str) -> tuple[int, yaml.Node] | None:
    """Line and node of one key or index; None where there is none."""
    if isinstance(node, yaml.SequenceNode):
        if not isinstance(part, int) or part >= len(node.value):
            return None
        item = node.value[part]
        return item.start_mark.line, item
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == part:
            return key.start_mark.line, value
    for merged in _merged(node):
        found = _child(merged, part)
        if found is not None:
            return found
    return None


def _merged(node: yaml.MappingNode) -> Iterator[yaml.Node]:
    """What `<<` lays under a mapping."""
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            yield from value.value if isinstance(value, yaml.SequenceNode) else (value,)


def describe(
    error: ValidationError, name: str, sheet: Sheet | None = None, under: Sequence[int | str] = ()
) -> ConfigError:
    """Turn a schema error into one that names file, line, field, what was given and why it is refused.

    `param` is the dotted path of the first field; further ones follow in the message.

    Args:
        error: From pydantic.
        name: How the error calls file and row.
        sheet: The file, when lines shall be named.
        under: Where in the file the validated part begins.
    """
    lines = []
    problems = error.errors(include_url=False)
    # Where a figure may be `unknown`, both branches complain: the one that wanted the word adds nothing.
    gaps = {problem["loc"][:-1] for problem in problems if problem["loc"][-1:] == (_UNKNOWN,)}
    named: list[str] = []
    for problem in problems:
        loc = problem["loc"]
        if loc[-1:] == (_UNKNOWN,):
            continue
        # What follows the field of such a figure is the name of the branch.
        gap = next((len(at) for at in gaps if loc[: len(at)] == at), None)
        parts = loc if gap is None else (*loc[:gap], *loc[gap + 1 :])
        field = ".".join(str(part) for part in parts) or "(root)"
        named.append(field)
        given = problem["input"]
        shown = "" if isinstance(given, dict | list) else f" (given {given!r})"
        at = None if sheet is None else sheet.line((*under, *parts))
        lines.append(f"{'' if at is None else f'line {at}: '}{field}: {problem['msg']}{shown}")
    first = named[0]
    return ConfigError(f"{name}: " + "; ".join(lines), param=name if first == "(root)" else first)
