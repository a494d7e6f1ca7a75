"""Changes are written down once each, whoever dies in between."""

import asyncio

import orjson
from nats.aio.client import Client as Nats
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from switchyard.audit.v1 import audit_pb2
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import codec
from chassis.db import Database
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
        again = await _consumer(nats_client, registry)
        batch = await again.fetch(2, timeout=10)

        await Intake(registry.running.service.database).take(batch)

        assert len(await registry.history(name, 2)) == 2
        assert (await again.consumer_info()).num_ack_pending == 0

    async def test_what_cannot_be_written_now_comes_again(
        self, registry: Registry, name: str, nats_client: Nats
    ) -> None:
        await registry.register(name)
        consumer = await _consumer(nats_client, registry)
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


async def _consumer(connection: Nats, registry: Registry) -> JetStreamContext.PullSubscription:
    """One more reader of the bucket's stream, from its beginning."""
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, durable_name="tests")
    return await connection.jetstream().pull_subscribe(registry.bucket.subjects, "tests", config=config)


async def _until_told(registry: Registry, subscription: Subscription, instance_id: str) -> audit_pb2.AuditEvent:
    async with asyncio.timeout(10):
        while True:
            await registry.running.sent()
            message = await subscription.next_msg(10)
            event = codec.from_json(audit_pb2.AuditEvent, orjson.loads(message.data))
            if f"instances/{instance_id}" in event.resources:
                return event
