"""`GET /v1/models` (OpenAI's list) and `GET /v1/videos/models` (what each can do, in OpenRouter's names)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from models.card import Card
from policies.base import Pool
from router.api.capabilities import CapabilityList, Readiness, capability_view, created, readiness
from router.api.context import Context
from router.api.videos import json_answer

router = APIRouter(tags=["models"])


class ModelView(BaseModel):
    """OpenAI's `Model`, then ours."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    shutdown_date: str | None = None
    title: str
    family: str
    status: str
    makes: str
    tasks: list[str]
    licence: str
    summary: str
    replacement: str | None
    readiness: Readiness
    """`warm`: a replica is up; `cold`: one must start first; `absent`: this fleet does not run it."""


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelView]


@router.get("/v1/models", responses={200: {"model": ModelList}})
async def list_models(context: Context) -> Response:
    """Every card of the catalog."""
    pools = (await context.fleet()).pools
    return json_answer(ModelList(data=[model_view(card, pools) for card in context.engine.catalog]))


@router.get("/v1/models/{model_id}", responses={200: {"model": ModelView}})
async def retrieve_model(model_id: str, context: Context) -> Response:
    """One card."""
    card = context.engine.catalog.get(model_id)
    return json_answer(model_view(card, (await context.fleet()).pools))


@router.get("/v1/videos/models", responses={200: {"model": CapabilityList}})
async def list_capabilities(context: Context) -> Response:
    """What every model can be asked for."""
    pools = (await context.fleet()).pools
    return json_answer(CapabilityList(data=[capability_view(card, pools) for card in context.engine.catalog]))


def model_view(card: Card, pools: Sequence[Pool]) -> ModelView:
    """A card as OpenAI clients list it."""
    return ModelView(
        id=card.id,
        created=created(card),
        owned_by=card.vendor,
        shutdown_date=card.retires_on.isoformat() if card.retires_on is not None else None,
        title=card.title,
        family=card.family,
        status=card.status,
        makes=card.makes,
        tasks=[task.value for task in card.tasks],
        licence=card.licence.id,
        summary=card.summary,
        replacement=card.replacement,
        readiness=readiness([pool for pool in pools if pool.model == card.id]),
    )
