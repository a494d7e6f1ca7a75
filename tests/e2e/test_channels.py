"""Who is told what, while it happens: the right channels, the present state first, and only the last of many states."""

import asyncio
import json
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.e2e.conftest import Socket, System, created, stock


async def _listening(system: System, token: str, tenant: str | None, *channels: str) -> Socket:
    socket = await Socket.open(system, token, tenant)
    for channel in channels:
        assert (await socket.subscribe(channel))["type"] == "subscribed"
    return socket


async def _heard(socket: Socket, client: httpx.AsyncClient, mark: str) -> list[dict[str, Any]]:
    """The events that came until one about `mark`, which is published now, on the tenant's channel."""
    await created(client, "/api/v1/inventory/items", {"sku": mark, "name": mark, "unit": "each"})
    await socket.wait_for(lambda frame: frame.get("event", {}).get("data", {}).get("item", {}).get("sku") == mark)
    return [frame for frame in socket.seen if frame["type"] == "event"]


class TestAudience:
    async def test_another_site_and_another_tenant_hear_nothing(
        self, system: System, admin: httpx.AsyncClient, manager: httpx.AsyncClient
    ) -> None:
        site, elsewhere = system.site(0), system.site(1)
        sold = await stock(manager, site, 5)
        token = await system.login("admin")
        here = await _listening(system, token, system.tenant(), "tenant", f"site:{site}", f"orders:queue:{site}")
        there = await _listening(system, token, system.tenant(), "tenant", f"site:{elsewhere}")
        strangers = await _listening(system, await system.login("admin", 1), system.tenant(1), "tenant")

        order = await created(manager, "/api/v1/orders", {**sold.order(2), "site_id": site})
        await here.event("OrderPlaced")
        mark = f"M-{order['id']}"

        # Demo lots expire in the meantime, and other tests' orders: what they change is told there.
        told = [json.dumps(frame) for frame in await _heard(there, admin, mark) if frame["channel"] != "tenant"]
        assert not [frame for frame in told if order["id"] in frame or sold.item_id in frame]
        async with await system.acting("admin", 1) as stranger:
            heard = await _heard(strangers, stranger, mark)
        assert not [frame for frame in heard if order["id"] in json.dumps(frame)]
        for socket in (here, there, strangers):
            await socket.close()

    async def test_nothing_is_told_of_a_site_of_another_tenant(self, system: System) -> None:
        socket = await Socket.open(system, await system.login("admin", 1), system.tenant(1))

        # A tenant's own channel of that name is joined at most: another's state and events are never on it.
        queue = await socket.subscribe(f"orders:queue:{system.site(0)}")
        told = await socket.wait_for(lambda frame: frame["type"] in {"snapshot", "error"})
        kiosk = await socket.subscribe(f"kiosk:{system.site(0)}")

        assert queue["offset"] == 0
        assert told.get("data", {}).get("orders", []) == []
        assert kiosk["code"] == "PERMISSION_DENIED"
        await socket.close()


class TestQueue:
    async def test_the_queue_as_it_is_then_its_changes(self, system: System, manager: httpx.AsyncClient) -> None:
        site = system.site(0)
        sold = await stock(manager, site, 9)
        first = await created(manager, "/api/v1/orders", {**sold.order(), "site_id": site})
        socket = await Socket.open(system, await system.login("manager"), system.tenant())

        await socket.subscribe(f"orders:queue:{site}")
        snapshot = await socket.wait_for(lambda frame: frame["type"] == "snapshot")
        second = await created(manager, "/api/v1/orders", {**sold.order(), "site_id": site})

        # What the snapshot shows may be told once more: the first order was placed just before.
        def is_second(frame: dict[str, Any]) -> bool:
            placed = frame.get("event", {}).get("type", "").endswith(".OrderPlaced")
            return bool(placed and frame["event"]["data"]["order"]["id"] == second["id"])

        assert first["id"] in {order["id"] for order in snapshot["data"]["orders"]}
        assert (await socket.wait_for(is_second))["offset"] > snapshot["offset"]
        await socket.close()

    async def test_bare_on_a_path_of_its_own(self, system: System, manager: httpx.AsyncClient) -> None:
        site = system.site(0)
        sold = await stock(manager, site, 9)
        headers = {"Authorization": f"Bearer {await system.login('manager')}", "X-Tenant-ID": system.tenant()}
        async with connect(f"{system.ws_url}/orders/queue?site_id={site}", additional_headers=headers) as socket:
            snapshot = json.loads(await socket.recv())
            order = await created(manager, "/api/v1/orders", {**sold.order(), "site_id": site})
            async with asyncio.timeout(15):
                while json.loads(await socket.recv()).get("order", {}).get("id") != order["id"]:
                    pass

        assert snapshot["site_id"] == site


class TestStates:
    async def test_of_many_changes_of_one_item_the_last_is_told(
        self, system: System, manager: httpx.AsyncClient
    ) -> None:
        site = system.site(0)
        sold = await stock(manager, site, 1)
        socket = await _listening(system, await system.login("manager"), system.tenant(), f"site:{site}")
        path = f"/api/v1/inventory/items/{sold.item_id}/movements"
        body = {"type": "receive", "site_id": site, "quantity": 1}

        await asyncio.gather(*(created(manager, path, body) for _ in range(40)))
        last = await socket.event("StockMoved", item_id=sold.item_id, on_hand=41)

        before = [frame["event"]["data"] for frame in socket.seen if frame.get("event", {}).get("data")]
        of_it = [data for data in before if data.get("item_id") == sold.item_id and "on_hand" in data]
        assert last["data"]["available"] == 41
        assert len(of_it) < 39
        await socket.close()

    async def test_what_changes_nothing_tells_nothing(self, system: System, admin: httpx.AsyncClient) -> None:
        sold = await stock(admin, system.site(0), 1)
        socket = await _listening(system, await system.login("admin"), system.tenant(), "tenant")
        item = (await admin.get(f"/api/v1/inventory/items/{sold.item_id}")).json()["data"]

        same = await admin.patch(f"/api/v1/inventory/items/{sold.item_id}", json={"name": item["name"]})

        assert same.json()["data"]["version"] == item["version"]
        heard = await _heard(socket, admin, f"N-{sold.item_id}")
        updates = [
            frame["event"]["data"]["item"]["id"] for frame in heard if frame["event"]["type"].endswith("ItemUpdated")
        ]
        assert sold.item_id not in updates
        await socket.close()
