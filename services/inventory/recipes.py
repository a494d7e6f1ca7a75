"""What the lines of an order come to: which things on the menu, at which price, and what they are made of.

    for line in await recipes.resolve(session, site_id, request.lines):
        needed.update(line.needs)

`resolve` only reads. It answers in the order of the lines, one `Resolved` for each; what a line needs is for all its
pieces, what was chosen with them included. A required group of modifiers of which nothing was chosen comes with its
defaults. Raises `Invalid` for what is not on the site's menu, an option that is not of the menu item, and a group of
modifiers whose rule is broken; `Conflict` (`SOLD_OUT`) for what is switched off, off at the site, or an option that is
off. Fields of the errors are `lines.{place}.menu_item_id`, `lines.{place}.modifiers` (a group's rule) and
`lines.{place}.modifiers.{place}.option_id`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import reservations_pb2

from chassis import errors
from services.inventory import menu_store, modifiers
from services.inventory.menu_models import MenuItem, MenuItemSite

Line = reservations_pb2.ReserveLine
# What is sold, and how the site sells it.
Offer = tuple[MenuItem, MenuItemSite | None]


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


async def resolve(session: AsyncSession, site_id: UUID, lines: Sequence[Line]) -> list[Resolved]:
    """What lines come to at a site; see the module."""
    offers = await menu_store.offered(session, site_id, [UUID(line.menu_item_id) for line in lines])
    found = [offers.get(UUID(line.menu_item_id)) for line in lines]
    chosen = _choose(lines, found)
    sold = [offer for offer in found if offer is not None]
    _check_sold_out(sold, chosen)
    return [_resolved(line, offer, choices) for line, offer, choices in zip(lines, sold, chosen, strict=True)]


def _choose(lines: Sequence[Line], found: Sequence[Offer | None]) -> list[list[modifiers.Choice]]:
    """What is chosen with each line. Raises `Invalid` with everything that is wrong."""
    wrong: dict[str, list[str]] = {}
    chosen = []
    for place, (line, offer) in enumerate(zip(lines, found, strict=True)):
        path = f"lines.{place}"
        if offer is None or not _is_sold(offer):
            wrong[f"{path}.menu_item_id"] = ["is not on the menu"]
            continue
        wanted = [(each.option_id, each.quantity) for each in line.modifiers]
        try:
            chosen.append(modifiers.choose(offer[0].modifier_groups, wanted))
        except modifiers.Refused as refused:
            for number in refused.unknown:
                wrong[f"{path}.modifiers.{number}.option_id"] = [f"is not an option of {offer[0].name}"]
            if refused.messages:
                wrong[f"{path}.modifiers"] = refused.messages
    if wrong:
        raise errors.Invalid(fields=wrong)
    return chosen


def _is_sold(offer: Offer) -> bool:
    _, at_site = offer
    return at_site is None or at_site.available


def _check_sold_out(offers: Sequence[Offer], chosen: Sequence[Sequence[modifiers.Choice]]) -> None:
    off: dict[str, list[str]] = {}
    for place, ((sold, at_site), choices) in enumerate(zip(offers, chosen, strict=True)):
        if sold.sold_out or (at_site is not None and at_site.sold_out):
            off[f"lines.{place}.menu_item_id"] = [f"{sold.name} is sold out"]
        names = [choice.option["name"] for choice in choices if choice.option["sold_out"]]
        if names:
            off[f"lines.{place}.modifiers"] = [f"{name} is sold out" for name in names]
    if off:
        message = "something ordered is sold out"
        raise errors.Conflict(message, code="SOLD_OUT", fields=off)


def _resolved(line: Line, offer: Offer, choices: Sequence[modifiers.Choice]) -> Resolved:
    sold, at_site = offer
    amount = sold.price_amount if at_site is None or at_site.price_amount is None else at_site.price_amount
    extra = sum(choice.option["amount"] * choice.quantity for choice in choices)
    return Resolved(
        line_id=line.line_id,
        menu_item_id=sold.id,
        name=sold.name,
        quantity=line.quantity,
        unit_amount=max(0, amount + extra),
        currency=sold.price_currency,
        modifiers=tuple(
            Chosen(UUID(option["id"]), option["name"], quantity, option["amount"]) for option, quantity in choices
        ),
        needs=_needs(sold, choices, line.quantity),
    )


def _needs(sold: MenuItem, choices: Sequence[modifiers.Choice], pieces: int) -> Counter[UUID]:
    of_one: Counter[UUID] = Counter()
    for part in sold.recipe:
        of_one[UUID(part["item_id"])] += part["quantity"]
    for option, quantity in choices:
        for part in option["recipe"]:
            of_one[UUID(part["item_id"])] += part["quantity"] * quantity
    # What an option takes away cannot be more than there was.
    return Counter({item_id: quantity * pieces for item_id, quantity in of_one.items() if quantity > 0})
