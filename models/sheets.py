"""Strict reading of the product's YAML files: safe tags, no repeated keys, errors that name the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from models.errors import ConfigError

if TYPE_CHECKING:
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


def read_sheet(file: Path | Traversable, name: str) -> Any:
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
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {error}", param=name) from error


def describe(error: ValidationError, name: str) -> ConfigError:
    """Turn a schema error into one that names file, field, what was given and why it is refused.

    `param` is the dotted path of the first field; further ones follow in the message.
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
        lines.append(f"{field}: {problem['msg']}{shown}")
    first = named[0]
    return ConfigError(f"{name}: " + "; ".join(lines), param=name if first == "(root)" else first)
