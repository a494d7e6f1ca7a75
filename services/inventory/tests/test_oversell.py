"""More orders than stock, at several processes at once, while lots expire, are recalled, and reservations lapse.

Whatever wins, each attack ends with the same books: movements, balances, batches and picks agree.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import reservations_pb2 as held

from chassis import clock
from chassis.testing import Databases, Serve, Tenant
from services.inventory import work
from services.inventory.tests.shop import (
    Shop,
    admin,
    allow_backorder,
    at_once,
    balanced,
    post,
    recall,
    release,
)

ACTIVE = held.RESERVATION_STATE_ACTIVE
PARTIALLY_POSTED = held.RESERVATION_STATE_PARTIALLY_POSTED
POSTED = held.RESERVATION_STATE_POSTED
RELEASED = held.RESERVATION_STATE_RELEASED
EXPIRED = held.RESERVATION_STATE_EXPIRED
CLIENTS = 200


def outcomes(answers: Iterable[Any]) -> Counter[str]:
    """How often what was answered; a bug, an unanswered call or a deadlock would show by its name."""
    return Counter(getattr(answer, "code", None) or type(answer).__name__ for answer in answers)


async def in_the_middle(tasks: Iterable[asyncio.Future[Any]], answers: int = 8) -> None:
    """Return when so many of some calls have been answered."""
    for answered in itertools.islice(asyncio.as_completed(tasks), answers):
        # What was wrong with an answer is judged when all are there.
        await at_once([answered])


async def states(databases: Databases, tenant: Tenant) -> Counter[int]:
    """What has become of the reservations of a tenant."""
    rows = await admin(databases, "SELECT state FROM reservations WHERE tenant_id = $1", tenant.id)
    return Counter(row["state"] for row in rows)


class TestTwoProcesses:
    async def test_two_hundred_clients_and_thirty_seven_units(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (20, 3), (10, 5), (7, 0), processes=2)
        clients = [shop.client(number) for number in range(CLIENTS)]
        wishes = [shop.wish() for _ in clients]

        reserved = await at_once(client.Reserve(wish) for client, wish in zip(clients, wishes, strict=True))
        stock = await shop.stock()
        posted = await at_once(
            client.PostReservation(post(wish.order_id)) for client, wish in zip(clients, wishes, strict=True)
        )

        assert outcomes(reserved) == {"Reservation": 37, "INSUFFICIENT_STOCK": CLIENTS - 37}
        assert stock == (37, 37)
        assert outcomes(posted) == {"Reservation": 37, "NOT_FOUND": CLIENTS - 37}
        assert await shop.stock() == (0, 0)
        await balanced(databases, tenant)

    async def test_the_same_order_at_both(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (10, 0), processes=2)
        wish = shop.wish(of=[shop.menu_item_id] * 3)
        clients = [shop.client(number) for number in range(20)]

        answers = await at_once(client.Reserve(wish) for client in clients)
        assert all(answer == answers[0] for answer in answers)
        answers = await at_once(client.PostReservation(post(wish.order_id)) for client in clients)

        assert all(answer == answers[0] for answer in answers)
        assert await shop.stock() == (7, 0)
        await balanced(databases, tenant)

    async def test_items_in_opposite_order(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (60, 2), (60, 0), processes=2)
        others = [await shop.sell(name, (60, 2), (60, 0)) for name in "YZ"]
        things = [shop.menu_item_id, *(menu_item_id for _, menu_item_id in others)]
        orders = list(itertools.islice(itertools.cycle(itertools.permutations(things)), 60))
        clients = [shop.client(number) for number in range(60)]
        wishes = [shop.wish(of=of) for of in orders]

        async def go(number: int) -> Any:
            client, wish = clients[number], wishes[number]
            await client.Reserve(wish)
            first, *rest = [line.line_id for line in reversed(wish.lines)]
            await client.PostReservation(post(wish.order_id, first))
            if number % 3:
                return await client.PostReservation(post(wish.order_id, *rest))
            return await client.ReleaseReservation(release(wish.order_id, *rest))

        answers = await at_once(go(number) for number in range(60))

        assert outcomes(answers) == {"Reservation": 60}
        assert {answer.state for answer in answers} == {POSTED}
        await balanced(databases, tenant)

    async def test_items_that_were_never_there_in_opposite_order(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, processes=2)
        others = [await shop.sell(name) for name in "YZ"]
        for item_id, _ in ((shop.item_id, ""), *others):
            await allow_backorder(databases, item_id)
        things = [shop.menu_item_id, *(menu_item_id for _, menu_item_id in others)]
        orders = list(itertools.islice(itertools.cycle(itertools.permutations(things, 2)), 30))

        answers = await at_once(shop.client(number).Reserve(shop.wish(of=of)) for number, of in enumerate(orders))

        assert outcomes(answers) == {"Reservation": 30}
        assert await shop.stock() == (0, 20)
        await balanced(databases, tenant)


class TestLots:
    async def test_one_expires_in_the_middle(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (20, 1), (30, 0), processes=2)
        clients = [shop.client(number) for number in range(100)]
        wishes = [shop.wish() for _ in clients]
        # A pass is for the time at which it was made: each is used once before time goes on.
        await at_once(client.ReleaseReservation(release(shop.wish().order_id)) for client in clients)
        calls = [client.Reserve(wish) for client, wish in zip(clients, wishes, strict=True)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await in_the_middle(tasks)

        with clock.shifted(timedelta(days=2)):
            reserved = await at_once(tasks)
            posted = await at_once(
                client.PostReservation(post(wish.order_id)) for client, wish in zip(clients, wishes, strict=True)
            )

        got = outcomes(reserved)["Reservation"]
        assert 38 <= got <= 50
        # All of the lot that lasts is sold, and nothing of the other.
        assert outcomes(posted) == +Counter(Reservation=30, INSUFFICIENT_STOCK=got - 30, NOT_FOUND=100 - got)
        assert await shop.stock() == (20, got - 30)
        await balanced(databases, tenant)

    async def test_one_is_recalled_in_the_middle(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (20, 1), (30, 0), processes=2)
        clients = [shop.client(number) for number in range(60)]
        wishes = [shop.wish() for _ in clients]
        tasks = [asyncio.ensure_future(client.Reserve(wish)) for client, wish in zip(clients, wishes, strict=True)]
        await in_the_middle(tasks)

        await recall(shop, "L0")
        reserved = await at_once(tasks)
        posted = await at_once(
            client.PostReservation(post(wish.order_id)) for client, wish in zip(clients, wishes, strict=True)
        )

        assert set(outcomes(reserved)) <= {"Reservation", "INSUFFICIENT_STOCK"}
        assert outcomes(posted)["Reservation"] == min(30, outcomes(reserved)["Reservation"])
        batches = (await shop.staff.ListBatches(pb.ListBatchesRequest(item_id=shop.item_id))).batches
        assert next(batch for batch in batches if batch.lot == "L0").on_hand == 20
        await balanced(databases, tenant)


class TestLapse:
    async def test_posting_races_with_expiry(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (40, 0), processes=2)
        clients = [shop.client(number) for number in range(40)]
        wishes = [shop.wish() for _ in clients]
        await at_once(client.Reserve(wish) for client, wish in zip(clients, wishes, strict=True))

        with clock.shifted(timedelta(days=8)):
            posting = asyncio.gather(
                *(client.PostReservation(post(wish.order_id)) for client, wish in zip(clients, wishes, strict=True)),
                return_exceptions=True,
            )
            await at_once(work.expire(process.service.database) for process in shop.processes)
            posted = outcomes(await posting)

        ended = await states(databases, tenant)
        assert posted == +Counter({"Reservation": ended[POSTED], "INVALID_STATE_TRANSITION": ended[EXPIRED]})
        assert ended[POSTED] + ended[EXPIRED] == 40
        sql = "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND subject LIKE '%.ReservationExpired'"
        assert (await admin(databases, sql, tenant.id))[0][0] == ended[EXPIRED]
        assert await shop.stock() == (40 - ended[POSTED], 0)
        await balanced(databases, tenant)


class TestLines:
    async def test_posts_and_releases_of_all_and_of_some_at_once(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        shop = await Shop.open(serve, tenant, (30, 3), (90, 0), processes=2)
        wishes = [shop.wish(of=[shop.menu_item_id] * 3) for _ in range(30)]
        clients = [shop.client(number) for number in range(12)]
        await at_once(clients[0].Reserve(wish) for wish in wishes)

        def attack(wish: held.ReserveRequest, number: int) -> list[Any]:
            first, second, third = (line.line_id for line in wish.lines)
            turn = itertools.cycle(clients[number % 12 :] + clients[: number % 12])
            return [
                next(turn).PostReservation(post(wish.order_id, first)),
                next(turn).ReleaseReservation(release(wish.order_id, first, second)),
                next(turn).PostReservation(post(wish.order_id, second, third)),
                next(turn).ReleaseReservation(release(wish.order_id)),
                next(turn).Reserve(wish),
                next(turn).PostReservation(post(wish.order_id)),
            ]

        answers = await at_once(call for number, wish in enumerate(wishes) for call in attack(wish, number))

        assert set(outcomes(answers)) <= {"Reservation", "INVALID_STATE_TRANSITION"}
        ended = await states(databases, tenant)
        assert ended[POSTED] + ended[RELEASED] == 30
        sql = "SELECT count(*) FROM reservation_lines WHERE tenant_id = $1 AND state = 3"
        sold = (await admin(databases, sql, tenant.id))[0][0]
        assert await shop.stock() == (120 - sold, 0)
        await balanced(databases, tenant)

    async def test_new_lines_race_with_the_end(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (200, 0), processes=2)
        wishes = [shop.wish(of=[shop.menu_item_id] * 2) for _ in range(30)]
        clients = [shop.client(number) for number in range(2)]
        for wish in wishes:
            begun = held.ReserveRequest(order_id=wish.order_id, site_id=wish.site_id, lines=wish.lines[:1])
            await clients[0].Reserve(begun)

        answers = await at_once(
            call
            for wish in wishes
            for call in (
                clients[0].Reserve(wish),
                clients[1].ReleaseReservation(release(wish.order_id)),
                clients[0].PostReservation(post(wish.order_id)),
            )
        )

        assert set(outcomes(answers)) <= {"Reservation", "INVALID_STATE_TRANSITION"}
        ended = await states(databases, tenant)
        assert ended[POSTED] + ended[RELEASED] == 30
        assert (await shop.stock())[1] == 0
        await balanced(databases, tenant)


class TestBackorder:
    async def test_stock_comes_in_while_orders_wait(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        shop = await Shop.open(serve, tenant, (5, 0), processes=2)
        await allow_backorder(databases, shop.item_id)
        clients = [shop.client(number) for number in range(50)]
        wishes = [shop.wish() for _ in clients]
        reserved = await at_once(client.Reserve(wish) for client, wish in zip(clients, wishes, strict=True))
        stock = await shop.stock()

        posted = await at_once(
            itertools.chain(
                (shop.receive(5, lot=f"N{number}") for number in range(4)),
                (client.PostReservation(post(wish.order_id)) for client, wish in zip(clients, wishes, strict=True)),
            )
        )

        assert outcomes(reserved) == {"Reservation": 50}
        assert stock == (5, 50)
        sold = outcomes(posted)["Reservation"]
        assert outcomes(posted[4:]) == {"Reservation": sold, "INSUFFICIENT_STOCK": 50 - sold}
        assert 5 <= sold <= 25
        assert await shop.stock() == (25 - sold, 50 - sold)
        await balanced(databases, tenant)
        again = await at_once(shop.orders.PostReservation(post(wish.order_id)) for wish in wishes)
        assert outcomes(again) == {"Reservation": 25, "INSUFFICIENT_STOCK": 25}
        await balanced(databases, tenant)
