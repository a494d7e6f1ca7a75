"""Webhooks through a real server: signed, applied once, in any order."""

import asyncio
import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from nats.aio.client import Client as Nats
from standardwebhooks.webhooks import Webhook
from switchyard.common.v1 import http_pb2
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import webhooks_pb2 as hooks
from uuid_utils.compat import uuid7

from chassis import clock, errors, streams
from chassis.identity import Principal
from chassis.testing import Databases, Running, Serve, Tenant
from services.inventory.tests import shop
from services.inventory.tests.support import Stub

URL = "https://example.com/hooks/square"
KEY = "square-signature-key"


@dataclass(frozen=True)
class Till:
    """A site's point of sale, which counts the item X of a shop."""

    shop: shop.Shop
    pos: Any
    secret: str

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant, *, provider: str = "toast", **told: Any) -> "Till":
        opened = await shop.Shop.open(serve, tenant, (10, 0))
        request = hooks.PutWebhookEndpointRequest(site_id=opened.site_id, provider=provider, **told)
        endpoint = await opened.staff.PutWebhookEndpoint(request)
        pos = Stub(opened.running.channel(_pos(tenant, opened.site_id)))
        return cls(opened, pos, endpoint.secret)

    @classmethod
    async def of_square(cls, serve: Serve, tenant: Tenant, **told: Any) -> "Till":
        return await cls.open(serve, tenant, provider="square", secret=KEY, notification_url=URL, **told)

    async def send(self, quantity: int, *, at: datetime | None = None, event_id: str = "", sku: str = "X") -> Any:
        """A count of one thing."""
        count = {"sku": sku, "quantity": quantity, "occurred_at": (at or clock.now()).isoformat()}
        return await self.post({"type": "stock.counted", "data": {"counts": [count]}}, event_id=event_id)

    async def post(
        self, body: Any, *, event_id: str = "", secret: str = "", signed_at: datetime | None = None, pos: Any = None
    ) -> Any:
        """A webhook by Standard Webhooks."""
        sent = body if isinstance(body, bytes) else orjson.dumps(body)
        event_id, signed_at = event_id or f"msg_{uuid7()}", signed_at or clock.now()
        signature = Webhook(secret or self.secret).sign(event_id, signed_at, sent.decode())
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(signed_at.timestamp())),
            "webhook-signature": signature,
        }
        return await self.deliver(sent, headers, pos=pos)

    async def deliver(
        self, body: bytes, headers: Mapping[str, str], *, provider: str = "toast", pos: Any = None
    ) -> Any:
        """A webhook as it is."""
        request = http_pb2.HttpRequest(
            method="POST",
            path=f"/stores/{self.shop.site_id}/webhooks/{provider}/end_point",
            headers=[http_pb2.HttpHeader(name=name, value=value) for name, value in headers.items()],
            body=body,
        )
        answer = await (pos or self.pos).ReceiveWebhook(request)
        assert answer.status == 200
        return orjson.loads(answer.body)

    async def square(self, *counts: Mapping[str, Any], event_id: str = "", key: str = KEY) -> Any:
        """A webhook of Square's."""
        body = orjson.dumps(
            {
                "merchant_id": "6SSW7HV8K2ST5",
                "type": "inventory.count.updated",
                "event_id": event_id or str(uuid7()),
                "created_at": clock.now().isoformat(),
                "data": {
                    "type": "inventory_counts",
                    "id": str(uuid7()),
                    "object": {"inventory_counts": [{**_SQUARE, **count} for count in counts]},
                },
            }
        )
        signature = base64.b64encode(hmac.new(key.encode(), URL.encode() + body, hashlib.sha256).digest()).decode()
        return await self.deliver(body, {"x-square-hmacsha256-signature": signature}, provider="square")

    async def deliveries(self, **asked: Any) -> Any:
        """What came in."""
        listed = await self.shop.staff.ListWebhookDeliveries(hooks.ListWebhookDeliveriesRequest(**asked))
        return listed.webhook_deliveries


