"""What each engine that speaks OpenAI's `/v1/videos` does differently, as data: one row an engine.

Read in vLLM-Omni 0.30.0, SGLang 0.5.23 (`multimodal_gen`), FastVideo 0.2.1 (their wheels) and TensorRT-LLM
(`tensorrt_llm/serve/openai_video_routes.py` and `visual_gen_utils.py`, 2026). Three things hold for all of
them: one process serves one model, jobs live in that process and die with it, and what a request leaves out
is filled in by defaults of theirs (24 fps, 4 s). So the whole plan is sent, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from models.providers.base import Phase

COMMON: Final = frozenset(
    {"prompt", "negative_prompt", "size", "fps", "seed", "num_inference_steps", "guidance_scale"}
)
"""Form fields that all of them read."""

PHASES: Final[Mapping[str, Phase]] = MappingProxyType(
    {
        "queued": Phase.QUEUED,
        "pending": Phase.QUEUED,
        "in_progress": Phase.RUNNING,
        "processing": Phase.RUNNING,
        "generating": Phase.RUNNING,
        "encoding": Phase.RUNNING,
        "completed": Phase.SUCCEEDED,
        "failed": Phase.FAILED,
        "cancelled": Phase.CANCELLED,
        "deleted": Phase.CANCELLED,
    }
)
"""Their words for where a job stands. TensorRT-LLM has `generating` and `encoding` of its own."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """One engine.

    Attributes:
        name: As in `models.providers.registry`.
        fields: Form fields that it reads. Others are ignored in silence, so they are not sent.
        length: `frames`: `num_frames` wins over seconds. `seconds`: the form knows no frames; the engine
            makes `int(seconds * fps)` of them.
        whole_fps: The form takes whole frame rates only.
        recognised_by: What of a submission its listing shows again. `model`: the name that was sent, which
            these engines echo and do not check (they serve one model), so our reference travels there and is
            found exactly. `prompt`: the words; a name other than the served one is refused.
        pages: The listing takes `after`, `limit` and `order`, newest first; else it is given whole.
        stops: `DELETE` stops the work. Else only the record goes, and the GPU works on.
        tells_start: `queued` turns into another word when work begins. FastVideo says it to the end.
        tells_progress: `progress` moves with the steps. Else it is a constant.
        tells_run: `inference_time_s` is the work alone, without the wait before it.
    """

    name: str
    fields: frozenset[str]
    length: Literal["frames", "seconds"] = "frames"
    whole_fps: bool = True
    recognised_by: Literal["model", "prompt"] = "model"
    pages: bool = True
    stops: bool = False
    tells_start: bool = True
    tells_progress: bool = False
    tells_run: bool = False


VLLM_OMNI: Final = Quirks(
    "vllm-omni",
    COMMON | {"num_frames", "flow_shift", "guidance_scale_2", "generate_sound"},
    whole_fps=False,
    recognised_by="prompt",
    # The engine is told to abort; pipelines without step execution end the step or batch that they are at.
    stops=True,
    # `inference_time_s` counts from the submission, so the wait is in it.
)
SGLANG: Final = Quirks(
    "sglang",
    COMMON | {"num_frames", "flow_shift", "guidance_scale_2"},
    # Its source says that aborting is still to be supported.
    tells_progress=True,
    tells_run=True,
)
TRTLLM: Final = Quirks(
    "trtllm",
    COMMON,
    # Newer versions know `num_frames` in JSON; the form of those read knows only seconds.
    length="seconds",
    pages=False,
)
FASTVIDEO: Final = Quirks(
    "fastvideo",
    COMMON | {"num_frames"},
    # Each job goes straight to a thread; its record stays `queued` until it is over, with a progress of 0.
    tells_start=False,
    tells_run=True,
)
ENGINES: Final[Mapping[str, Quirks]] = MappingProxyType(
    {quirks.name: quirks for quirks in (VLLM_OMNI, SGLANG, TRTLLM, FASTVIDEO)}
)
