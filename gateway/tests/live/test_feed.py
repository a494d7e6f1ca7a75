"""Events are read without gaps, whatever happens to the consumer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client as Nats

from chassis import streams
from chassis.testing import Tenant
from gateway.realtime import feed
from gateway.realtime.feed import Event, Feed


class Reading:
    def __init__(self, connection: Nats, tenant: str) -> None:
        self.tenant = tenant
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.lost = 0
        self.feed = Feed(connection, self._take, self._lose)

    def _take(self, event: Event) -> None:
        if event.tenant == self.tenant:
            self.events.put_nowait(event)

    def _lose(self) -> None:
        self.lost += 1

    async def next(self) -> Event:
        return await asyncio.wait_for(self.events.get(), 10)


@pytest_asyncio.fixture(loop_scope="session")
async def reading(nats_client: Nats, tenant: Tenant) -> AsyncIterator[Reading]:
    made = Reading(nats_client, str(tenant.id))
    work = asyncio.create_task(made.feed.run())
    async with asyncio.timeout(10):
        while not made.feed.has_read:
            await asyncio.sleep(0.01)
    yield made
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def _publish(connection: Nats, tenant: Tenant, number: int, **headers: str) -> None:
    subject = f"evt.{tenant.id}.kettles.KettleBoiled"
    await connection.jetstream().publish(subject, b"%d" % number, headers=headers or None)


class TestFeed:
    async def test_an_event_as_it_was_published(self, reading: Reading, nats_client: Nats, tenant: Tenant) -> None:
        await _publish(nats_client, tenant, 1, **{"Switchyard-Audience": "tenant,site:s1"})

        assert await reading.next() == Event(str(tenant.id), "kettles.KettleBoiled", "tenant,site:s1", b"1")

    async def test_a_lost_consumer_is_made_anew_without_a_gap(
        self, reading: Reading, nats_client: Nats, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "SILENCE_S", 1.5)
        await _publish(nats_client, tenant, 1)
        await reading.next()
        manager = nats_client.jetstream()

        for consumer in await manager.consumers_info(streams.EVENTS):
            if consumer.config.durable_name is None:
                await manager.delete_consumer(streams.EVENTS, consumer.name)
        await _publish(nats_client, tenant, 2)
        await _publish(nats_client, tenant, 3)

        assert [(await reading.next()).payload for _ in range(2)] == [b"2", b"3"]
        assert reading.lost == 0

    async def test_a_handler_that_fails_stops_nothing(
        self, nats_client: Nats, tenant: Tenant, reading: Reading, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = reading.feed._on_event

        def fail_once(event: Event) -> Any:
            if event.payload == b"1":
                raise ZeroDivisionError
            taken(event)

        monkeypatch.setattr(reading.feed, "_on_event", fail_once)
        await _publish(nats_client, tenant, 1)
        await _publish(nats_client, tenant, 2)

        assert (await reading.next()).payload == b"2"
