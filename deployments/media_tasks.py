"""A child process for pixels: prepares photographs for providers and inspects the clips that come back.

What a provider sends is decoded here, under a cap on memory: a file that crashes or swallows a decoder costs
this process and one call, not the replica with its thousand calls. It also keeps decoders out of the
replica's memory. One JSON object a line in, one out, in order; `deployments.media_process` is the other end.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import av.error
from PIL import Image, ImageOps

from models.errors import I2VError, InputRefused, ResultUnusable, RunnerError
from models.runners.framing import face_focus, fit_photograph
from models.runners.stills import Stills
from models.types import Fit, Framing, Geometry, Size

Json = dict[str, Any]

MEMORY_BYTES = 3 * 2**30
"""Address space of the process: a 4K decoder with its threads takes about 1 GiB. Our choice."""
LONGEST_S = 600.0
MOST_PIXELS = 4096 * 4096
MOST_FRAMES = 36_000
"""No model on sale makes clips beyond these (4K, minutes); what claims more is no clip of ours."""
LARGEST_SIDE = 2048
"""Longest side of a photograph that goes up: no hosted model reads more (1080p), and uploads stay small."""
JPEG_QUALITY = 95


def photograph(task: Mapping[str, Any]) -> Json:
    """Bring a photograph into the planned frame's shape; never enlarged, upright, no metadata.

    The host decides the exact size; what is cropped or padded, the plan decided.
    """
    framing = Framing(Fit(task["framing"]["fit"]), task["framing"]["kept"], task["framing"]["filled"])
    native, least = Size(*task["size"]), int(task["min_side"])
    with Image.open(task["source"]) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    size = _target(Size(upright.width, upright.height), native, framing, least)
    faces = [tuple(face) for face in task["faces"]]
    fitted = fit_photograph(upright, size, framing, face_focus(faces))
    target = Path(task["target"])
    fitted.save(target, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return {"width": size.width, "height": size.height, "bytes": target.stat().st_size}


def _target(photograph: Size, native: Size, framing: Framing, least: int) -> Size:
    """The size to send: the planned shape, as large as the photograph is, within `LARGEST_SIDE`."""
    aspect = photograph.aspect if framing.fit is Fit.EXACT else native.aspect
    if framing.fit is Fit.PAD:
        width = max(float(photograph.width), photograph.height * aspect)
    else:
        width = min(float(photograph.width), photograph.height * aspect)
    scale = min(1.0, LARGEST_SIDE / max(width, width / aspect))
    size = Size(max(1, round(width * scale)), max(1, round(width * scale / aspect)))
    if min(size.width, size.height) < least:
        raise InputRefused(
            f"image: is {size} in the shape of the clip; the model takes {least} pixels on each side",
            param="image",
            allowed={"min_side": least},
        )
    return size


def clip(task: Mapping[str, Any]) -> Json:
    """Decode a clip whole, say what it is, and make its still pictures.

    Raises:
        ResultUnusable: it is no MP4 with pictures, or larger than anything that was asked.
    """
    source = Path(task["source"])
    with source.open("rb") as file:
        if file.read(12)[4:8] != b"ftyp":
            raise ResultUnusable("the result is no MP4 file")
    try:
        with av.open(str(source), format="mp4") as container:
            return _watched(container, task)
    except (av.error.FFmpegError, ValueError) as error:
        raise ResultUnusable(f"the result cannot be decoded ({type(error).__name__})") from error


def _watched(container: Any, task: Mapping[str, Any]) -> Json:
    if not container.streams.video:
        raise ResultUnusable("the result has no pictures")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context.width * context.height > MOST_PIXELS:
        raise ResultUnusable(f"the result is {context.width}x{context.height}; no clip is that large")
    declared = stream.frames or 0
    stream.thread_type = "AUTO"
    count, last = 0, 0.0
    stills: Stills | None = None
    for frame in container.decode(stream):
        if stills is None:
            expected = declared if declared > 0 else int(task["expected_frames"])
            shape = Geometry(frame.width, frame.height, min(max(1, expected), MOST_FRAMES), 1.0)
            stills = Stills(shape)
        if count >= MOST_FRAMES or (frame.time is not None and frame.time > LONGEST_S):
            raise ResultUnusable(f"the result is longer than {LONGEST_S:g} s; no clip is that long")
        if stills.wants(count):
            stills.see(count, frame.to_ndarray(format="rgb24"))
        count, last = count + 1, frame.time if frame.time is not None else last
    if stills is None:
        raise ResultUnusable("the result has no pictures")
    rate = float(stream.average_rate or 0) or (count - 1) / max(last, 1e-3)
    folder = Path(task["folder"])
    stills.write(folder / "thumbnail.jpg", folder / "spritesheet.jpg")
    return {
        "geometry": {
            "width": context.width,
            "height": context.height,
            "num_frames": count,
            "fps": round(rate, 4),
            "seconds": round(count / rate, 4),
        },
        "audio": bool(container.streams.audio),
        "codec": context.name,
    }


TASKS: Mapping[str, Callable[[Mapping[str, Any]], Json]] = {"photograph": photograph, "clip": clip}


def answer(line: str) -> Json:
    """What one line asks for: `{"result": …}`, or `{"error": {"code", "message", "param"}}`."""
    task = json.loads(line)
    try:
        return {"result": TASKS[task["task"]](task)}
    except I2VError as error:
        return {"error": {"code": error.code, "message": error.message, "param": error.param}}
    except OSError as error:
        told = f"{task['task']}: {type(error).__name__}: {error.strerror or error}"
        return {"error": {"code": RunnerError.code, "message": told, "param": None}}
    except MemoryError:
        told = "the file needs more memory to decode than any clip may"
        return {"error": {"code": ResultUnusable.code, "message": told, "param": None}}


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
