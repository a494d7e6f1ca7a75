"""A point of sale counts, the kiosk is told: webhooks, the catalog and what has sold out, through the gateway."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
from standardwebhooks.webhooks import Webhook
from uuid_utils.compat import uuid7

from chassis import clock
from tests.e2e.conftest import Socket, Stocked, System, created, stock


@dataclass(frozen=True)
class Till:
    """A site's point of sale, which counts the one item of something on the menu."""

    client: httpx.AsyncClient
    path: str
    secret: str
    sold: Stocked
    sku: str

    async def count(self, quantity: int, *, event_id: str = "", secret: str = "", **more: Any) -> httpx.Response:
        """Say how much there is."""
        count = {"sku": self.sku, "quantity": quantity, "occurred_at": clock.now().isoformat()}
        body = json.dumps({"type": "stock.counted", "data": {"counts": [count]}, **more})
        event_id, now = event_id or f"msg_{uuid7()}", clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret or self.secret).sign(event_id, now, body),
        }
        return await self.client.post(self.path, content=body, headers=headers)


@pytest_asyncio.fixture(loop_scope="session")
async def till(system: System, admin: httpx.AsyncClient) -> AsyncIterator[Till]:
    """A point of sale of the first site, with an endpoint of its own."""
    site_id = system.site(0)
    sold = await stock(admin, site_id, 5)
    item = (await admin.get(f"/api/v1/inventory/items/{sold.item_id}")).json()["data"]
    body = {"name": f"Till {uuid7()}", "kind": "store", "site_id": site_id}
    token = (await created(admin, "/api/v1/tokens", body))["token"]
    made = await admin.put(f"/api/v1/inventory/webhook-endpoints/{site_id}/t-{uuid7().hex[-12:]}", json={})
    endpoint = made.json()["data"]
    async with system.client(token) as client:
        yield Till(client, endpoint["path"], endpoint["secret"], sold, item["sku"])


class TestCounts:
    async def test_a_count_becomes_stock_once(self, till: Till, admin: httpx.AsyncClient) -> None:
        first = await till.count(3, event_id="msg_1")
        again = await till.count(9, event_id="msg_1")

        assert (first.status_code, first.json()["status"], first.json()["results"][0]["on_hand"]) == (200, "applied", 3)
        assert (again.status_code, again.json()["duplicate"]) == (200, True)
        item = (await admin.get(f"/api/v1/inventory/items/{till.sold.item_id}")).json()["data"]
        assert item["on_hand"] == 3

    async def test_what_is_forged_oversized_or_without_a_token_is_refused(self, till: Till, system: System) -> None:
        forged = await till.count(1, secret="whsec_" + "A" * 43 + "=")
        oversized = await till.count(1, padding="x" * 1024 * 1024)
        async with httpx.AsyncClient(base_url=system.url) as nobody:
            without = await nobody.post(till.path, content=b"{}")

        assert (forged.status_code, forged.json()["code"]) == (401, "UNAUTHENTICATED")
        assert (oversized.status_code, oversized.json()["code"]) == (413, "BODY_TOO_LARGE")
        assert without.status_code == 401

    async def test_what_came_in_is_listed(self, till: Till, admin: httpx.AsyncClient, system: System) -> None:
        await till.count(5)
        provider = till.path.split("/")[4]

        asked = {"site_id": system.site(0), "provider": provider}
        listed = (await admin.get("/api/v1/inventory/webhook-deliveries", params=asked)).json()["data"]

        assert [(one["status"], one["results"][0]["status"]) for one in listed] == [("unchanged", "unchanged")]


class TestCatalog:
    async def test_a_copy_that_is_still_good_is_not_sent_again(self, till: Till, system: System) -> None:
        path = f"/api/v1/catalogs/{system.site(0)}/products"
        async with system.kiosk() as kiosk:
            for url in (path, f"{path}?view=minimal&q={till.sku}", f"{path}/{till.sold.menu_item_id}"):
                first = await kiosk.get(url)
                held = {"If-None-Match": first.headers["etag"]}
                again = await kiosk.get(url, headers=held)
                assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
            before = (await kiosk.get(url)).headers["etag"]
            await till.count(2)
            assert (await kiosk.get(url, headers={"If-None-Match": before})).json()["data"]["available_quantity"] == 2

    async def test_views_show_more_and_more(self, till: Till, system: System) -> None:
        url = f"/api/v1/{system.site(0)}/products/{till.sold.menu_item_id}"
        async with system.kiosk() as kiosk:
            answers = [await kiosk.get(url, params={"view": view}) for view in ("minimal", "compact", "full")]
        found = [set(answer.json()["data"]) for answer in answers]

        assert found[0] < found[1] < found[2]
        assert ("modifier_groups" in found[1], "modifier_groups" in found[2]) == (False, True)

    async def test_a_kiosk_is_told_what_has_sold_out_and_what_is_back(self, till: Till, system: System) -> None:
        socket = await Socket.open(system, system.kiosk_token())
        await socket.subscribe(f"kiosk:{system.site(0)}")
        about = {"menu_item_id": till.sold.menu_item_id, "site_id": system.site(0), "reason": "stock"}

        began = time.monotonic()
        await till.count(0)
        await socket.event("MenuItemSoldOut", **about, sold_out=True)
        took = time.monotonic() - began
        await till.count(4)
        await socket.event("MenuItemSoldOut", **about, sold_out=False)
        await socket.close()

        assert took < 5
