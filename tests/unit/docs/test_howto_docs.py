"""What the how-tos show works when it is typed off."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from deployments.args import ProviderArgs
from deployments.config import load_serve_config
from deployments.discovery import PROVIDER_BUILDER
from models.card import Card
from models.catalog import Catalog, load_catalog
from models.errors import Cancelled
from models.gpus import load_gpus
from models.lint import lint
from models.priors import load_families, with_priors
from models.providers.base import Account, Attachment, Phase, Provider
from models.providers.http import Api
from models.providers.registry import GROUP as PROVIDERS
from models.providers.registry import ProviderSpec
from models.runners.base import RunRequest, Stage
from models.types import ClipWish, Objective, Size
from policies.base import Decision, Features, Fleet, ImageFeatures, PromptFeatures, RouteRequest
from policies.engine import Engine
from policies.fleet import idle_fleet
from policies.profile import load_profiles, parse_profile
from policies.registry import ENTRY_POINTS, discover, gather
from tests.unit.providers.hosted_calls import wanted

ROOT = Path(__file__).resolve().parents[3]
MODEL = "docs/howto/add-a-model.md"
POLICY = "docs/howto/add-a-policy.md"
RUNNER = "docs/howto/add-a-runner-or-provider.md"

Block = Callable[[str, str], str]
ModuleOf = Callable[[str, str], ModuleType]


@pytest.fixture
def catalog(block: Block, tmp_path: Path) -> Catalog:
    (tmp_path / "studio-wan.yaml").write_text(block(MODEL, "id: studio-wan"))
    return load_catalog(tmp_path)


def request(**changes: Any) -> RouteRequest:
    features = Features(
        ImageFeatures(1600, 1082, "landscape", subject="product", subject_confidence=0.6),
        PromptFeatures(camera=(), environment_motion=("rise",), motion_count=1, words=6),
    )
    return replace(RouteRequest(features=features, wish=ClipWish(size=Size(768, 512))), **changes)


def decide(catalog: Catalog, fleet: Fleet | None = None, **changes: Any) -> Decision:
    gpus = load_gpus()
    engine = Engine(catalog, gpus, load_profiles())
    return engine.decide(request(**changes), fleet or idle_fleet(catalog, gpus))


def test_the_card_joins_the_catalog_and_takes_part_in_decisions(catalog: Catalog) -> None:
    assert len(catalog) == len(load_catalog()) + 1
    open_to_all = decide(catalog)
    assert "studio-wan" in {scored.candidate.card.id for scored in open_to_all.candidates}
    asked = decide(catalog, model="studio-wan")
    assert asked.chosen is not None
    assert asked.chosen.candidate.card.id == "studio-wan"
    assert asked.chosen.candidate.prediction.seconds > 1


def test_the_overlay_is_accepted_strictly(block: Block, tmp_path: Path) -> None:
    overlay = tmp_path / "my-overlay.yaml"
    overlay.write_text(block(MODEL, "keep: [gateway, parallax, studio-wan]"))
    local = ROOT / "deployments" / "overlays" / "local.yaml"
    config = load_serve_config(ROOT / "serve_config.yaml", local, overlay)
    assert [application.name for application in config.applications] == ["gateway", "parallax", "studio-wan"]


def test_the_filter_and_the_scorer_decide(module_of: ModuleOf, block: Block) -> None:
    commercial = module_of(POLICY, "class CommercialUse").CommercialUse
    small = module_of(POLICY, "class SmallWeights").SmallWeights
    registry = gather([*discover().classes.values(), commercial, small])
    excerpt = yaml.safe_load(block(POLICY, "use: commercial_use"))
    shipped = yaml.safe_load((ROOT / "policies" / "profiles" / "balanced.yaml").read_text())
    profile = parse_profile(shipped | excerpt, "how-to", registry)
    catalog, gpus = load_catalog(), load_gpus()
    engine = Engine(catalog, gpus, load_profiles() | {"balanced": profile})
    decision = engine.decide(request(objective=Objective.BALANCED), idle_fleet(catalog, gpus))
    rejected = {row.model: row.reason for row in decision.rejected if row.filter == "commercial_use"}
    assert "svd-xt" in rejected
    assert "commercial use: no" in rejected["svd-xt"]
    assert decision.chosen is not None
    value, weight = decision.chosen.scores["small_weights"]
    assert 0 < value.value <= 1
    assert "GB of weights" in value.reason
    assert weight == 0.2


def test_the_entry_points_are_the_groups_that_are_read(block: Block) -> None:
    for document, group in ((POLICY, ENTRY_POINTS), (RUNNER, "i2v_router.runners"), (RUNNER, PROVIDERS)):
        declared = tomllib.loads(block(document, f'entry-points."{group}"'))["project"]["entry-points"]
        assert list(declared) == [group]
    reader = (ROOT / "deployments" / "rank.py").read_text()
    assert 'entry_points(group="i2v_router.runners")' in reader


class Watch:
    """A monitor that cancels at a step."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.cancel_at = cancel_at
        self.steps: list[tuple[int, int]] = []
        self.stages: list[Stage] = []

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)

    def step(self, done: int, total: int, preview: Any = None) -> None:
        if done == self.cancel_at:
            raise Cancelled("asked to")
        self.steps.append((done, total))

    def wants_preview(self) -> bool:
        return False


