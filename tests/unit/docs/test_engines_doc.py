"""What docs/engines.md says of the engines is what the data say, and its application can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deployments.args import ProviderArgs
from models.catalog import load_catalog
from models.gpus import load_gpus
from models.providers.base import Account
from models.providers.engine_quirks import ENGINES
from models.providers.registry import spec

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "engines.md").read_text(encoding="utf-8")
COLUMNS = ("vllm-omni", "sglang", "trtllm", "fastvideo", "lightx2v")


def table() -> dict[str, dict[str, str]]:
    """Row to engine to what is said."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line[:2] == "| "
    ]
    return {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in rows if row[0]}


def test_the_application_can_be_read() -> None:
    block = next(
        body for body in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S) if "import_path" in body
    )
    (application,) = yaml.safe_load(block)
    assert application["import_path"] == "deployments.app:build_provider"
    args = ProviderArgs.model_validate(application["args"])
    assert args.engine
    offer = load_catalog().get(str(args.model)).offer(str(args.offer))
    assert offer.backend == "engine"
    assert args.gpus in offer.degrees
    assert args.gpu in load_gpus()
    assert spec(args.provider).backend == "engine"


@pytest.mark.parametrize("name", ENGINES)
def test_the_table_says_what_the_quirks_say(name: str) -> None:
    quirks, said = ENGINES[name], {row: cells[name] for row, cells in table().items()}
    assert said["length is sent as"] == quirks.length
    assert said["frame rates"] == ("whole" if quirks.whole_fps else "any")
    assert said["flow shift"] == ("sent" if "flow_shift" in quirks.fields else "set at its start")
    assert said["guidance"] == ("sent" if "guidance_scale" in quirks.fields else "set at its start")
    assert said["sound on request (LTX-2)"] == ("yes" if "generate_sound" in quirks.fields else "no")
    assert said["progress"] == ("per step" if quirks.tells_progress else "no")
    assert said["says when work begins"] == ("yes" if quirks.tells_start else "no")
    found = {"prompt": "prompt and size", "model": "our reference"}[quirks.recognised_by]
    assert said["a lost submission is found by"] == found


@pytest.mark.parametrize("name", COLUMNS)
def test_the_table_says_which_engine_can_be_stopped(name: str) -> None:
    provider = spec(name).connect(Account(name, url="http://127.0.0.1:1"))
    said = table()["cancel stops the GPU"][name]
    assert said == ("yes" if provider.abilities.cancels else "no")
