"""`/healthz` (the process lives) and `/readyz` (it can accept work, or why not)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter
from starlette.responses import JSONResponse

from models.errors import FleetUnavailable, I2VError
from router.api.context import Context, GatewayContext

router = APIRouter(tags=["operations"])

CHECK_SECONDS = 5.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The event loop answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Some check failed; the body says which and why"}})
async def readyz(context: Context) -> JSONResponse:
    """Database and media store can be written, and at least one model can take work."""
    names = ("database", "media", "models")
    reasons = await asyncio.gather(
        _check(context.store.ping()),
        _check(asyncio.to_thread(context.media.ping)),
        _check(_some_model(context)),
    )
    checks = {
        name: {"ok": reason is None, **({"reason": reason} if reason is not None else {})}
        for name, reason in zip(names, reasons, strict=True)
    }
    ready = all(reason is None for reason in reasons)
    return JSONResponse(
        {"status": "ready" if ready else "not_ready", "checks": checks}, 200 if ready else 503
    )


async def _some_model(context: GatewayContext) -> None:
    pools = (await context.fleet()).pools
    if not pools:
        raise FleetUnavailable("no pool is known yet")
    if not any(pool.healthy for pool in pools):
        # Offers of one account share its name, and mostly what ails it.
        told = dict.fromkeys(f"{pool.name}: {pool.reason or 'not healthy'}" for pool in pools)
        raise FleetUnavailable("; ".join(told))


async def _check(probe: Awaitable[object]) -> str | None:
    """None when the probe passed, otherwise why it did not."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await probe
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    except I2VError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - a probe reports whatever is wrong
        return type(error).__name__
    return None