def test_the_runner_keeps_the_rules(module_of: ModuleOf) -> None:
    module = module_of(RUNNER, "class Freeze")
    parallax = load_catalog().get("parallax")
    decision = decide(load_catalog(), model="parallax")
    assert decision.chosen is not None
    plan = decision.chosen.candidate.plan
    runner = module.load(parallax, parallax.offer("local"), checkpoint=None, device="cpu")
    with Image.open(ROOT / "examples" / "photographs" / "product.jpg") as photograph:
        asked = RunRequest(image=photograph.convert("RGB"), prompt="", plan=plan, seed=1)
    watch = Watch()
    frames = list(runner.generate(asked, watch).frames)
    assert len(frames) == plan.effective.num_frames
    assert all(frame.shape == (plan.effective.height, plan.effective.width, 3) for frame in frames)
    assert frames[0].dtype == np.uint8
    assert watch.steps[-1] == (len(frames), len(frames))
    with pytest.raises(Cancelled):
        list(runner.generate(asked, Watch(cancel_at=3)).frames)
    runner.unload()


async def test_the_provider_keeps_the_rules(module_of: ModuleOf, tmp_path: Path) -> None:
    module = module_of(RUNNER, "class Ours")
    assert isinstance(module.SPEC, ProviderSpec)
    provider: Provider = module.SPEC.connect(Account("ours", "a-key"))
    await provider.close()
    answers = {
        ("GET", "/me"): httpx.Response(200),
        ("POST", "/files"): httpx.Response(200, json={"url": "https://farm.example.com/files/1"}),
        ("POST", "/models/minimax/hailuo-2.3/jobs"): httpx.Response(201, json={"job": "call_1"}),
        ("GET", "/jobs/call_1"): httpx.Response(
            200, json={"status": "done", "clip": "https://farm.example.com/c"}
        ),
        ("GET", "/jobs/call_2"): httpx.Response(404),
        ("DELETE", "/jobs/call_1"): httpx.Response(409),
        ("GET", "/c"): httpx.Response(200, headers={"Content-Type": "video/mp4"}, content=b"clip"),
    }

    async def farm(host: str) -> list[str]:
        return []

    api = Api(
        "ours",
        "https://farm.example.com",
        resolve=farm,
        transport=httpx.MockTransport(lambda request: answers[request.method, request.url.path]),
    )
    ours: Provider = module.Ours(api)
    await ours.check()
    url = await ours.upload(Attachment("call_1-image.jpg", "image/jpeg", b"jpeg"))
    prepared = ours.prepare(wanted("hailuo-2.3", "replicate"), {"image": url}, {})
    ticket = await ours.submit(prepared)
    assert await ours.find(prepared.reference, prepared.marker, 0.0, frozenset()) == ticket
    assert await ours.find("call_2", {}, 0.0, frozenset()) is None
    seen = await ours.look(ticket)
    assert seen.phase is Phase.SUCCEEDED
    assert (await ours.download(seen, ticket, tmp_path / "clip", 100)).bytes == 4
    await ours.cancel(ticket)


def test_the_application_of_the_provider_can_be_read(module_of: ModuleOf, block: Block) -> None:
    (application,) = yaml.safe_load(block(RUNNER, "wan2.2-on-our-farm"))
    assert application["import_path"] == PROVIDER_BUILDER
    args = ProviderArgs.model_validate(application["args"])
    told: ProviderSpec = module_of(RUNNER, "class Ours").SPEC
    assert args.provider == told.name
    assert load_catalog().get(str(args.model)).offer(str(args.offer)).backend == told.backend
    assert args.gpu in load_gpus()


def test_the_hosted_offer_of_the_page_is_a_whole_one(catalog: Catalog, block: Block) -> None:
    sheet = catalog.get("studio-wan").model_dump(mode="json", exclude_none=True)
    sheet["controls"]["audio_out"], sheet["controls"]["last_image"] = "native", "optional"
    sheet |= {
        "id": "hosted",
        "tasks": ["i2v", "ti2v", "flf2v"],
        **yaml.safe_load(block(MODEL, "ref: fal-ai/")),
    }
    card = with_priors(Card.model_validate(sheet), load_families())
    assert set(card.assumed) == {
        f"offers.fal.{what}" for what in ("latency", "modes.768p.fps", "modes.1080p.fps")
    }
    hosted = Catalog.of([card])
    assert [finding for finding in lint(hosted, card.checked_at) if finding.level == "error"] == []
    chosen = decide(hosted).chosen
    assert chosen is not None
    assert chosen.candidate.prediction.usd == pytest.approx(0.05 * chosen.candidate.plan.effective.seconds)


def test_a_hosted_offer_is_weighed_in_a_dry_run_and_rejected_where_nothing_runs_it(catalog: Catalog) -> None:
    sheet = catalog.get("studio-wan").model_dump(mode="json", exclude_none=True)
    sourced = {"source": "made up for a test", "checked_at": "2026-11-21"}
    offer = sheet["offers"][0]
    del offer["runner"], offer["default_gpu"]
    offer |= {
        "backend": "fal",
        "latency": {"p50": 30, "p95": 60, **sourced},
        "price": {"kind": "per_second", "usd": 0.05, **sourced},
    }
    hosted = Catalog.of([Card.model_validate(sheet | {"id": "hosted"})])
    assert decide(hosted).chosen is not None
    nowhere = decide(hosted, Fleet(()))
    assert nowhere.chosen is None
    assert [row.filter for row in nowhere.rejected] == ["health"]
