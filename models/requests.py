"""Request maps: how a planned clip is spelled in the schema of one hosted model. Data on the card, no code.

A map names the provider's parameter for each of our words, and says how the value is written. What it does
not name the model does not take, and is not sent: hosts refuse unknown fields. A mode row adds the constants
that select it (`sends`), such as `resolution: "1080p"` or `mode: pro`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from models.blocks import Block, Sourced
from models.types import CameraMove

Constant = str | int | float | bool
"""A value sent as it stands."""


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
    values: dict[str, str] = Field(min_length=1)
    """By our word; what is not listed is not sent."""


class CameraText(Block):
    """Camera commands inside the prompt, such as `[Push in]`."""

    values: dict[CameraMove, str] = Field(min_length=1)
    template: str = "[{moves}]"
    separator: str = ","
    """Between several moves in one template."""


class RequestMap(Sourced):
    """Our words as one hosted model's input. Media parameters hold a URL (or a `data:` URI)."""

    image: str
    last_image: str | None = None
    driving_video: str | None = None
    audio: str | None = None
    prompt: str | None = None
    prompt_needed: bool = False
    """The schema wants a prompt: an empty one is sent as the words of the camera and the motion."""
    negative_prompt: str | None = None
    seed: str | None = None
    seconds: Number | None = None
    frames: Number | None = None
    fps: Number | None = None
    width: Number | None = None
    height: Number | None = None
    aspect: Choice | None = None
    """By our aspect (`16:9`, `9:16`, `1:1`, `4:3`, `3:4`, `21:9`) nearest to the planned frame."""
    sound: Switch | None = None
    """Whether the clip gets generated sound. Hosts that make it unless told not to are told."""
    loop: Switch | None = None
    camera: Choice | None = None
    """For `controls.camera.kind: parameter`: by our move."""
    camera_text: CameraText | None = None
    """For `controls.camera.kind: brackets`."""
    sends: dict[str, Constant] = Field(default_factory=dict)
    """Constants of every request, such as prompt rewriting off."""
    version: str | None = None
    """Replicate: version (64 hex digits) of a community model, which has no route by its name alone."""
