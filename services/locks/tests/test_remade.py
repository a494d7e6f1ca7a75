"""The bucket is deleted and made anew under a running process."""

import asyncio

import pytest
from nats.aio.client import Client as Nats
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1 import locks_pb2_grpc

from chassis import buckets
from chassis.buckets import Bucket
from chassis.testing import Serve, Tenant
from services.locks.__main__ import build


async def test_the_process_ends_and_the_next_one_begins_anew(
    serve: Serve, tenant: Tenant, nats_client: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "HEARTBEAT_S", 0.2)
    running = await serve("locks", build)
    await nats_client.jetstream().delete_stream("KV_locks")
    await Bucket(nats_client, "locks", replicas=1).ensure()

    await asyncio.wait_for(running.service._stopping.wait(), 20)

    again = locks_pb2_grpc.LocksServiceStub((await serve("locks", build)).channel(tenant.user()))
    assert (await again.Acquire(pb.AcquireRequest(lock_name="restock"))).acquired
