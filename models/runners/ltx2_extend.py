"""LTX-2 with pictures given anywhere: the end of the segment before, and a last image.

The same weights as `ltx2`, under the pipeline class that takes conditions. A later segment is an extension:
it begins with the tail of the one before, which the model keeps as it is, so that motion goes on. Its sound
is its own (the class takes no sound to begin with); the sounds are faded into one another while the pictures
are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
from PIL import Image

from models.runners.families import ltx_lattice
from models.runners.ltx2 import Ltx2Family

if TYPE_CHECKING:
    import torch

    from models.runners.families import Segment

SHARED_FRAMES = 25
"""Pictures that segments share, about a second: 24 is the overlap of windows in diffusers'
`LTXI2VLongMultiPromptPipeline` (`temporal_overlap`), and one more lies on the codec's 8k+1."""


class Ltx2ConditionFamily(Ltx2Family):
    """`LTX2ConditionPipeline` of diffusers."""

    pipeline = "LTX2ConditionPipeline"
    shared_frames = SHARED_FRAMES

    def takes_last_image(self, pipe: Any) -> bool:
        """Always: as a keyframe."""
        return True

    def arguments(self, pipe: Any, segment: Segment) -> dict[str, Any]:
        """As for the photograph alone, with conditions in its place; all of them are kept as given."""
        arguments = super().arguments(pipe, segment)
        # Conditions carry both themselves.
        for name in ("image", "image_crf"):
            arguments.pop(name, None)
        conditions = [LTX2VideoCondition(frames=_start(segment), index=0, strength=1.0)]
        if segment.last_image is not None:
            conditions.append(LTX2VideoCondition(frames=segment.last_image, index=-1, strength=1.0))
        return {**arguments, "conditions": conditions}

    def estimate(self, pipe: Any, latents: torch.Tensor, segment: Segment) -> torch.Tensor:
        """As without conditions; the tokens of a last image stand behind the clip's own."""
        native, cell = segment.native, ltx_lattice(pipe, 1)
        frames = (native.num_frames - 1) // cell.frame_step + 1
        rows, columns = native.height // cell.multiple, native.width // cell.multiple
        own = frames // pipe.transformer_temporal_patch_size * rows * columns
        return super().estimate(pipe, latents[:, :own], segment)


def _start(segment: Segment) -> Image.Image | list[Image.Image]:
    """What the segment begins with: the photograph, or the tail of the segment before.

    A single picture is compressed by the pipeline as its training pictures were; a tail is taken as it is.
    """
    if len(segment.before) <= 1:
        return segment.image
    return [Image.fromarray(frame) for frame in segment.before]
