"""What has lapsed is held anew for whoever comes back for it, and closed for whoever gives it back."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from switchyard.inventory.v1 import reservations_pb2 as held

from chassis import clock, errors
from chassis.testing import Serve, Tenant
from services.inventory import work
from services.inventory.tests.shop import Shop

ACTIVE, POSTED, RELEASED, EXPIRED = (
    held.RESERVATION_STATE_ACTIVE,
    held.RESERVATION_STATE_POSTED,
    held.RESERVATION_STATE_RELEASED,
    held.RESERVATION_STATE_EXPIRED,
)


async def _lapsed(serve: Serve, tenant: Tenant, quantity: int = 4) -> tuple[Shop, Any]:
    """A shop of ten pieces, and the wish of an order whose reservation has lapsed."""
    shop = await Shop.open(serve, tenant, (10, 0))
    wish = shop.wish(quantity)
    await shop.orders.Reserve(wish)
    with clock.shifted(timedelta(days=8)):
        await work.expire(shop.running.service.database)
    return shop, wish


def _again(wish: Any) -> Any:
    again = held.ReserveRequest()
    again.CopyFrom(wish)
    again.renews = True
    return again


class TestRenew:
    async def test_holds_it_anew_as_it_was_priced(self, serve: Serve, tenant: Tenant) -> None:
        shop, wish = await _lapsed(serve, tenant)

        reservation = await shop.orders.Reserve(_again(wish))

        assert reservation.state == ACTIVE
        assert [line.state for line in reservation.lines] == [ACTIVE]
        assert sum(pick.quantity for pick in reservation.picks) == 4
        assert await shop.stock() == (10, 4)

    async def test_it_is_posted_then(self, serve: Serve, tenant: Tenant) -> None:
        shop, wish = await _lapsed(serve, tenant)
        await shop.orders.Reserve(_again(wish))

        posted = await shop.orders.PostReservation(held.PostReservationRequest(order_id=wish.order_id))

        assert posted.state == POSTED
        assert await shop.stock() == (6, 0)

    async def test_many_at_once_hold_it_once(self, serve: Serve, tenant: Tenant) -> None:
        shop, wish = await _lapsed(serve, tenant)

        await asyncio.gather(*(shop.orders.Reserve(_again(wish)) for _ in range(6)))

        assert await shop.stock() == (10, 4)

    async def test_what_is_not_there_any_more_stays_expired(self, serve: Serve, tenant: Tenant) -> None:
        shop, wish = await _lapsed(serve, tenant)
        await shop.orders.Reserve(shop.wish(8))

        with pytest.raises(errors.Conflict, match="stock"):
            await shop.orders.Reserve(_again(wish))

        assert (await shop.orders.Reserve(wish)).state == EXPIRED
        assert await shop.stock() == (10, 8)

    async def test_what_was_given_back_since_stays_so(self, serve: Serve, tenant: Tenant) -> None:
        shop, wish = await _lapsed(serve, tenant)
        released = await shop.orders.ReleaseReservation(held.ReleaseReservationRequest(order_id=wish.order_id))

        late = await shop.orders.Reserve(_again(wish))

        assert (released.state, late.state) == (RELEASED, RELEASED)
        assert await shop.stock() == (10, 0)

    async def test_whoever_renews_what_holds_changes_nothing(self, serve: Serve, tenant: Tenant) -> None:
        shop = await Shop.open(serve, tenant, (10, 0))
        wish = shop.wish(4)
        first = await shop.orders.Reserve(wish)

        assert await shop.orders.Reserve(_again(wish)) == first
