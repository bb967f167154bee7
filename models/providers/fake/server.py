"""A fake as a server on a port of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from models.providers.fake.connections import CuttableProtocol
from models.providers.fake.control import control_routes
from models.providers.fake.core import Fake
from models.providers.fake.families import family
from models.providers.fake.settings import FakeSettings

__all__ = ["FakeSettings", "app", "running", "serving"]


def app(fake: Fake) -> Starlette:
    """The fake's routes as one application: directing it first, then its family's.

    Raises:
        ValueError: there is no fake of that provider.
    """
    return Starlette(routes=[*control_routes(fake), *family(fake.settings.provider)(fake)])


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: whoever starts it decides when it ends."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(settings: FakeSettings) -> AsyncIterator[Fake]:
    """Serve a fake in this event loop as long as the block lasts.

    Raises:
        ValueError: there is no fake of that provider.
        OSError: the port is taken.
    """
    fake = Fake(settings)
    async with serving(app(fake), settings.host, settings.port) as url:
        fake.url = url
        try:
            yield fake
        finally:
            await fake.close()


@asynccontextmanager
async def serving(application: Starlette, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application in this event loop; gives its base URL once it listens.

    Raises:
        OSError: the port is taken.
    """
    config = uvicorn.Config(
        application,
        http=CuttableProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    # asyncio turns Nagle's delay (40 ms an answer) off only where the protocol is named.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        work = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                if work.done():
                    await work
                    raise OSError(f"nothing listens at {host}:{port}")
                await asyncio.sleep(0.005)
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await work
