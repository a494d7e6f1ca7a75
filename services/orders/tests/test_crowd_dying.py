"""Whoever submits a group order, or places a bulk order's orders, dies at every point; the timers go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest_asyncio
from switchyard.orders.v1 import bulk_pb2, groups_pb2, orders_pb2

from chassis import call, errors
from chassis.identity import Principal
from chassis.testing import Databases, Serve, Tenant
from services.orders.rpc.bulk_placing import BulkPlacing
from services.orders.rpc.counter import Counter
from services.orders.rpc.group_keeping import GroupKeeping
from services.orders.rpc.groups import GroupsRpc
from services.orders.tests.crowd import Crowd, gather_crowd

# More points than any of the flows has.
POINTS_MAX = 40


class Died(BaseException):
    """The process is gone: nothing catches it."""


class Mortal:
    """The real database, of a process that dies before, within or after its n-th transaction or read."""

    def __init__(self, database: Any, dies_at: int) -> None:
        self._database = database
        self._left = dies_at
        self.service = database.service

    def _point(self) -> None:
        self._left -= 1
        # Nothing that such a process had begun goes on.
        if self._left <= 0:
            raise Died

    @asynccontextmanager
    async def transaction(self, principal: Principal | None = None) -> AsyncIterator[Any]:
        self._point()
        async with self._database.transaction(principal) as session:
            yield session
            self._point()
        self._point()

    async def read(self, *asked: Any, **more: Any) -> Any:
        self._point()
        return await self._database.read(*asked, **more)


@pytest_asyncio.fixture
async def crowd(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]) -> Crowd:
    return await gather_crowd(serve, databases, tenant, inventory)


async def _submit_and_die(crowd: Crowd, group_id: str, dies_at: int) -> bool:
    """Whether the process lived to the end (in whichever way)."""
    service, sagas = crowd.shop.running.service, crowd.shop.sagas
    database: Any = Mortal(service.database, dies_at)
    keeping = GroupKeeping(database, Counter(database, sagas, crowd.shop.running.service.sites()), sagas)
    rpc = GroupsRpc(database, keeping, service.sites(), service.pager())
    with call.answering(call.Call(crowd.host, "orders.SubmitGroupOrder", category="financial")):
        try:
            await rpc.SubmitGroupOrder(groups_pb2.SubmitGroupOrderRequest(id=group_id))
        except Died:
            return False
        except errors.Conflict:
            pass
    return True


async def _settle(crowd: Crowd) -> None:
    await crowd.shop.resume_later()
    await crowd.shop.resume_later(timedelta(minutes=20))
    await crowd.keeping.resume()


class TestSubmitting:
    async def test_has_one_order_or_none_wherever_the_process_died(self, crowd: Crowd) -> None:
        lived, states = [], set()
        for point in range(1, POINTS_MAX):
            group = await crowd.open()
            await crowd.join(group)
            lived.append(await _submit_and_die(crowd, group.id, point))
            await _settle(crowd)
            found, orders = await crowd.get(group.id), await crowd.orders_of("group_id", group.id)
            states.add((found.status, tuple(order["status"] for order in orders)))
            if lived[-1]:
                break

        assert len(lived) > 5
        assert lived[-1]
        assert states == {
            (groups_pb2.GROUP_ORDER_STATUS_OPEN, ()),
            (groups_pb2.GROUP_ORDER_STATUS_SUBMITTED, ("queued",)),
        }

    async def test_refused_is_locked_again_wherever_the_process_died(self, crowd: Crowd) -> None:
        crowd.shop.inventory.stock = 0
        lived, states = [], set()
        for point in range(1, POINTS_MAX):
            group = await crowd.open()
            await crowd.join(group)
            lived.append(await _submit_and_die(crowd, group.id, point))
            await _settle(crowd)
            found = await crowd.get(group.id)
            states.add((found.status, found.rejection))
            if lived[-1]:
                break

        assert lived[-1]
        assert states == {
            (groups_pb2.GROUP_ORDER_STATUS_OPEN, ""),
            (groups_pb2.GROUP_ORDER_STATUS_LOCKED, "INSUFFICIENT_STOCK"),
        }

    async def test_submitting_again_goes_on_where_it_died(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        # Just after the order was accepted.
        assert not await _submit_and_die(crowd, group.id, 3)

        submitted = await crowd.submit(group.id)

        assert (await crowd.shop.get(submitted.order_id)).status == orders_pb2.ORDER_STATUS_QUEUED


class TestPlacing:
    async def test_each_has_one_outcome_wherever_the_process_died(self, crowd: Crowd) -> None:
        placed = 0
        for point in range(1, POINTS_MAX, 3):
            wishes = crowd.wishes(9)
            wishes.orders[4].lines[0].quantity = 10_000
            crowd.shop.inventory.stock = 5_000
            created = await crowd.bulks().CreateBulkOrder(wishes)
            database: Any = Mortal(crowd.shop.running.service.database, point)
            with suppress(Died):
                await BulkPlacing(
                    database, Counter(database, crowd.shop.sagas, crowd.shop.running.service.sites())
                ).resume()
            await _until_quiet()
            await crowd.later(crowd.placing.resume, timedelta(minutes=5))

            found = await crowd.progress(created.id)
            orders = await crowd.orders_of("bulk_id", created.id)
            assert (found.status, found.placed, found.refused) == (bulk_pb2.BULK_ORDER_STATUS_PLACED, 8, 1)
            assert sorted(order["status"] for order in orders) == ["cancelled", *["queued"] * 8]
            assert crowd.shop.inventory.stock == 5_000 - 8
            placed += 1
            # Not this one's business any more.
            await crowd.shop.rows("UPDATE bulk_orders SET due_at = 'infinity' WHERE id = $1", UUID(created.id))

        assert placed == len(range(1, POINTS_MAX, 3))


async def _until_quiet() -> None:
    """The other orders that the dead process was placing have met their end, too."""
    placing = [task for task in asyncio.all_tasks() if "_place_one" in repr(task.get_coro())]
    await asyncio.gather(*placing, return_exceptions=True)
