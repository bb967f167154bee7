"""Request bodies as they come over the wire (JSON and forms alike), with every limit and alias.

OpenAI's names come first; OpenRouter's (`duration`, `resolution`, `aspect_ratio`, `frame_images`) are
aliases. Forms carry text only, so numbers and booleans are read from text too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from models.errors import InvalidRequest
from models.types import OPPOSED, CameraMove, Intensity, Objective, Prefer, Priority, Residency, Size
from router.errors import invalid_request

MAX_PROMPT = 10_000
"""Characters. The longest text encoder of the open models reads 512 tokens, about 2,500 characters."""
MIN_SECONDS = 0.5
"""Of a clip. Our choice: a dozen frames; what is shorter was meant in other units, or by mistake."""
MAX_SECONDS = 600.0
MAX_FPS = 240.0
MIN_SIDE, MAX_SIDE = 16, 8192
MAX_SEED = 2**32 - 1
"""The widest range that hosted APIs and NumPy's generators share."""
MAX_DEADLINE_S = 7 * 86_400.0
MAX_COST_USD = 100_000.0
RESOLUTIONS = {"480p": 480, "540p": 540, "720p": 720, "768p": 768, "1080p": 1080, "1440p": 1440, "4K": 2160}
"""Names of the shorter side, in pixels."""
DEFAULT_RESOLUTION = "720p"
"""Of an `aspect_ratio` that comes alone."""

MotionWord = Literal["subtle", "gentle", "moderate", "dynamic", "extreme"]


def _number(value: object) -> object:
    """`true` is no number, though Python says 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _words(value: object) -> object:
    """`a,b` (as the CLI and plain forms write a list) or a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _moves(value: object) -> object:
    """`push_in`, `push_in:required`, a comma list of these, or `{"move", "required"}` objects."""
    parts = _words(value)
    return [_move(part) for part in parts] if isinstance(parts, list | tuple) else [parts]


def _move(part: object) -> object:
    if not isinstance(part, str):
        return part
    move, colon, flag = part.partition(":")
    if colon and flag != "required":
        raise ValueError("a camera move is written MOVE or MOVE:required")
    return {"move": move, "required": bool(colon)}


def _size(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be WIDTHxHEIGHT in pixels, such as 832x480")
    size = Size.parse(value)
    for side in (size.width, size.height):
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise ValueError(f"each side must be {MIN_SIDE} to {MAX_SIDE} pixels")
    return value.lower()


def _reference(value: object) -> object:
    return {"image_url": value} if isinstance(value, str) else value


def _url(value: object) -> object:
    """OpenRouter nests the address as `{"url": ...}`."""
    if isinstance(value, Mapping) and set(value) == {"url"}:
        return value["url"]
    return value


def _driver(value: object) -> object:
    """A driver's address, bare or in `{"url": ...}`."""
    address = _url(value)
    if not isinstance(address, str):
        raise ValueError("must be a file, or the text of a data: URI")
    return address


CardIds = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], BeforeValidator(_words)]


class Wire(BaseModel):
    """Strict base of every request: an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _no_nul(cls, value: object) -> object:
        """PostgreSQL stores no U+0000 in text or JSON."""
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and "\0" in text:
                raise ValueError("must not contain the character U+0000")
        return value


class CameraField(Wire):
    """One camera move."""

    move: CameraMove
    required: bool = False
    """True: only a model with a real camera interface is an answer."""


class ImageReference(Wire):
    """An image by address; only `data:` addresses are read."""

    image_url: Annotated[str, BeforeValidator(_url)] | None = None
    file_id: str | None = None

    @model_validator(mode="after")
    def _readable(self) -> ImageReference:
        if self.file_id is not None:
            raise ValueError("file_id is not supported; send the photograph as a file or as a data: URI")
        if self.image_url is None:
            raise ValueError("image_url is missing")
        return self


class FrameImage(Wire):
    """OpenRouter's way to give the first and the last frame."""

    type: Literal["image_url"] = "image_url"
    image_url: Annotated[str, BeforeValidator(_url)]
    frame_type: Literal["first_frame", "last_frame"] = "first_frame"


