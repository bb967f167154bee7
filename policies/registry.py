"""Policies by name: the files of this package, and those that other packages bring as entry points.

A third party adds a policy by an entry point of group `i2v_router.policies` whose value is its class.
"""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

import policies.filters
import policies.pickers
import policies.scorers
from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import EntryPoint
    from types import ModuleType

Kind = Literal["filter", "scorer", "picker"]

ENTRY_POINTS = "i2v_router.policies"
"""Group under which other packages bring policies."""

_METHODS: Mapping[str, Kind] = {
    "reject_offer": "filter",
    "reject": "filter",
    "score": "scorer",
    "order": "picker",
}


@dataclass(frozen=True, slots=True)
class Registry:
    """Policy classes by kind and name."""

    classes: Mapping[tuple[Kind, str], type]

    def names(self, kind: Kind) -> list[str]:
        """The known names of one kind, in order."""
        return sorted(name for found, name in self.classes if found == kind)

    def build(self, kind: Kind, name: str, parameters: Mapping[str, object], where: str) -> Any:
        """The policy of that name with these parameters.

        Args:
            kind: What is wanted.
            name: Its name.
            parameters: Fields of its dataclass.
            where: How errors call the place that names it.

        Raises:
            ConfigError: unknown name or parameter, or a value out of range; lists what is known.
        """
        cls = self.classes.get((kind, name))
        if cls is None:
            known = self.names(kind)
            raise ConfigError(
                f"{where}: no {kind} is called {name!r}; known: {', '.join(known)}",
                param=where,
                allowed=known,
            )
        allowed = [field.name for field in fields(cls)]
        unknown = sorted(set(parameters) - set(allowed))
        if unknown:
            raise ConfigError(
                f"{where}: {kind} {name} has no parameter {', '.join(unknown)}; it has "
                f"{', '.join(allowed) or 'none'}",
                param=f"{where}.{unknown[0]}",
                allowed=allowed,
            )
        try:
            return TypeAdapter(cls).validate_python(dict(parameters))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"{where}: {kind} {name}: {field}: {first['msg']} (given {first['input']!r})",
                param=f"{where}.{field}",
            ) from error


def gather(found: Iterable[type]) -> Registry:
    """A registry of these classes.

    Raises:
        ConfigError: a class is no policy, or two share kind and name.
    """
    classes: dict[tuple[Kind, str], type] = {}
    for cls in found:
        key = (_kind(cls), cls.name)  # type: ignore[attr-defined]
        if key in classes:
            raise ConfigError(f"two {key[0]}s are called {key[1]!r}: {classes[key]} and {cls}", param=key[1])
        classes[key] = cls
    return Registry(MappingProxyType(classes))


@lru_cache(maxsize=1)
def discover() -> Registry:
    """Every policy that is shipped or installed."""
    shipped = [
        cls
        for package in (policies.filters, policies.scorers, policies.pickers)
        for module in _modules(package)
        for cls in _policies(module)
    ]
    return gather([*shipped, *(_load(point) for point in entry_points(group=ENTRY_POINTS))])


def _modules(package: ModuleType) -> list[ModuleType]:
    return [import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]


def _policies(module: ModuleType) -> list[type]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "name")
    ]


def _load(point: EntryPoint) -> type:
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"entry point {point.name} = {point.value}: {error}", param=ENTRY_POINTS) from error
    if not inspect.isclass(loaded):
        raise ConfigError(f"entry point {point.name} = {point.value} is no class", param=ENTRY_POINTS)
    return loaded


def _kind(cls: type) -> Kind:
    kinds = {kind for method, kind in _METHODS.items() if callable(getattr(cls, method, None))}
    if len(kinds) != 1 or not isinstance(getattr(cls, "name", None), str) or not is_dataclass(cls):
        raise ConfigError(
            f"{cls.__module__}.{cls.__qualname__} is no policy: a policy is a dataclass with a `name` and "
            "the method of one kind (reject_offer or reject, score, order)",
            param=cls.__qualname__,
        )
    return kinds.pop()
