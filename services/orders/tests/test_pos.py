"""Orders told to a point of sale on a real port: slow, down, forgetful, talking garbage, or late."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from switchyard.orders.v1 import orders_pb2, pos_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Databases, Serve, Tenant
from services.orders import pos, post
from services.orders.pos_addresses import Guard
from services.orders.tests.conftest import open_shop
from services.orders.tests.pos_support import Answer, Building, Connected, point_of_sale

CONFIRMED, REJECTED = pos_pb2.POS_VERDICT_CONFIRMED, pos_pb2.POS_VERDICT_REJECTED
LATER = timedelta(hours=6)


@pytest_asyncio.fixture
async def site(
    serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]
) -> AsyncIterator[Connected]:
    building = Building()
    async with point_of_sale() as till:
        shop = await open_shop(serve, databases, tenant, inventory, building)
        await shop.rows("UPDATE forwards SET due_at = 'infinity'")
        yield Connected(shop, building.post, till)
        await building.post.close()


class TestPutPosConnection:
    async def test_the_secret_is_shown_once(self, site: Connected) -> None:
        made = await site.connect()
        again = await site.connect()
        read = await site.stub().GetPosConnection(pos_pb2.GetPosConnectionRequest(site_id=site.shop.site))

        assert made.secret.startswith("whsec_")
        assert (again.secret, again.version, read.secret, read.url) == ("", 1, "", site.till.url)
        assert (made.enabled, made.provider) == (True, pos_pb2.POS_PROVIDER_STANDARD)

    async def test_a_rotated_secret_is_another(self, site: Connected) -> None:
        first = await site.connect()
        second = await site.connect(rotate_secret=True)

        order_id = await site.placed()
        await site.send()

        assert second.secret not in {"", first.secret}
        assert site.till.verified(second.secret)[0]["data"]["order"]["id"] == order_id

    async def test_neither_secret_nor_key_is_in_the_trail_the_events_or_the_table(self, site: Connected) -> None:
        made = await site.connect()
        await site.connect(rotate_secret=True, url=f"{site.till.url}&more")

        rows = await site.shop.rows("SELECT envelope FROM outbox WHERE tenant_id = $1", site.shop.tenant.id)
        written = "".join(row["envelope"] for row in rows)
        table = await site.shop.rows("SELECT secret FROM pos_connections WHERE tenant_id = $1", site.shop.tenant.id)
        assert "pos_connections/" in written
        assert "PosConnectionChanged" in written
        assert "of-the-pos" not in written
        assert made.secret not in written
        assert made.secret.encode() not in table[0]["secret"]

    async def test_if_match(self, site: Connected) -> None:
        await site.connect()

        with pytest.raises(errors.StaleVersion):
            await site.connect(enabled=False, told={"switchyard_expected_version": "7"})

    async def test_many_at_once_make_one(self, site: Connected) -> None:
        made = await asyncio.gather(*(site.connect() for _ in range(8)))

        assert len([one.secret for one in made if one.secret]) == 1

    async def test_an_unknown_site_is_not_found_first(self, site: Connected) -> None:
        site.shop.running.service.every_site.closed.add(site.shop.site)

        with pytest.raises(errors.NotFound):
            await site.connect(url="https://10.0.0.1/")

    async def test_deleted_it_is_gone(self, site: Connected) -> None:
        await site.connect()
        request = pos_pb2.DeletePosConnectionRequest(site_id=site.shop.site)
        await site.stub().DeletePosConnection(request)

        with pytest.raises(errors.NotFound):
            await site.stub().DeletePosConnection(request)

    async def test_another_tenants_is_none(self, site: Connected) -> None:
        await site.connect()

        with pytest.raises(errors.NotFound):
            await site.stub(Tenant().user()).GetPosConnection(pos_pb2.GetPosConnectionRequest(site_id=site.shop.site))


class TestForwarding:
    async def test_an_order_is_sent_signed(self, site: Connected) -> None:
        secret = (await site.connect()).secret
        order_id = await site.placed(customer_name="Ada")

        await site.send()

        told = site.till.verified(secret)[0]
        assert (told["type"], told["data"]["order"]["id"]) == ("order.placed", order_id)
        assert (told["data"]["order"]["customer_name"], told["data"]["order"]["number"]) == ("Ada", 1)
        assert await site.status(order_id) == ("sent", "")

    async def test_it_may_be_confirmed_at_once(self, site: Connected) -> None:
        await site.connect()
        site.till.answers = [Answer(201, b'{"confirmed": true, "reference": "A-17"}')]
        order_id = await site.placed()

        await site.send()

        assert await site.status(order_id) == ("confirmed", "A-17")
        assert await site.shop.outbox(order_id) == ["OrderPlaced", "OrderPosStatusChanged", "OrderConfirmed"]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"OK",
            b"[]",
            b"{",
            b'{"confirmed": "true"}',
            b"\xff\xfe",
            b'{"confirmed": true' + b" " * 100_000 + b"}",
        ],
    )
    async def test_garbage_takes_it_without_confirming(self, site: Connected, body: bytes) -> None:
        await site.connect()
        site.till.answers = [Answer(200, body)]
        order_id = await site.placed()

        await site.send()

        assert await site.status(order_id) == ("sent", "")

    @pytest.mark.parametrize("reference", [b"7", b'"\\u0000"', b'"' + b"x" * 201 + b'"'])
    async def test_a_reference_that_is_none(self, site: Connected, reference: bytes) -> None:
        await site.connect()
        site.till.answers = [Answer(200, b'{"confirmed": true, "reference": %s}' % reference)]
        order_id = await site.placed()

        await site.send()

        assert await site.status(order_id) == ("confirmed", "")

    @pytest.mark.parametrize("status", [302, 400, 404, 410, 500, 503])
    async def test_what_is_not_taken_is_tried_again(self, site: Connected, status: int) -> None:
        await site.connect()
        site.till.answers = [Answer(status, headers={"location": site.till.url}), Answer()]
        order_id = await site.placed()

        await site.send()
        delayed = await site.forwards(order_id)
        await site.send(LATER)

        assert delayed == {"placed": ("pending", 1, f"ANSWERED_{status}")}
        assert await site.status(order_id) == ("sent", "")
        assert len({one.id for one in site.till.heard}) == 1
        assert len(site.till.heard) == 2

    async def test_not_before_its_time(self, site: Connected) -> None:
        await site.connect()
        site.till.answers = [Answer(503, headers={"retry-after": "600"}), Answer()]
        order_id = await site.placed()

        await site.send()
        await site.send(timedelta(seconds=500))
        early = len(site.till.heard)
        await site.send(timedelta(seconds=700))

        assert (early, len(site.till.heard)) == (1, 2)
        assert await site.status(order_id) == ("sent", "")

    async def test_a_pos_that_is_down_is_given_up(self, site: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pos, "TRIES_MAX", 3)
        await site.connect(url="http://127.0.0.1:1/")
        order_id = await site.placed()

        for days in range(1, 6):
            await site.send(timedelta(days=days))

        assert await site.forwards(order_id) == {"placed": ("failed", 3, "NOT_REACHED")}
        assert await site.status(order_id) == ("failed", "")

    async def test_a_slow_pos_is_not_waited_for(self, site: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(post, "TIMEOUT_S", 0.2)
        await site.connect()
        done = asyncio.Event()
        site.till.answers = [Answer(when=done), Answer()]
        order_id = await site.placed()

        await site.send()
        delayed = await site.forwards(order_id)
        done.set()
        await site.send(LATER)

        assert delayed == {"placed": ("pending", 1, "TIMED_OUT")}
        assert await site.status(order_id) == ("sent", "")

    async def test_a_slow_pos_keeps_no_other_tenant_waiting(self, site: Connected) -> None:
        await site.connect()
        done = asyncio.Event()
        site.till.answers = [Answer(when=done)]
        for _ in range(post.FLYING_OF_TENANT + 4):
            await site.placed()

        await site.post.send()
        flying = len(site.post._flying)
        done.set()
        await site.post.landed()

        assert flying == post.FLYING_OF_TENANT

    async def test_two_processes_send_it_once(self, site: Connected) -> None:
        await site.connect()
        order_ids = [await site.placed() for _ in range(6)]
        other = post.Post(site.shop.running.service.database, site.post._vault, site.post._guard)

        await asyncio.gather(site.post.send(), other.send())
        await site.post.landed()
        await other.landed()
        await other.close()

        assert len(site.till.heard) == len(order_ids)

    async def test_a_process_that_died_is_stood_in_for(self, site: Connected) -> None:
        await site.connect()
        site.till.answers = [Answer(when=asyncio.Event()), Answer()]
        order_id = await site.placed()
        dying = post.Post(site.shop.running.service.database, site.post._vault, site.post._guard)
        await dying.send()
        await site.till.came.wait()
        await dying.close()

        await site.send()
        early = len(site.till.heard)
        await site.send(pos.LEASE * 2)

        assert (early, len(site.till.heard)) == (1, 2)
        assert site.till.heard[0].id == site.till.heard[1].id
        assert await site.status(order_id) == ("sent", "")

    async def test_the_event_twice_is_one_message(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.told(await site.shop.get(order_id))

        await site.send()

        assert len(site.till.heard) == 1

    @pytest.mark.parametrize("connections", [[], [{"enabled": False}]])
    async def test_without_a_connection_nothing_is_told(
        self, site: Connected, connections: list[dict[str, Any]]
    ) -> None:
        for connection in connections:
            await site.connect(**connection)
        order_id = await site.placed()

        await site.send()

        assert (await site.status(order_id), site.till.heard) == (("none", ""), [])

    async def test_a_connection_taken_away(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.stub().DeletePosConnection(pos_pb2.DeletePosConnectionRequest(site_id=site.shop.site))

        await site.send()

        assert (await site.status(order_id), site.till.heard) == (("failed", ""), [])

    async def test_a_name_that_came_to_point_inside_is_told_nothing(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        guarded = post.Post(site.shop.running.service.database, site.post._vault, Guard(http=True))

        await guarded.send()
        await guarded.landed()
        await guarded.close()

        assert (await site.forwards(order_id), site.till.heard) == ({"placed": ("pending", 1, "ADDRESS_FORBIDDEN")}, [])

    async def test_nothing_secret_is_logged(self, site: Connected, capfd: pytest.CaptureFixture[str]) -> None:
        secret = (await site.connect()).secret
        site.till.answers = [Answer(500, b"secret of the pos"), Answer()]
        await site.placed(customer_name="Ada Lovelace")

        await site.send()
        await site.send(LATER)

        logged = "".join(capfd.readouterr())
        assert "forward_failed" in logged
        assert not [word for word in (secret, "of-the-pos", "secret of", "Lovelace") if word in logged]


class TestCancelling:
    async def test_what_was_told_is_told_again(self, site: Connected) -> None:
        secret = (await site.connect()).secret
        order_id = await site.placed()
        await site.send()
        await site.cancelled(order_id)

        await site.send()

        assert [told["type"] for told in site.till.verified(secret)] == ["order.placed", "order.cancelled"]
        assert len({one.id for one in site.till.heard}) == 2

    async def test_what_was_not_told_need_not_be(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.cancelled(order_id)

        await site.send(LATER)

        assert (await site.status(order_id), site.till.heard) == (("none", ""), [])

    async def test_it_does_not_overtake_the_order(self, site: Connected) -> None:
        await site.connect()
        done = asyncio.Event()
        site.till.answers = [Answer(when=done), Answer()]
        order_id = await site.placed()
        await site.post.send()
        await site.till.came.wait()

        await site.cancelled(order_id)
        await site.post.send()
        early = [one.type for one in site.till.heard]
        done.set()
        await site.post.landed()
        await site.send()

        assert early == ["order.placed"]
        assert [one.type for one in site.till.heard] == ["order.placed", "order.cancelled"]

    async def test_an_event_that_comes_late_tells_nothing(self, site: Connected) -> None:
        await site.connect()
        order = await site.shop.place()
        await site.cancelled(order.id)
        await site.told(order)

        await site.send()

        assert site.till.heard == []


class TestConfirmPosOrder:
    async def test_later(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.send()

        answered = await site.confirm(order_id, "A-1")
        again = await site.confirm(order_id, "A-1")

        assert (answered.pos_status, answered.pos_reference) == (orders_pb2.POS_STATUS_CONFIRMED, "A-1")
        assert again == answered
        assert (await site.shop.outbox(order_id)).count("OrderConfirmed") == 1

    async def test_before_our_own_sent(self, site: Connected) -> None:
        await site.connect()
        done = asyncio.Event()
        site.till.answers = [Answer(when=done)]
        order_id = await site.placed()
        await site.post.send()
        await site.till.came.wait()

        await site.confirm(order_id, "A-2")
        done.set()
        await site.post.landed()

        assert await site.status(order_id) == ("confirmed", "A-2")

    async def test_a_reference_may_follow(self, site: Connected) -> None:
        await site.connect()
        site.till.answers = [Answer(200, b'{"confirmed": true}')]
        order_id = await site.placed()
        await site.send()

        await site.confirm(order_id, "A-3")

        assert await site.status(order_id) == ("confirmed", "A-3")

    async def test_refused(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.send()

        await site.confirm(order_id, status=REJECTED)

        assert await site.status(order_id) == ("rejected", "")

    async def test_what_was_said_stays_said(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.confirm(order_id, "A-4")

        with pytest.raises(errors.InvalidTransition):
            await site.confirm(order_id, status=REJECTED)
        with pytest.raises(errors.InvalidTransition):
            await site.confirm(order_id, "A-5")

    async def test_many_at_once_one_wins(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        verdicts = [CONFIRMED, REJECTED] * 6

        answers = await asyncio.gather(
            *(site.confirm(order_id, status=verdict) for verdict in verdicts), return_exceptions=True
        )

        won = {answer.pos_status for answer in answers if isinstance(answer, orders_pb2.Order)}
        assert len(won) == 1
        assert len([answer for answer in answers if isinstance(answer, errors.InvalidTransition)]) == 6

    async def test_an_order_that_was_not_told(self, site: Connected) -> None:
        order = await site.shop.place()

        with pytest.raises(errors.Conflict) as refused:
            await site.confirm(order.id)

        assert refused.value.code == "NOT_FORWARDED"

    async def test_another_sites_pos_finds_nothing(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        granted = frozenset({"orders.pos.confirm"})
        other = type(site.pos)("pos", "x", site.pos.tenant_id, "", ("pos",), granted, frozenset({str(uuid7())}))

        with pytest.raises(errors.NotFound):
            await site.confirm(order_id, by=other)

    async def test_a_person_is_no_pos(self, site: Connected) -> None:
        with pytest.raises(errors.Denied):
            await site.confirm(str(uuid7()), by=site.admin)


class TestForwardOrder:
    async def test_what_failed_is_sent_again(self, site: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pos, "TRIES_MAX", 1)
        await site.connect()
        site.till.answers = [Answer(500), Answer()]
        order_id = await site.placed()
        await site.send()

        order = await site.forward(order_id)
        await site.send()

        assert order.pos_status == orders_pb2.POS_STATUS_PENDING
        assert await site.status(order_id) == ("sent", "")
        assert site.till.heard[0].id == site.till.heard[1].id

    async def test_what_was_queued_before_there_was_a_connection(self, site: Connected) -> None:
        order_id = await site.placed()
        await site.connect()

        await site.forward(order_id)
        await site.send()

        assert await site.status(order_id) == ("sent", "")

    async def test_without_a_connection(self, site: Connected) -> None:
        order_id = await site.placed()

        with pytest.raises(errors.Conflict) as refused:
            await site.forward(order_id)

        assert refused.value.code == "NO_POS_CONNECTION"

    async def test_what_was_answered_is_not_sent_again(self, site: Connected) -> None:
        await site.connect()
        order_id = await site.placed()
        await site.confirm(order_id)

        with pytest.raises(errors.InvalidTransition):
            await site.forward(order_id)

    async def test_staff_may_not(self, site: Connected) -> None:
        order_id = await site.placed()

        with pytest.raises(errors.Denied):
            await site.forward(order_id, site.shop.staff)


class TestEvents:
    async def test_orders_reach_the_pos_by_themselves(
        self, serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]
    ) -> None:
        building = Building(handles=True)
        async with point_of_sale() as till:
            shop = await open_shop(serve, databases, tenant, inventory, building)
            site = Connected(shop, building.post, till)
            running = asyncio.create_task(building.post.run())
            secret = (await site.connect()).secret

            order = await shop.stub(shop.kiosk).PlaceKioskOrder(shop.kiosk_wish(uuid7()))
            await asyncio.wait_for(till.came.wait(), 20)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        assert till.verified(secret)[0]["data"]["order"]["id"] == order.id
        sql = "SELECT audience FROM outbox WHERE envelope LIKE '%OrderPosStatusChanged%' AND tenant_id = $1"
        audience = (await shop.rows(sql, tenant.id))[0]["audience"]
        assert {f"kiosk:{shop.site}", f"orders:queue:{shop.site}"} <= set(audience.split(","))
