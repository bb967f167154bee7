"""Request maps: how a planned clip is spelled in the schema of one hosted model. Data on the card, no code.

A map names the provider's parameter for each of our words, and says how the value is written. What it does
not name the model does not take, and is not sent: hosts refuse unknown fields. A mode row adds the constants
that select it (`sends`), such as `resolution: "1080p"` or `mode: pro`.

A name with dots is a path into lists and objects: `image_urls.0` is the first of a list of URLs,
`transitions.0.duration` the duration of the first transition.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from models.blocks import Block, Sourced
from models.types import CameraMove

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Table(dict[KeyT, ValueT]):
    """A mapping with a hash, as every part of a frozen card has one; nobody writes to it after loading."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


Constant = str | int | float | bool
"""A value sent as it stands."""
Constants = Annotated[dict[str, Constant], AfterValidator(Table)]
"""By parameter."""


class Number(Block):
    """A number of ours under the provider's name, in the type that its schema wants."""

    name: str
    type: Literal["integer", "number", "string"]
    suffix: str = ""
    """Follows the number in a string: `s` writes five seconds as `"5s"`."""

    @model_validator(mode="after")
    def _suffix_is_text(self) -> Number:
        if self.suffix and self.type != "string":
            raise ValueError(f"{self.name}: a suffix needs type string")
        return self


class Switch(Block):
    """A yes or no of ours, and the values that say it."""

    name: str
    on: Constant = True
    off: Constant | None = False
    """None: left out when it is off."""


class Choice(Block):
    """A word of ours as one of the provider's."""

    name: str
    values: Annotated[dict[str, str], AfterValidator(Table)] = Field(min_length=1)
    """By our word; what is not listed is not sent."""


class CameraText(Block):
    """Camera commands inside the prompt, such as `[Push in]`."""

    values: Annotated[dict[CameraMove, str], AfterValidator(Table)] = Field(min_length=1)
    template: str = "[{moves}]"
    separator: str = ","
    """Between several moves in one template."""


MADE_ANYWAY: Final = "always"
"""The host makes sound whatever is asked, and has no parameter for it."""


class RequestMap(Sourced):
    """Our words as one hosted model's input. Media parameters hold a URL (or a `data:` URI)."""

    image: str
    last_image: str | None = None
    driving_video: str | None = None
    audio: str | None = None
    prompt: str | None = None
    prompt_needed: bool = False
    """The schema wants a prompt: an empty one is sent as the words of the camera and the motion, or else as
    words for moderate motion."""
    negative_prompt: str | None = None
    seed: str | None = None
    seed_max: int | None = Field(default=None, ge=1)
    """Largest seed that the schema documents; larger ones are taken modulo `seed_max + 1`."""
    seconds: Number | None = None
    frames: Number | None = None
    fps: Number | None = None
    width: Number | None = None
    height: Number | None = None
    aspect: Choice | None = None
    """By our aspect (`16:9`, `9:16`, `1:1`, `4:3`, `3:4`, `21:9`) nearest to the planned frame."""
    sound: Switch | Literal["always"] | None = None
    """Whether the clip gets generated sound. Hosts that make it unless told not to are told; `always`: the
    host makes it and cannot be told."""
    loop: Switch | None = None
    camera: Choice | None = None
    """For `controls.camera.kind: parameter`: by our move."""
    camera_text: CameraText | None = None
    """For `controls.camera.kind: brackets`."""
    sends: Constants = Field(default_factory=Table)
    """Constants of every request, such as prompt rewriting off."""
    version: str | None = Field(default=None, pattern=r"^([0-9a-f]{64}|[\w.-]+/[\w.-]+)$")
    """Replicate: version of a community model, which has no route by its name alone: 64 hex digits, or
    `owner/name` for whatever is newest, where no version is known."""

    @model_validator(mode="after")
    def _coherent(self) -> RequestMap:
        if self.seed_max is not None and self.seed is None:
            raise ValueError("seed_max limits a seed; no seed parameter is named")
        if self.prompt_needed and self.prompt is None:
            raise ValueError("prompt_needed needs the name of the prompt parameter")
        return self

    def names(self) -> tuple[str, ...]:
        """Every parameter that the map itself can send, in its order, constants last; a name may repeat."""
        texts = (
            self.image,
            self.last_image,
            self.driving_video,
            self.audio,
            self.prompt,
            self.negative_prompt,
            self.seed,
        )
        blocks = (
            self.seconds,
            self.frames,
            self.fps,
            self.width,
            self.height,
            self.aspect,
            None if self.sound == MADE_ANYWAY else self.sound,
            self.loop,
            self.camera,
        )
        named = (block.name for block in blocks if isinstance(block, Number | Switch | Choice))
        return (*(text for text in texts if text is not None), *named, *self.sends)
