"""Strict loading of serve_config.yaml and its overlays.

Ray's own schema accepts unknown keys (`target_ongoing_request`, a typo, silently leaves the default), so
every key is compared with the schema's fields before Ray sees it. An overlay is a second document of the
same shape: it is merged over the first, applications and deployments matched by name, so that a laptop or a
cluster changes resources and nothing else. `keep` in an overlay names the applications that remain.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from deployments.model_apps import check_model_apps
from models.errors import ConfigError

_FREE_FORM = {"args", "runtime_env", "user_config", "resources", "label_selector", "policy_kwargs", "labels"}
"""Keys whose content belongs to somebody else's schema (application args are checked by their builder)."""


def load_document(path: Path) -> dict[str, Any]:
    """Read one YAML document. Raises `ConfigError` naming the file when it is missing or no mapping."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", param=str(path)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}", param=str(path)) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a mapping, found {type(document).__name__}", param=str(path))
    return document


def unknown_keys(document: Mapping[str, Any], schema: type[BaseModel], where: str = "") -> list[str]:
    """Dotted paths of keys that `schema` (and the models below it) does not know."""
    found: list[str] = []
    fields = schema.model_fields
    names = set(fields) | {field.alias for field in fields.values() if field.alias}
    for key, value in document.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in names:
            found.append(path)
            continue
        if key in _FREE_FORM:
            continue
        inner = _model_of(fields[key].annotation)
        if inner is None:
            continue
        if isinstance(value, Mapping):
            found += unknown_keys(value, inner, path)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    name = item.get("name", index)
                    found += unknown_keys(item, inner, f"{path}[{name}]")
    return found


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as `list[X] | None`, if there is exactly one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = {model for arg in typing.get_args(annotation) if (model := _model_of(arg)) is not None}
    return inside.pop() if len(inside) == 1 else None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings merge, lists of named items merge by name, the rest replaces."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(old, value)
        elif _named(old) and _named(value):
            merged[key] = _merge_named(old, value)
        else:
            merged[key] = value
    return merged


def _named(value: Any) -> typing.TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, Mapping) and "name" in item for item in value)


def _merge_named(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {item["name"]: item for item in old}
    for item in new:
        by_name[item["name"]] = merge(by_name.get(item["name"], {}), item)
    return list(by_name.values())


def overlay(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Merge an overlay; `keep` lists the applications that stay (`ConfigError` on unknown names)."""
    keep = patch.get("keep")
    merged = merge(document, {key: value for key, value in patch.items() if key != "keep"})
    if keep is not None:
        names = [application["name"] for application in merged.get("applications", [])]
        if missing := sorted(set(keep) - set(names)):
            raise ConfigError(f"overlay keeps unknown applications {missing}", param="keep", allowed=names)
        merged["applications"] = [app for app in merged["applications"] if app["name"] in keep]
    return merged


def validate(document: Mapping[str, Any], origin: str = "serve_config.yaml") -> ServeDeploySchema:
    """Check every key, let Ray check every value, then what a gang needs of its application.

    Raises `ConfigError` with all faults named.
    """
    if unknown := unknown_keys(document, ServeDeploySchema):
        raise ConfigError(f"{origin}: unknown keys {', '.join(unknown)}", param=unknown[0])
    try:
        config = ServeDeploySchema.model_validate(dict(document))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{origin}: {faults}", param=str(error.errors()[0]["loc"][0])) from error
    check_model_apps(config, origin)
    return config


def load_serve_config(path: Path, *overlays: Path) -> ServeDeploySchema:
    """The file, its overlays in order, strictly checked."""
    document = load_document(path)
    for patch in overlays:
        document = overlay(document, load_document(patch))
    return validate(document, str(path))
