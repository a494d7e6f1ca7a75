"""What all targets know: the same items with the same stock, and a menu to order from."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.api import Api

# Items that are read. Of a tenant's several pages, the first is asked for.
ITEMS = 200
# What orders take from, on the menu one by one: entered first, so that a page of the newest items shows none of them.
SOLD = 8
STOCK = 100_000_000
PRICE = {"amount": 390, "currency": "USD"}
EXPIRES_AT = (datetime.now(UTC) + timedelta(days=365)).strftime("%Y-%m-%dT00:00:00.000Z")


@dataclass
class World:
    """Where everything is, by the ids that Switchyard gave and the peers take over."""

    tenant_id: str
    site_ids: list[str]
    # By item's id: its fields, with `on_hand` over all sites.
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    sold: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Of each menu item: the item that it takes one of.
    menu: dict[str, str] = field(default_factory=dict)


def item(number: int) -> dict[str, Any]:
    """An item to be read, or, below `SOLD`, to be sold."""
    kind = "sold" if number < SOLD else "read"
    return {
        "sku": f"BENCH-{kind.upper()}-{number:04}",
        "name": f"Benchmark article {number}, medium roast",
        "category": "coffee",
        "supplier": "Northern Roasters",
        "unit": "g",
        "low_stock_threshold": 10,
    }


def fill(api: Api, site_ids: list[str]) -> World:
    """Enter it all through an API. Raises `cli.api.ApiError`."""
    world = World(api.tenant_id, site_ids)
    for number in range(SOLD + ITEMS):
        made = api.call("POST", "/api/v1/inventory/items", item(number))
        quantity = STOCK if number < SOLD else 1000 + number
        for site_id in site_ids:
            body = {"site_id": site_id, "lot": "BENCH", "quantity": quantity, "expires_at": EXPIRES_AT}
            api.call("POST", f"/api/v1/inventory/items/{made['id']}/batches", body)
        kept = world.items if number >= SOLD else world.sold
        kept[made["id"]] = {**item(number), "on_hand": quantity * len(site_ids)}
    for item_id, sold in world.sold.items():
        body = {"name": f"Cup of {sold['sku']}", "price": PRICE, "recipe": [{"item_id": item_id, "quantity": 1}]}
        world.menu[api.call("POST", "/api/v1/menu-items", body)["id"]] = item_id
    return world