_SQUARE = {
    "calculated_at": "2026-01-01T10:00:00.123Z",
    "catalog_object_id": "X",
    "catalog_object_type": "ITEM_VARIATION",
    "location_id": "L1",
    "quantity": "7",
    "state": "IN_STOCK",
}


def _pos(tenant: Tenant, site_id: str) -> Principal:
    return Principal("pos", str(uuid7()), tenant.id, "", ("pos",), frozenset(), frozenset({site_id}))


def _statuses(answer: Any) -> list[str]:
    return [result["status"] for result in answer["results"]]


async def _moves(connection: Nats, running: Running, tenant: Tenant) -> int:
    """How often it was told that stock moved."""
    await running.sent()
    subject = f"evt.{tenant.id}.inventory.StockMoved"
    info = await connection.jetstream().stream_info(streams.EVENTS, subjects_filter=subject)
    return (info.state.subjects or {}).get(subject, 0)


class TestCounts:
    async def test_the_stock_is_what_was_counted(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)

        answers = [await till.send(quantity) for quantity in (4, 25)]

        assert [answer["status"] for answer in answers] == ["applied", "applied"]
        assert answers[1]["results"] == [{"sku": "X", "status": "applied", "reason": "", "on_hand": 25}]
        assert await till.shop.stock() == (25, 0)
        request = pb.ListMovementsRequest(item_id=till.shop.item_id)
        movements = (await till.shop.staff.ListMovements(request)).movements
        assert [each.type for each in movements] == [pb.MOVEMENT_TYPE_COUNT] * 2 + [pb.MOVEMENT_TYPE_RECEIVE]

    async def test_what_is_so_already_changes_and_tells_nothing(
        self, serve: Serve, tenant: Tenant, nats_client: Nats
    ) -> None:
        till = await Till.open(serve, tenant)
        before = await _moves(nats_client, till.shop.running, tenant)

        answer = await till.send(10)

        assert (answer["status"], _statuses(answer)) == ("unchanged", ["unchanged"])
        assert await _moves(nats_client, till.shop.running, tenant) == before

    async def test_an_event_is_applied_once(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        first = await till.send(4, event_id="msg_1")
        await till.shop.receive(5, lot="L9")

        again = await till.send(4, event_id="msg_1")

        assert again == {**first, "duplicate": True}
        assert await till.shop.stock() == (9, 0)
        assert len(await till.deliveries()) == 1

    async def test_copies_that_come_at_once_are_applied_once(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)

        answers = await asyncio.gather(*(till.send(4, event_id="msg_1") for _ in range(12)))

        assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 11
        assert {answer["status"] for answer in answers} == {"applied"}
        assert await till.shop.stock() == (4, 0)
        movements = await till.shop.staff.ListMovements(pb.ListMovementsRequest(item_id=till.shop.item_id))
        assert len(movements.movements) == 2

    async def test_of_counts_in_any_order_the_newest_stands(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        till = await Till.open(serve, tenant)
        began = clock.now() - timedelta(hours=1)
        counts = [(20 + number, began + timedelta(minutes=number)) for number in range(10)]
        shuffled = random.Random(7).sample(counts, len(counts))

        await asyncio.gather(*(till.send(quantity, at=at) for quantity, at in shuffled))

        assert await till.shop.stock() == (29, 0)
        late = await till.send(3, at=began)
        assert (late["status"], _statuses(late), late["results"][0]["on_hand"]) == ("unchanged", ["stale"], 29)
        await shop.balanced(databases, tenant)

    async def test_each_count_answers_for_itself(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        counts = [{"sku": "NOBODY", "quantity": 1}, {"sku": "x", "quantity": 6}]

        answer = await till.post({"type": "stock.counted", "data": {"counts": counts}}, event_id="msg_1")

        assert (answer["status"], _statuses(answer)) == ("partial", ["unknown_sku", "applied"])
        (kept,) = await till.deliveries(status=hooks.DELIVERY_STATUS_PARTIAL, provider="toast")
        assert (kept.event_id, kept.reason) == ("msg_1", "NOBODY: no item has this SKU")
        assert [result.sku for result in kept.results] == ["NOBODY", "x"]
        assert await till.shop.stock() == (6, 0)

    async def test_less_than_is_promised_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        await till.shop.orders.Reserve(till.shop.wish(8))

        answers = [await till.send(quantity) for quantity in (7, 8)]

        assert [_statuses(answer) for answer in answers] == [["refused"], ["applied"]]
        assert answers[0]["results"][0]["reason"] == "8 are promised to orders"
        assert await till.shop.stock() == (8, 8)

    async def test_what_is_dated_ahead_keeps_nothing_out(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)

        ahead = await till.send(4, at=clock.now() + timedelta(days=1))

        assert _statuses(ahead) == ["refused"]
        assert _statuses(await till.send(5)) == ["applied"]

    async def test_another_type_is_taken_and_ignored(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)

        answer = await till.post({"type": "order.paid", "data": "whatever"})

        assert (answer["status"], answer["results"]) == ("ignored", [])
        assert [each.type for each in await till.deliveries()] == ["order.paid"]

    async def test_what_cannot_be_read_is_refused_and_not_kept(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        few: dict[str, Any] = {"type": "stock.counted"}

        for body in (
            b"{",
            b"[]",
            {**few, "data": {"counts": [{"sku": "X", "quantity": -1}]}},
            {**few, "data": {"counts": [{"sku": "X", "quantity": 1.5}]}},
            {**few, "data": {"counts": [{"sku": "", "quantity": 1}]}},
            {**few, "data": {"counts": "X"}},
            {**few, "timestamp": "yesterday"},
        ):
            with pytest.raises(errors.Invalid):
                await till.post(body)
        assert list(await till.deliveries()) == []


class TestSignatures:
    async def test_a_forged_one_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        other = "whsec_" + base64.b64encode(b"f" * 32).decode()
        body = {"type": "stock.counted", "data": {"counts": [{"sku": "X", "quantity": 1}]}}

        for attempt in (
            till.post(body, secret=other),
            till.deliver(orjson.dumps(body), {}),
            till.deliver(
                b"\xff",
                {"webhook-id": "1", "webhook-timestamp": str(int(clock.now().timestamp())), "webhook-signature": "v1"},
            ),
        ):
            with pytest.raises(errors.Unauthenticated):
                await attempt
        assert await till.shop.stock() == (10, 0)
        assert list(await till.deliveries()) == []

    @pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)])
    async def test_an_old_one_is_refused(self, serve: Serve, tenant: Tenant, age: timedelta) -> None:
        till = await Till.open(serve, tenant)

        with pytest.raises(errors.Unauthenticated) as refused:
            await till.post({"type": "stock.counted"}, signed_at=clock.now() - age)

        assert "timestamp" in refused.value.message

    async def test_the_secret_before_is_good_for_a_day(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        request = hooks.PutWebhookEndpointRequest(site_id=till.shop.site_id, provider="toast", rotate_secret=True)
        rotated = await till.shop.staff.PutWebhookEndpoint(request)

        assert rotated.secret not in {"", till.secret}
        for secret in (till.secret, rotated.secret):
            assert (await till.post({"type": "x"}, secret=secret))["status"] == "ignored"
        with clock.shifted(timedelta(hours=25)):
            now = clock.now() - timedelta(hours=25)
            assert (await till.post({"type": "x"}, secret=rotated.secret, signed_at=now))["status"] == "ignored"
            with pytest.raises(errors.Unauthenticated):
                await till.post({"type": "x"}, secret=till.secret, signed_at=now)

    async def test_it_is_for_one_site_and_tenant(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        elsewhere = _pos(tenant, str(uuid7())), _pos(Tenant(), till.shop.site_id)

        for principal in elsewhere:
            with pytest.raises(errors.NotFound):
                await till.post({"type": "x"}, pos=Stub(till.shop.running.channel(principal)))
        with pytest.raises(errors.Denied):
            await till.post({"type": "x"}, pos=till.shop.staff)


class TestSquare:
    async def test_it_is_applied(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.of_square(serve, tenant, skus={"6F4K33": "X"})

        answer = await till.square({"catalog_object_id": "6F4K33", "quantity": "12"}, event_id="e1")

        assert (answer["event_id"], _statuses(answer)) == ("e1", ["applied"])
        assert (await till.square({}, event_id="e1"))["duplicate"]
        assert await till.shop.stock() == (12, 0)

    async def test_what_is_not_for_sale_here_is_ignored(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.of_square(serve, tenant, location_id="L1")
        wrong = {"location_id": "L2"}, {"state": "WASTE"}, {"quantity": "1.5"}, {"quantity": "many"}

        answer = await till.square(*wrong, {"quantity": "3.00"})

        assert _statuses(answer) == ["ignored", "ignored", "refused", "refused", "applied"]
        assert await till.shop.stock() == (3, 0)

    async def test_a_forged_one_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.of_square(serve, tenant)

        for attempt in (till.square({}, key="another key"), till.deliver(b"{}", {}, provider="square")):
            with pytest.raises(errors.Unauthenticated):
                await attempt

    async def test_its_own_example_has_this_signature(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.of_square(serve, tenant)

        answer = await till.deliver(
            b'{"hello":"world"}', {"x-square-hmacsha256-signature": _signed()}, provider="square"
        )

        assert answer["status"] == "ignored"


def _signed() -> str:
    signed = hmac.digest(KEY.encode(), f'{URL}{{"hello":"world"}}'.encode(), "sha256")
    return base64.b64encode(signed).decode()


class TestEndpoints:
    async def test_the_secret_is_shown_once_and_sealed(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        till = await Till.open(serve, tenant)
        request = hooks.GetWebhookEndpointRequest(site_id=till.shop.site_id, provider="toast")

        read = await till.shop.staff.GetWebhookEndpoint(request)

        assert till.secret.startswith("whsec_")
        assert not read.HasField("secret")
        assert read.path == f"/stores/{till.shop.site_id}/webhooks/toast/end_point"
        (row,) = await shop.admin(databases, "SELECT secret FROM webhook_endpoints WHERE tenant_id = $1", tenant.id)
        assert till.secret.encode() not in row["secret"]

    async def test_the_same_again_changes_nothing(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant, location_id="L1", skus={"a": "X"})
        request = hooks.PutWebhookEndpointRequest(
            site_id=till.shop.site_id, provider="toast", location_id="L1", skus={"a": "X"}
        )

        again = await till.shop.staff.PutWebhookEndpoint(request)

        assert (again.version, again.HasField("secret"), again.HasField("previous_secret_until")) == (1, False, False)

    async def test_what_cannot_be_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("secret", {"provider": "toast", "secret": "whsec_ not base64 at all"}),
            ("secret", {"provider": "square", "notification_url": URL}),
            ("notification_url", {"provider": "square", "secret": KEY}),
            ("provider", {"provider": "To Ast"}),
            ("rotate_secret", {"provider": "square", "secret": KEY, "notification_url": URL, "rotate_secret": True}),
        ]

        for field, told in wrong:
            with pytest.raises(errors.Invalid) as refused:
                await till.shop.staff.PutWebhookEndpoint(
                    hooks.PutWebhookEndpointRequest(site_id=till.shop.site_id, **told)
                )
            assert list(refused.value.fields) == [field]

    async def test_taken_away_it_takes_nothing_in(self, serve: Serve, tenant: Tenant) -> None:
        till = await Till.open(serve, tenant)
        listed = await till.shop.staff.ListWebhookEndpoints(hooks.ListWebhookEndpointsRequest())
        request = hooks.DeleteWebhookEndpointRequest(site_id=till.shop.site_id, provider="toast")

        await till.shop.staff.DeleteWebhookEndpoint(request)

        assert [each.provider for each in listed.webhook_endpoints] == ["toast"]
        with pytest.raises(errors.NotFound):
            await till.send(1)
