"""Strict reading of the product's YAML files: safe tags, no repeated keys, errors that name the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from models.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from pydantic import ValidationError


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
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"]) or "(root)"
        given = problem["input"]
        shown = "" if isinstance(given, dict | list) else f" (given {given!r})"
        lines.append(f"{field}: {problem['msg']}{shown}")
    first = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
    return ConfigError(f"{name}: " + "; ".join(lines), param=first or name)
