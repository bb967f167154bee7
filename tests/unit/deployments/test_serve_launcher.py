"""What the Router makes of each way in which a call through a Serve handle can end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException

from deployments import router
from deployments.router import ServeLauncher
from router.jobs.records import PoolRecord
from router.launching import Taken, WorkerLost


class Response:
    """A handle's response that ends as scripted."""

    def __init__(self, ending: Any) -> None:
        self.ending = ending
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        if self.ending is None:
            await asyncio.Event().wait()
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending


class Handle:
    """Stands for `DeploymentHandle`; remembers who was made."""

    made: list[Handle]
    ending: Any = None

    def __init__(self, deployment: str, application: str) -> None:
        self.name = (deployment, application)
        self.responses: list[Response] = []
        self.made.append(self)

    @property
    def run(self) -> Handle:
        return self

    def remote(self, job_id: str, fence: int) -> Response:
        del job_id, fence
        self.responses.append(Response(self.ending))
        return self.responses[-1]


@pytest.fixture
def handles(monkeypatch: pytest.MonkeyPatch) -> type[Handle]:
    fresh = type("Fresh", (Handle,), {"made": []})
    monkeypatch.setattr(router, "DeploymentHandle", fresh)
    return fresh


async def test_one_handle_per_pool(handles: type[Handle]) -> None:
    handles.ending = {"taken": True, "reason": ""}
    launcher = ServeLauncher()
    for pool in ("a", "b", "a"):
        assert await launcher.launch(pool, "vid_1", 1) == Taken(taken=True)
    assert [handle.name for handle in handles.made] == [("Model", "a"), ("Model", "b")]


@pytest.mark.parametrize(
    "ending",
    [
        DeploymentUnavailableError(DeploymentID("Model", "a")),
        BackPressureError(1, 1),
        {"taken": False, "reason": "it is being replaced"},
    ],
)
async def test_a_call_that_reached_nobody_was_not_taken(handles: type[Handle], ending: Any) -> None:
    handles.ending = ending
    answer = await ServeLauncher().launch("a", "vid_1", 1)
    assert not answer.taken
    assert answer.reason


@pytest.mark.parametrize(
    "ending",
    [ActorDiedError(), RayTaskError("run", "a traceback", ValueError("a bug")), RayServeException("odd")],
)
async def test_a_dead_worker_is_lost(handles: type[Handle], ending: Any) -> None:
    handles.ending = ending
    with pytest.raises(WorkerLost, match="pool a"):
        await ServeLauncher().launch("a", "vid_1", 1)


async def test_a_network_fault_leaves_the_attempt_to_its_lease(handles: type[Handle]) -> None:
    handles.ending = ActorUnavailableError("no answer", None)
    assert (await ServeLauncher().launch("a", "vid_1", 1)).taken


async def test_a_handle_to_a_deleted_application_is_not_used_again(handles: type[Handle]) -> None:
    launcher = ServeLauncher()
    handles.ending = DeploymentUnavailableError(DeploymentID("Model", "a"))
    await launcher.launch("a", "vid_1", 1)
    handles.ending = {"taken": True, "reason": ""}
    assert (await launcher.launch("a", "vid_1", 1)).taken
    assert len(handles.made) == 2


async def test_a_withdrawn_call_is_withdrawn_from_serve(handles: type[Handle]) -> None:
    call = asyncio.create_task(ServeLauncher().launch("a", "vid_1", 1))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert handles.made[0].responses[0].cancelled


def pool(name: str, backend: str = "local") -> PoolRecord:
    return PoolRecord(
        name=name, model="", offer="", gpu="cpu", gang_size=1, min_replicas=1, max_replicas=1, healthy=True,
        reason="", backend=backend,
    )  # fmt: skip


async def test_accounts_and_engines_are_called_at_their_own_deployment(
    handles: type[Handle], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [pool("wan"), pool("replicate", "replicate"), pool("fal", "fal"), pool("sglang", "engine")]

    async def pools() -> list[PoolRecord]:
        return found

    monkeypatch.setattr(router, "model_pools", pools)
    handles.ending = {"taken": True, "reason": "", "elsewhere": False}
    launcher = ServeLauncher()
    assert await launcher.pools() == found
    for name in ("wan", "replicate", "fal", "sglang"):
        assert (await launcher.launch(name, "vid_1", 1)).taken
    assert [handle.name for handle in handles.made] == [
        ("Model", "wan"),
        ("Provider", "replicate"),
        ("Provider", "fal"),
        ("Provider", "sglang"),
    ]


async def test_an_application_that_becomes_an_account_is_found_again(
    handles: type[Handle], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [pool("a")]

    async def pools() -> list[PoolRecord]:
        return found

    monkeypatch.setattr(router, "model_pools", pools)
    launcher = ServeLauncher()
    await launcher.pools()
    handles.ending = DeploymentUnavailableError(DeploymentID("Model", "a"))
    assert not (await launcher.launch("a", "vid_1", 1)).taken
    found[:] = [pool("a", "fal")]
    await launcher.pools()
    handles.ending = {"taken": True, "reason": ""}
    assert (await launcher.launch("a", "vid_1", 1)).taken
    assert [handle.name for handle in handles.made] == [("Model", "a"), ("Provider", "a")]


async def test_a_replica_that_drains_says_that_another_may_take_it(handles: type[Handle]) -> None:
    handles.ending = {"taken": False, "reason": "this replica drains", "elsewhere": True}
    answer = await ServeLauncher().launch("a", "vid_1", 1)
    assert (answer.taken, answer.elsewhere) == (False, True)


async def test_pools_that_serve_does_not_tell_are_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        raise ActorDiedError

    monkeypatch.setattr(router, "model_pools", away)
    with pytest.raises(ConnectionError, match="ActorDiedError"):
        await ServeLauncher().pools()