class BudgetWish(Wire):
    """What a clip may take, and where it may be made."""

    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S), BeforeValidator(_number)] | None = None
    """Seconds from now until the clip must be there."""
    max_cost_usd: Annotated[float, Field(ge=0, le=MAX_COST_USD), BeforeValidator(_number)] | None = None
    priority: Priority | None = None
    residency: Residency | None = None
    allow: Annotated[CardIds, Field(max_length=100)] | None = None
    deny: Annotated[CardIds, Field(max_length=100)] | None = None


class RoutingWish(BudgetWish):
    """Hints for the choice; each may as well stand at the top level."""

    objective: Objective | None = None
    prefer: Prefer | None = None
    """What is held when size, fps and seconds do not all fit."""


class Wishes(RoutingWish):
    """Everything that a clip can be asked with beside its images."""

    prompt: Annotated[str, Field(max_length=MAX_PROMPT)] | None = None
    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT)] | None = None
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A card id, or `auto`."""
    size: Annotated[str, BeforeValidator(_size)] | None = None
    """`WIDTHxHEIGHT` in pixels."""
    resolution: Literal["480p", "540p", "720p", "768p", "1080p", "1440p", "4K"] | None = None
    aspect_ratio: Annotated[str, Field(pattern=r"^[1-9]\d{0,3}:[1-9]\d{0,3}$")] | None = None
    seconds: Annotated[float, Field(ge=MIN_SECONDS, le=MAX_SECONDS), BeforeValidator(_number)] | None = None
    duration: Annotated[float, Field(ge=MIN_SECONDS, le=MAX_SECONDS), BeforeValidator(_number)] | None = None
    """OpenRouter's name for `seconds`."""
    fps: Annotated[float, Field(ge=1, le=MAX_FPS), BeforeValidator(_number)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), BeforeValidator(_number)] | None = None
    camera: Annotated[tuple[CameraField, ...], Field(max_length=4), BeforeValidator(_moves)] | None = None
    motion: MotionWord | None = None
    generate_audio: bool | None = None
    tags: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
            Field(max_length=16),
            BeforeValidator(_words),
        ]
        | None
    ) = None
    routing: RoutingWish | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Wishes:
        if self.size is not None and (self.resolution is not None or self.aspect_ratio is not None):
            raise ValueError("give size, or resolution and aspect_ratio, not both")
        required = {wish.move for wish in self.camera or () if wish.required}
        for moves in OPPOSED:
            if moves <= required:
                raise ValueError(f"camera: {' and '.join(sorted(moves))} cannot both be required")
        if CameraMove.STATIC in required and len(required - {CameraMove.SHAKE}) > 1:
            raise ValueError("camera: static cannot be required together with a move")
        if self.duration is not None and self.seconds not in (None, self.duration):
            raise ValueError("seconds and duration say different things; give one of them")
        for name in RoutingWish.model_fields:
            inner = getattr(self.routing, name) if self.routing is not None else None
            outer = getattr(self, name)
            if inner is not None and outer is not None and inner != outer:
                raise ValueError(f"{name} and routing.{name} say different things; give one of them")
        return self

    def hint(self, name: str) -> Any:
        """A routing hint, wherever it was given."""
        outer = getattr(self, name)
        return outer if outer is not None or self.routing is None else getattr(self.routing, name)

    @property
    def intensity(self) -> Intensity | None:
        """How much shall move."""
        return Intensity[self.motion.upper()] if self.motion is not None else None

    def wished_size(self, photograph: Size) -> Size | None:
        """The frame size asked for; a `resolution` alone takes the photograph's shape."""
        if self.size is not None:
            return Size.parse(self.size)
        if self.resolution is None and self.aspect_ratio is None:
            return None
        aspect = photograph.aspect
        if self.aspect_ratio is not None:
            width, height = map(int, self.aspect_ratio.split(":"))
            aspect = width / height
        short = RESOLUTIONS[self.resolution or DEFAULT_RESOLUTION]
        long = 2 * math.ceil(short * max(aspect, 1 / aspect) / 2)
        if long > MAX_SIDE:
            raise InvalidRequest(
                f"{self.resolution or DEFAULT_RESOLUTION} at this shape is {long} pixels long; "
                f"each side must be {MIN_SIDE} to {MAX_SIDE} pixels",
                param="aspect_ratio" if self.aspect_ratio is not None else "resolution",
            )
        return Size(long, short) if aspect >= 1 else Size(short, long)


