"""Orders paid by card, through the gateway, at the provider `test`."""

import httpx
from uuid_utils.compat import uuid7

from tests.e2e.conftest import Stocked, System, created, eventually, stock


def _by_card(sold: Stocked, token: str) -> dict[str, object]:
    return {**sold.order(2), "site_id": sold.site_id, "payment_method": "card", "payment_token": token}


class TestCard:
    async def test_the_money_is_taken_once_and_given_back(self, system: System, manager: httpx.AsyncClient) -> None:
        sold = await stock(manager, system.site(0), 5)
        wish = _by_card(sold, "test_success")

        order = await created(manager, "/api/v1/orders", wish)
        again = await created(manager, "/api/v1/orders", wish)
        cancelled = await manager.post(f"/api/v1/orders/{order['id']}/cancel", json={"reason": "changed their mind"})

        assert (order["status"], order["payment"]["state"]) == ("queued", "captured")
        assert order["payment"]["captured"] == order["total"] == {"amount": 900, "currency": "USD"}
        assert again["payment"] == order["payment"]
        assert cancelled.status_code == 200, cancelled.text

        async def given_back() -> bool:
            payment = (await manager.get(f"/api/v1/orders/{order['id']}")).json()["data"]["payment"]
            return bool(payment["state"] == "refunded" and payment["refunded"] == order["total"])

        assert await eventually(given_back)

    async def test_declined_it_is_refused_and_holds_nothing(self, system: System, manager: httpx.AsyncClient) -> None:
        sold = await stock(manager, system.site(0), 2)

        declined = await manager.post("/api/v1/orders", json=_by_card(sold, "test_decline"))

        assert (declined.status_code, declined.json()["code"]) == (409, "PAYMENT_DECLINED")

        async def sold_to_others() -> bool:
            # Both pieces are free as soon as what was reserved is released.
            answer = await manager.post("/api/v1/orders", json={**sold.order(2), "site_id": sold.site_id})
            return answer.status_code == 201

        assert await eventually(sold_to_others)

    async def test_a_card_number_is_refused(self, system: System, manager: httpx.AsyncClient) -> None:
        sold = await stock(manager, system.site(0), 2)

        refused = await manager.post("/api/v1/orders", json=_by_card(sold, "4242 4242 4242 4242"))

        assert (refused.status_code, list(refused.json()["details"])) == (422, ["payment_token"])
        assert "4242" not in refused.text

    async def test_a_group_pays_as_one(self, system: System, manager: httpx.AsyncClient) -> None:
        sold = await stock(manager, system.site(0), 5)
        line = {"menu_item_id": sold.menu_item_id, "quantity": 2}
        group = await created(
            manager, "/api/v1/group-orders", {"site_id": sold.site_id, "name": f"G-{uuid7()}", "host_name": "Grace"}
        )
        joined = await manager.post(
            f"/api/v1/group-orders/{group['id']}/join", json={"code": group["code"], "name": "Ada", "lines": [line]}
        )
        paying = {"payment_method": "card", "payment_token": "test_success"}

        submitted = await manager.post(f"/api/v1/group-orders/{group['id']}/submit", json=paying)

        assert joined.is_success, joined.text
        assert submitted.status_code == 200, submitted.text
        order = (await manager.get(f"/api/v1/orders/{submitted.json()['data']['order_id']}")).json()["data"]
        assert (order["payment"]["state"], order["payment"]["captured"]["amount"]) == ("captured", 900)
