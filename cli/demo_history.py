"""Three months of a café's past, made up: the same for a site and a day whenever it is made."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from cli.demo_menu import MENU

DAYS = 90
_NAMES = (
    *("Ada", "Bo", "Clara", "Dmitri", "Elsa", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaja", "Liam", "Mira"),
    *("Nils", "Olga", "Per", "Quentin", "Rosa", "Sven", "Tilda", "Uma", "Viktor", "Wilma", "Yusuf", "Zoe"),
)
REGULARS = 120
# How much comes in at each hour from opening at seven: before work, at lunch, in the afternoon.
_HOURS = {7: 8, 8: 14, 9: 10, 10: 7, 11: 8, 12: 12, 13: 9, 14: 7, 15: 9, 16: 7, 17: 5, 18: 3}
# From Monday: weekends are calm in town.
_WEEKDAYS = (15, 15, 16, 16, 19, 12, 9)
_PIECES = (1, 1, 1, 1, 2, 2, 3)
CANCELLED_SHARE = 0.03


def orders(site_id: str, time_zone: str, currency: str, menu: dict[str, str], today: date) -> Iterator[dict[str, Any]]:
    """The orders of the days before `today`, oldest first, as `POST orders/import` takes them."""
    for before in range(DAYS, 0, -1):
        day = today - timedelta(days=before)
        chance = random.Random(f"{site_id}/{day}")  # noqa: S311 - a story, not a secret
        count = round(_WEEKDAYS[day.weekday()] * chance.uniform(0.75, 1.25))
        moments = sorted(_moment(chance, day, ZoneInfo(time_zone)) for _ in range(count))
        for number, placed_at in enumerate(moments):
            order_id = uuid5(UUID(site_id), f"{day}/{number}")
            yield {"id": str(order_id), **_order(chance, placed_at, currency, menu)}


def _moment(chance: random.Random, day: date, zone: ZoneInfo) -> datetime:
    hour = chance.choices(list(_HOURS), list(_HOURS.values()))[0]
    local = datetime.combine(day, time(hour, chance.randrange(60), chance.randrange(60)), zone)
    return local.astimezone(UTC)


def _order(chance: random.Random, placed_at: datetime, currency: str, menu: dict[str, str]) -> dict[str, Any]:
    names = chance.choices(list(MENU), [sold.wanted for sold in MENU.values()], k=chance.choice(_PIECES))
    lines = [
        {
            "name": name,
            "quantity": chance.choice(_PIECES[:5]),
            "unit_amount": MENU[name].price,
            "menu_item_id": menu[name],
        }
        for name in dict.fromkeys(names)
    ]
    took = timedelta(seconds=chance.randrange(120, 900))
    order = {
        "status": "cancelled" if chance.random() < CANCELLED_SHARE else "completed",
        "placed_at": _text(placed_at),
        "ended_at": _text(placed_at + took),
        "currency": currency,
        "lines": lines,
    }
    if chance.random() < 0.6:  # noqa: PLR2004 - most are regulars
        regular = chance.randrange(REGULARS)
        order |= {"customer_id": f"R-{regular:03}", "customer_name": _NAMES[regular % len(_NAMES)]}
    return order


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
