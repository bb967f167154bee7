"""A profile: the YAML list of filters, scorers with weights and a picker that answers one objective.

Weights and rates live in the YAML alone. Everything is checked when it is loaded, so that a wrong name or
figure shows at the start and not at a request.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.errors import ConfigError
from models.sheets import Sheet, describe, open_sheet
from policies.base import Column
from policies.geometry import Tolerance
from policies.registry import Registry, discover

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from models.card import Card, Mode, Offer
    from policies.base import Candidate, Picker, Pool, RouteRequest

    OfferReject = Callable[[RouteRequest, Card, Offer], str | None]
    CandidateReject = Callable[[RouteRequest, Candidate], str | None]
    Applies = Callable[[RouteRequest], bool]
    Reads = Callable[[RouteRequest], Hashable]
    SilentOnMode = Callable[[Mode], bool]
    SilentOnPool = Callable[[Pool], bool]

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, slots=True)
class Profile:
    """How one objective decides.

    Attributes:
        name: Objective, and name in the Decision JSON.
        summary: One sentence for people.
        offer_filters: Cheap filters on card and offer: name, what rejects, for which requests; in order.
        candidate_filters: Filters on planned candidates, likewise.
        place: Of each candidate filter in that order, by name.
        scorers: Each with its weight.
        picker: Orders what is left.
        tolerance: How far from the asked clip an answer may be.
        reference_elo: Rating of the model against which preference is told.
        fallbacks: Most fallbacks that a decision names.
    """

    name: str
    summary: str
    offer_filters: tuple[tuple[str, OfferReject, Applies], ...]
    candidate_filters: tuple[tuple[str, CandidateReject, Applies], ...]
    place: Mapping[str, int]
    scorers: tuple[Column, ...]
    picker: Picker
    tolerance: Tolerance
    reference_elo: float
    fallbacks: int
    offer_reads: tuple[Reads | None, ...] = ()
    """For each offer filter, what it reads of a request; None where it does not say."""
    silences: tuple[tuple[SilentOnMode | None, SilentOnPool | None], ...] = ()
    """For each candidate filter, on which modes and pools it never has anything to say."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Use(_Strict):
    use: str
    parameters: Mapping[str, Any] = Field(default_factory=dict, alias="with")


class _WeightedUse(_Use):
    weight: float = Field(gt=0)


class _Tolerance(_Strict):
    min_resolution: Share
    min_seconds: Share
    min_fps: Share
    min_aspect: Share
    crop_at_least: Share


def _named(value: object) -> object:
    return {"use": value} if isinstance(value, str) else value


class _ProfileSheet(_Strict):
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    summary: str = Field(min_length=1)
    filters: tuple[Annotated[_Use, BeforeValidator(_named)], ...]
    scorers: tuple[_WeightedUse, ...] = Field(min_length=1)
    picker: Annotated[_Use, BeforeValidator(_named)]
    geometry: _Tolerance
    reference_elo: float
    fallbacks: int = Field(ge=0)


class Profiles(dict[str, Profile]):
    """Profiles by name, with what was wrong in the files that are not among them."""

    problems: tuple[ConfigError, ...] = ()


def parse_profile(
    content: object, where: str, registry: Registry | None = None, *, file: Sheet | None = None
) -> Profile:
    """A profile from the content of its YAML file.

    Args:
        content: Parsed YAML.
        where: How errors call the file.
        registry: Known policies; None for those shipped and installed.
        file: Where the content is from, when errors shall name lines.

    Raises:
        ConfigError: an unknown key, policy or parameter, or a value out of range; names file and field.
    """
    known = registry if registry is not None else discover()
    try:
        sheet = _ProfileSheet.model_validate(content)
    except ValidationError as error:
        raise describe(error, where, file) from error
    for block, uses in (("filters", sheet.filters), ("scorers", sheet.scorers)):
        names = [use.use for use in uses]
        if len(set(names)) != len(names):
            raise ConfigError(f"{_at(where, file, block)} repeat: {names}", param=f"{where}.{block}")
    filters = [
        known.build("filter", use.use, use.parameters, _at(where, file, "filters", index))
        for index, use in enumerate(sheet.filters)
    ]
    return Profile(
        name=sheet.name,
        summary=sheet.summary,
        offer_filters=tuple(
            (f.name, f.reject_offer, _applies(f)) for f in filters if hasattr(f, "reject_offer")
        ),
        candidate_filters=tuple((f.name, f.reject, _applies(f)) for f in filters if hasattr(f, "reject")),
        place={f.name: at for at, f in enumerate(filters)},
        scorers=tuple(
            Column(
                known.build("scorer", use.use, use.parameters, _at(where, file, "scorers", index)), use.weight
            )
            for index, use in enumerate(sheet.scorers)
        ),
        picker=known.build("picker", sheet.picker.use, sheet.picker.parameters, _at(where, file, "picker")),
        tolerance=Tolerance(**sheet.geometry.model_dump()),
        reference_elo=sheet.reference_elo,
        fallbacks=sheet.fallbacks,
        offer_reads=tuple(getattr(f, "reads", None) for f in filters if hasattr(f, "reject_offer")),
        silences=tuple(
            (getattr(f, "silent_on_mode", None), getattr(f, "silent_on_pool", None))
            for f in filters
            if hasattr(f, "reject")
        ),
    )


def _at(where: str, file: Sheet | None, block: str, *index: int) -> str:
    line = None if file is None else file.line((block, *index))
    return f"{where}: {block}" if line is None else f"{where}: line {line}: {block}"


def _applies(policy: Any) -> Applies:
    """When a filter is asked: always, unless it says otherwise."""
    return getattr(policy, "applies", _always)


def _always(request: RouteRequest) -> bool:
    del request
    return True


def load_profiles(overlay: Path | None = None, *, strict: bool = False) -> Profiles:
    """The shipped profiles by name and, over them, those of an operator.

    A broken profile of the operator is left out and told in `Profiles.problems`; where it would have replaced
    a shipped one, that one answers: every objective needs a profile.

    Args:
        overlay: A directory whose `profiles/` subdirectory, if there is one, holds `*.yaml` profiles. One
            with a shipped name replaces that profile whole.
        strict: Raise the first problem instead.

    Raises:
        ConfigError: a shipped file is wrong or, when strict, any; names file, line and field.
    """
    shipped, problems = _read(importlib.resources.files("policies") / "profiles", "policies/profiles")
    if problems:
        raise problems[0]
    own = Profiles()
    if overlay is not None and (overlay / "profiles").is_dir():
        own, problems = _read(overlay / "profiles", str(overlay / "profiles"))
        if strict and problems:
            raise problems[0]
    found = Profiles(shipped | own)
    found.problems = tuple(problems)
    return found


def _read(directory: Traversable, label: str) -> tuple[Profiles, list[ConfigError]]:
    found, origin = Profiles(), dict[str, str]()
    problems: list[ConfigError] = []
    for file in sorted(directory.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".yaml"):
            continue
        where = f"{label}/{file.name}"
        try:
            sheet = open_sheet(file, where)
            profile = parse_profile(sheet.content, where, file=sheet)
        except ConfigError as error:
            problems.append(error)
            continue
        if profile.name in origin:
            told = f"{where}: line {sheet.line(('name',))}: profile {profile.name} is in another file already"
            problems.append(ConfigError(f"{told} ({origin[profile.name]})", param="name"))
            # Which of the two was meant is not known.
            found.pop(profile.name, None)
            continue
        found[profile.name], origin[profile.name] = profile, where
    return found, problems
