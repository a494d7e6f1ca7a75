"""The bucket is deleted and made anew under a running process."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client as Nats
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import buckets


async def test_the_process_ends_and_the_next_one_begins_anew(
    start: Any, name: str, nats_client: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "HEARTBEAT_S", 0.2)
    before = await start()
    await before.register(name)
    await nats_client.jetstream().delete_stream(before.bucket.stream)
    await before.bucket.ensure()

    await asyncio.wait_for(before.running.service._stopping.wait(), 20)

    after = await start()
    await after.register(name)
    assert await after.state(name) == [pb.INSTANCE_STATE_PASSING]
