"""Typed clients of the HTTP API: `Client` blocks, `AsyncClient` awaits; both say the same."""

from router.client.answers import Attempt, Feedback, Health, Model, Video, VideoEvent
from router.client.awaiting import AsyncClient
from router.client.blocking import Client
from router.client.calls import ClipOptions, FinalOptions, ImageSource, Variant
from router.client.failures import ApiError, ClientError, ServerUnreachable, WaitTimeout

__all__ = [
    "ApiError",
    "AsyncClient",
    "Attempt",
    "Client",
    "ClientError",
    "ClipOptions",
    "Feedback",
    "FinalOptions",
    "Health",
    "ImageSource",
    "Model",
    "ServerUnreachable",
    "Variant",
    "Video",
    "VideoEvent",
    "WaitTimeout",
]
