"""What each engine's record of a job looks like on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models.providers.fake.calls import Call, Status
from models.providers.fake.engine_forms import EngineName

Record = Callable[[Call, float, "str | None"], dict[str, Any]]
"""Of a call, at a moment of the fake's clock, with the URL of a stored result."""
_FAILURES: Mapping[str, tuple[int, str]] = {
    "fails": (500, "EngineCore encountered an issue."),
    "refuses_input": (400, "the reference image cannot be used"),
    "refuses_content": (400, "the prompt failed the safety check"),
}
_WORDS: Mapping[Status, str] = {
    Status.QUEUED: "queued",
    Status.RUNNING: "in_progress",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}


def failed_with(call: Call) -> tuple[int, str]:
    """Code and words of a call that fails."""
    return _FAILURES.get(call.why.kind, _FAILURES["fails"])


def _times(call: Call, status: Status) -> dict[str, Any]:
    done = int(call.accepted_at + call.ends - call.tags["arrived"]) if status.over else None
    return {"created_at": int(call.accepted_at), "completed_at": done}


def _size(call: Call) -> str:
    return f"{call.shape.width}x{call.shape.height}"


def _vllm_omni(call: Call, now: float, url: str | None) -> dict[str, Any]:
    """The prompt is repeated, the seed and the picture are not; `inference_time_s` includes the wait."""
    del url
    status, values = call.status(now), call.tags["values"]
    code, told = failed_with(call)
    return {
        "id": call.id,
        "object": "video",
        "model": call.tags["served"],
        "prompt": values["prompt"],
        "status": _WORDS[status],
        "size": values.get("size"),
        "progress": 100 if status is Status.SUCCEEDED else 0,
        "seconds": values.get("seconds", "4"),
        "quality": "default",
        **_times(call, status),
        "error": {"code": code, "message": told} if status is Status.FAILED else None,
        "media_type": "video/mp4",
        "expires_at": None,
        "file_name": f"{call.id}.mp4" if status is Status.SUCCEEDED else None,
        "inference_time_s": call.ends - call.tags["arrived"] if status.over else None,
        "fps": call.shape.fps,
        "num_frames": call.shape.frames,
    }


def _sglang(call: Call, now: float, url: str | None) -> dict[str, Any]:
    """Whatever was sent as `model` is repeated; progress moves with the steps and stops at 99."""
    status, done = call.status(now), call.status(now) is Status.SUCCEEDED
    return {
        "id": call.id,
        "object": "video",
        "model": call.tags["values"].get("model") or call.tags["served"],
        "status": _WORDS[status],
        "progress": 100 if done else int(100 * call.progress(now)),
        "size": _size(call),
        "seconds": str(round(call.shape.seconds)),
        "quality": "standard",
        **_times(call, status),
        "url": url if done else None,
        "file_path": f"/outputs/{call.id}.mp4" if done and url is None else None,
        "error": {"message": failed_with(call)[1]} if status is Status.FAILED else None,
        "inference_time_s": call.ends - call.starts if done else None,
    }


def _trtllm(call: Call, now: float, url: str | None) -> dict[str, Any]:
    """Stage names instead of progress, `duration` instead of `seconds`, an error as plain text."""
    del url
    status, values = call.status(now), call.tags["values"]
    word = _WORDS[status]
    if status is Status.RUNNING:
        word = "encoding" if call.progress(now) > 0.9 else "generating"
    return {
        "id": call.id,
        "object": "video",
        "model": values.get("model") or call.tags["served"],
        "prompt": values["prompt"],
        "status": word,
        "duration": values.get("seconds"),
        "fps": values.get("fps"),
        "size": _size(call),
        **_times(call, status),
        "error": failed_with(call)[1] if status is Status.FAILED else None,
    }


def _fastvideo(call: Call, now: float, url: str | None) -> dict[str, Any]:
    """`queued`, with no progress, until it is over."""
    del url
    status, done = call.status(now), call.status(now) is Status.SUCCEEDED
    return {
        "id": call.id,
        "object": "video",
        "model": call.tags["values"].get("model") or call.tags["served"],
        "status": _WORDS[status] if status.over else "queued",
        "progress": 100 if done else 0,
        "size": _size(call),
        "seconds": str(round(call.shape.seconds)),
        "quality": "standard",
        **_times(call, status),
        "file_path": f"/outputs/videos/{call.id}.mp4",
        "error": {"message": failed_with(call)[1]} if status is Status.FAILED else None,
        "inference_time_s": call.ends - call.starts if done else None,
    }


RECORDS: Mapping[EngineName, Record] = {
    "vllm-omni": _vllm_omni,
    "sglang": _sglang,
    "trtllm": _trtllm,
    "fastvideo": _fastvideo,
}
