"""The whole suite as production has it, on three NATS servers: it goes on when one is killed that leads."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from nats.aio.client import Client as Nats

from chassis import streams
from tests.e2e.conftest import System, eventually, up

OURS = (*streams.NAMES, "KV_locks", "KV_registry")


@pytest_asyncio.fixture(loop_scope="session")
async def production(tmp_path: Path) -> AsyncIterator[System]:
    """A suite that was not refused."""
    with up(tmp_path, "--nats", "3", SWITCHYARD_ENVIRONMENT="production") as running:
        yield running


class TestKilledLeader:
    async def test_locks_are_kept_and_given(self, production: System) -> None:
        nats = await streams.connect(_state(production)["nats_url"], "tests")
        async with await production.acting("admin") as admin:
            held = await _acquire(admin, "before")
            leaders = {name: await _leader(nats, name) for name in OURS}
            killed = production.kill(leaders["KV_locks"])
            given = await _acquire(admin, "after")
            taken = await admin.post("/api/v1/locks/acquire", json={"lock_name": "before"})
            released = await admin.post("/api/v1/locks/release", json={"lock_id": held["lock_id"]})
        await eventually(lambda: _is_back(production, leaders["KV_locks"], killed), 60)
        copies = [(await nats.jetstream().stream_info(name)).config.num_replicas for name in OURS]
        await nats.close()

        assert given["fencing_token"] > held["fencing_token"]
        assert taken.json()["data"]["acquired"] is False
        assert released.is_success, released.text
        assert copies == [3] * len(OURS)


def _state(system: System) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((system.run_dir / "state.json").read_text())
    return state


async def _acquire(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """A lease, as soon as there is a leader that can give it."""
    found: list[httpx.Response] = []

    async def asked() -> bool:
        found.append(await client.post("/api/v1/locks/acquire", json={"lock_name": name, "timeout": 300}))
        return found[-1].status_code != 503

    await eventually(asked, 60)
    assert found[-1].is_success, found[-1].text
    lease: dict[str, Any] = found[-1].json()["data"]
    assert lease["acquired"] is True
    return lease


async def _leader(nats: Nats, stream: str) -> str:
    info = await nats.jetstream().stream_info(stream)
    assert info.cluster is not None
    assert info.cluster.leader is not None
    return info.cluster.leader


async def _is_back(system: System, node: str, killed: int) -> bool:
    return system.pid(node) not in {0, killed}