class CreateVideo(Wishes):
    """`POST /v1/videos`."""

    input_reference: Annotated[ImageReference, BeforeValidator(_reference)] | None = None
    """The photograph."""
    last_image: Annotated[ImageReference, BeforeValidator(_reference)] | None = None
    """The frame to end on."""
    frame_images: Annotated[tuple[FrameImage, ...], Field(max_length=2)] | None = None
    driving_video: Annotated[str, BeforeValidator(_driver)] | None = None
    """A video whose motion is followed: a file, or a `data:` URI."""
    audio: Annotated[str, BeforeValidator(_driver)] | None = None
    """A sound that drives the clip, such as speech for a talking head: likewise."""

    @model_validator(mode="after")
    def _one_image_each(self) -> CreateVideo:
        kinds = [frame.frame_type for frame in self.frame_images or ()]
        if len(set(kinds)) != len(kinds):
            raise ValueError("frame_images has two images for the same frame")
        if "first_frame" in kinds and self.input_reference is not None:
            raise ValueError("the photograph is given twice: input_reference and frame_images")
        if "last_frame" in kinds and self.last_image is not None:
            raise ValueError("the last frame is given twice: last_image and frame_images")
        return self

    def image_url(self, frame: Literal["first_frame", "last_frame"]) -> tuple[str, str] | None:
        """(field, address) of an image given by address."""
        field, reference = (
            ("input_reference", self.input_reference)
            if frame == "first_frame"
            else ("last_image", self.last_image)
        )
        if reference is not None and reference.image_url is not None:
            return field, reference.image_url
        for index, image in enumerate(self.frame_images or ()):
            if image.frame_type == frame:
                return f"frame_images[{index}].image_url", image.image_url
        return None


class RouteVideo(CreateVideo):
    """`POST /v1/route`: the same request, decided and not run."""

    image_size: Annotated[str, BeforeValidator(_size)] | None = None
    """`WIDTHxHEIGHT` of a photograph that is not sent: only its shape is then known."""
    fleet: Literal["live", "all"] = "live"
    """`all`: as if every card were there and idle."""


class RemixVideo(Wishes):
    """`POST /v1/videos/{id}/remix`: the same photograph and wishes with other words."""

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]


class FinalizeVideo(BudgetWish):
    """`POST /v1/videos/{id}/finalize`: a preview again at full quality; all fields may be left out."""

    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A card id, or `auto`."""


class Feedback(Wire):
    """`POST /v1/videos/{id}/feedback`: a thumb, or the clip that this one is better than."""

    rating: Annotated[int, BeforeValidator(_number)] | None = None
    """1 up, -1 down."""
    better_than: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    """Id of a clip of the same photograph."""
    comment: Annotated[str, Field(max_length=1000)] = ""

    @field_validator("rating")
    @classmethod
    def _thumb(cls, value: int | None) -> int | None:
        if value not in (None, -1, 1):
            raise ValueError("must be 1 (up) or -1 (down)")
        return value

    @model_validator(mode="after")
    def _one_word(self) -> Feedback:
        if (self.rating is None) == (self.better_than is None):
            raise ValueError("give either rating (1 or -1) or better_than (the id of another clip)")
        return self


class ListVideos(Wire):
    """Query of `GET /v1/videos`."""

    after: Annotated[str, Field(max_length=80)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    status: Literal["queued", "in_progress", "completed", "failed", "cancelled", "expired"] | None = None


W = TypeVar("W", bound=Wire)


def parse(shape: type[W], fields: Mapping[str, Any]) -> W:
    """Validate; raises `InvalidRequest` that names every offending field."""
    if "callback_url" in fields and "callback_url" not in shape.model_fields:
        raise InvalidRequest(
            "callback_url is not supported; poll the job or follow its events", param="callback_url"
        )
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        errors: Sequence[Any] = error.errors(include_url=False)
        raise invalid_request(errors, list(shape.model_fields)) from None
