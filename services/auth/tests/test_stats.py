"""What users have done, from events as orders publishes them."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from nats.aio.client import Client as Nats
from switchyard.auth.v1 import users_pb2
from switchyard.orders.v1 import events_pb2, orders_pb2
from uuid_utils.compat import uuid7

from chassis import codec, errors, inbox
from chassis.testing import Tenant
from services.auth import events
from services.auth.tests.support import Auth, admin

BEGAN = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUEUED, PREPARING, READY, COMPLETED, CANCELLED = (
    orders_pb2.ORDER_STATUS_QUEUED,
    orders_pb2.ORDER_STATUS_PREPARING,
    orders_pb2.ORDER_STATUS_READY,
    orders_pb2.ORDER_STATUS_COMPLETED,
    orders_pb2.ORDER_STATUS_CANCELLED,
)


def moved(tenant: Tenant, order: str, status: orders_pb2.OrderStatus, by: str, *, after_s: float = 0) -> bytes:
    """An event of orders as it travels."""
    told = orders_pb2.Order(id=order, status=status)
    told.updated_at.FromDatetime(BEGAN + timedelta(seconds=after_s))
    event = events_pb2.OrderStatusChanged(order=told)
    envelope = {
        "id": str(uuid7()),
        "type": event.DESCRIPTOR.full_name,
        "tenantid": str(tenant.id),
        "actor": by,
        "data": orjson.loads(codec.encode(event)),
    }
    return orjson.dumps(envelope)


def a_whole_order(tenant: Tenant, by: str, *, took_s: float = 60) -> list[bytes]:
    order = str(uuid7())
    return [
        moved(tenant, order, PREPARING, by),
        moved(tenant, order, READY, "user:somebody else", after_s=took_s),
        moved(tenant, order, COMPLETED, "service:orders", after_s=took_s + 5),
    ]


@pytest.fixture
def consumer(auth: Auth, nats_client: Nats) -> inbox.Inbox:
    return inbox.Inbox(auth.running.service.database, nats_client, events.HANDLERS)


async def take(consumer: inbox.Inbox, told: Sequence[bytes]) -> None:
    for each in told:
        await consumer.handle(each)


async def stats(auth: Auth, tenant: Tenant, user_id: str) -> users_pb2.UserStats:
    answer: users_pb2.UserStats = await auth.stub(admin(tenant)).GetUserStats(users_pb2.GetUserStatsRequest(id=user_id))
    return answer


class TestGetUserStats:
    async def test_before_the_first_order(self, auth: Auth, tenant: Tenant) -> None:
        found = await stats(auth, tenant, (await auth.person(tenant)).id)

        assert found == users_pb2.UserStats()

    async def test_orders_and_their_preparation_are_counted(
        self, auth: Auth, tenant: Tenant, consumer: inbox.Inbox
    ) -> None:
        person = await auth.person(tenant)

        for took_s in (60, 120):
            await take(consumer, a_whole_order(tenant, f"user:{person.id}", took_s=took_s))

        found = await stats(auth, tenant, person.id)
        assert (found.orders_handled, found.average_preparation_s) == (2, 90.0)
        assert not found.HasField("shifts_worked")

    async def test_in_any_order_and_twice_they_count_once(
        self, auth: Auth, tenant: Tenant, consumer: inbox.Inbox
    ) -> None:
        person = await auth.person(tenant)

        for told in itertools.permutations(range(3)):
            steps = a_whole_order(tenant, f"user:{person.id}")
            await take(consumer, [steps[place] for place in (*told, *told)])

        found = await stats(auth, tenant, person.id)
        assert (found.orders_handled, found.average_preparation_s) == (6, 60.0)

    async def test_at_once_they_count_once(self, auth: Auth, tenant: Tenant, consumer: inbox.Inbox) -> None:
        person = await auth.person(tenant)

        told = [step for _ in range(10) for step in a_whole_order(tenant, f"user:{person.id}")]
        await asyncio.gather(*(consumer.handle(each) for each in (*told, *told)))

        assert (await stats(auth, tenant, person.id)).orders_handled == 10

    async def test_what_is_not_completed_or_nobodys_is_not_counted(
        self, auth: Auth, tenant: Tenant, consumer: inbox.Inbox
    ) -> None:
        person = await auth.person(tenant)
        by, order = f"user:{person.id}", str(uuid7())

        await take(consumer, a_whole_order(tenant, by)[:2])
        await take(consumer, a_whole_order(tenant, "kiosk:1"))
        await take(consumer, [moved(tenant, order, QUEUED, by), moved(tenant, order, CANCELLED, by)])

        assert (await stats(auth, tenant, person.id)).orders_handled == 0

    async def test_another_tenants_orders_do_not_count(self, auth: Auth, tenant: Tenant, consumer: inbox.Inbox) -> None:
        person = await auth.person(tenant)

        await take(consumer, a_whole_order(Tenant(), f"user:{person.id}"))

        assert (await stats(auth, tenant, person.id)).orders_handled == 0

    async def test_another_tenants_user_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.NotFound):
            await stats(auth, Tenant(), person.id)
