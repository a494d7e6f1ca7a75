"""Changes are written down once each, whoever dies in between."""

import asyncio
import base64
from itertools import pairwise
from typing import Any

import asyncpg
import orjson
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from switchyard.audit.v1 import audit_pb2
from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import codec
from chassis.buckets import Bucket
from chassis.db import Database
from chassis.identity import PLATFORM
from chassis.testing import Databases
from services.registry import keeper, roster
from services.registry.intake import Intake
from services.registry.tests.conftest import Registry, request


class TestIntake:
    async def test_each_change_is_in_the_history_once_with_all_that_is_known(
        self, registry: Registry, name: str
    ) -> None:
        instance = await registry.register(name, zone="a")
        await registry.acting(name).Drain(pb.DrainRequest(name=name, instance_id=instance.id))

        told = await registry.history(name, 3)

        assert [(each.from_state, each.to_state, each.reason) for each in told] == [
            (pb.INSTANCE_STATE_PASSING, pb.INSTANCE_STATE_DRAINING, "drained"),
            (pb.INSTANCE_STATE_STARTING, pb.INSTANCE_STATE_PASSING, "ready"),
            (pb.INSTANCE_STATE_UNSPECIFIED, pb.INSTANCE_STATE_STARTING, "registered"),
        ]
        assert [each.revision for each in told] == sorted((each.revision for each in told), reverse=True)
        assert told[2].revision == instance.epoch

    async def test_a_change_whose_writer_died_before_it_said_so_is_not_written_again(
        self, registry: Registry, name: str, nats_client: Nats
    ) -> None:
        """The writer commits and dies: the messages come again, to another one."""
        await registry.register(name)
        await registry.history(name, 2)
        again = await _consumer(nats_client, registry.bucket)
        batch = await again.fetch(2, timeout=10)

        await Intake(registry.running.service.database).take(batch)

        assert len(await registry.history(name, 2)) == 2
        assert (await again.consumer_info()).num_ack_pending == 0

    async def test_what_cannot_be_written_now_comes_again(
        self, registry: Registry, name: str, nats_client: Nats
    ) -> None:
        await registry.register(name)
        consumer = await _consumer(nats_client, registry.bucket)
        away = Database("registry", "postgresql://nobody@127.0.0.1:1/nothing")
        batch = await consumer.fetch(2, timeout=10)
        await Intake(away).take(batch)

        again = await consumer.fetch(2, timeout=10)

        assert {message.metadata.sequence.stream for message in again} <= {
            message.metadata.sequence.stream for message in batch
        }

    async def test_who_did_it_is_in_the_trail(self, registry: Registry, name: str, nats_client: Nats) -> None:
        subscription = await nats_client.subscribe("aud.*.registry")
        asked = request(name)
        await registry.acting(name).Register(asked)

        told = await _until_told(registry, subscription, asked.instance.id)

        assert (told.action, told.actor) == ("registry.Register", f"service:{name}")

    async def test_who_listens_is_told_of_the_change(self, registry: Registry, name: str, nats_client: Nats) -> None:
        subscription = await nats_client.subscribe("evt.*.registry.InstanceHealthChanged")
        instance = await registry.register(name, zone="a")
        await registry.history(name, 2)
        await registry.running.sent()

        async with asyncio.timeout(10):
            while True:
                event = orjson.loads((await subscription.next_msg(10)).data)
                if event["subject"] == f"instances/{instance.id}" and event["data"]["status"] == "passing":
                    break

        assert (event["data"]["previous_status"], event["data"]["zone"]) == ("starting", "a")


class TestOrder:
    """Batches of a bucket that no process of the registry reads."""

    async def test_what_comes_late_is_written_and_not_told(
        self, registry: Registry, name: str, nats_client: Nats, databases: Databases
    ) -> None:
        instance, batch = await _written(nats_client, name)
        intake = Intake(registry.running.service.database)

        await intake.take(batch[1:])
        await intake.take(batch[:1])

        written = await registry.history(name, 2)
        assert [each.to_state for each in written] == [pb.INSTANCE_STATE_PASSING, pb.INSTANCE_STATE_STARTING]
        told = await _outbox(databases, instance)
        assert [each["data"]["status"] for each in told if "data" in each] == ["passing"]

    async def test_a_write_that_was_repeated_is_in_the_trail_once(
        self, registry: Registry, name: str, nats_client: Nats, databases: Databases
    ) -> None:
        entry = audit_pb2.AuditEvent(id=str(uuid7()), tenant_id=str(PLATFORM), service="registry")
        instance, batch = await _written(nats_client, name, entry)

        await Intake(registry.running.service.database).take(batch)

        assert len(await registry.history(name, 2)) == 2
        assert [each["id"] for each in await _outbox(databases, instance) if "data" not in each] == [entry.id]

    async def test_what_is_no_change_keeps_nothing_up(self, registry: Registry, name: str, nats_client: Nats) -> None:
        bucket = registry.bucket.subjects
        for key, value in ((f"{name}.{uuid7()}", b""), (f"{name}.x", b"\xff"), (name, pb.Instance(id="x"))):
            body = value if isinstance(value, bytes) else value.SerializeToString()
            await nats_client.jetstream().publish(bucket.replace(">", key), body)

        await registry.register(name)

        assert len(await registry.history(name, 2)) == 2


async def _written(
    connection: Nats, name: str, audited: audit_pb2.AuditEvent | None = None
) -> tuple[pb.Instance, list[Msg]]:
    """An instance that began and passed, and the two messages that say so, in a bucket of its own."""
    bucket = Bucket(connection, f"order-{name}", replicas=1, history=keeper.HISTORY)
    await bucket.ensure()
    instance, revision = request(name).instance, 0
    instance.service = name
    for left, state in pairwise((pb.INSTANCE_STATE_UNSPECIFIED, pb.INSTANCE_STATE_STARTING, pb.INSTANCE_STATE_PASSING)):
        headers = {roster.LEFT: str(left)}
        if audited is not None:
            audited.resources[:] = [f"instances/{instance.id}"]
            headers[keeper.AUDIT] = base64.b64encode(audited.SerializeToString()).decode()
        instance.state = state
        key = roster.key_of(name, instance.id)
        revision = await bucket.put(key, instance.SerializeToString(), last=revision, headers=headers)
    return instance, await (await _consumer(connection, bucket)).fetch(2, timeout=10)


async def _outbox(databases: Databases, instance: pb.Instance) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(databases.admin("registry"))
    rows = await connection.fetch("SELECT envelope FROM outbox WHERE envelope LIKE $1 ORDER BY seq", f"%{instance.id}%")
    await connection.close()
    return [orjson.loads(row["envelope"]) for row in rows]


async def _consumer(connection: Nats, bucket: Bucket) -> JetStreamContext.PullSubscription:
    """One more reader of the bucket's stream, from its beginning."""
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, durable_name="tests")
    return await connection.jetstream().pull_subscribe(bucket.subjects, "tests", stream=bucket.stream, config=config)


async def _until_told(registry: Registry, subscription: Subscription, instance_id: str) -> audit_pb2.AuditEvent:
    async with asyncio.timeout(10):
        while True:
            await registry.running.sent()
            message = await subscription.next_msg(10)
            event = codec.from_json(audit_pb2.AuditEvent, orjson.loads(message.data))
            if f"instances/{instance_id}" in event.resources:
                return event
