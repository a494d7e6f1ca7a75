"""What is sold, as the contract says it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from switchyard.common.v1 import common_pb2
from switchyard.inventory.v1 import menu_pb2

from services.inventory import menu_store, modifiers
from services.inventory.menu_models import MenuItem, MenuItemSite
from services.inventory.messages import moment

Parts = Sequence[Mapping[str, Any]]
Sellable = Mapping[str, int]


def menu_item(row: MenuItem) -> menu_pb2.MenuItem:
    """A thing that is sold."""
    return menu_pb2.MenuItem(
        id=str(row.id),
        name=row.name,
        category=row.category,
        description=row.description,
        image_url=row.image_url,
        position=row.position,
        price=_money(row.price_amount, row.price_currency),
        recipe=[menu_pb2.RecipeLine(item_id=part["item_id"], quantity=part["quantity"]) for part in row.recipe],
        modifier_groups=[_group(group, row.price_currency) for group in row.modifier_groups],
        tags=row.tags,
        allergens=row.allergens,
        sold_out=row.sold_out,
        version=row.version,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
    )


def site(currency: str, row: MenuItemSite, *, out_of_stock: bool) -> menu_pb2.MenuItemSite:
    """How a site sells something."""
    message = menu_pb2.MenuItemSite(
        menu_item_id=str(row.menu_item_id),
        site_id=str(row.site_id),
        available=row.available,
        sold_out=row.sold_out,
        out_of_stock=out_of_stock,
        version=row.version,
        updated_at=moment(row.updated_at) if row.version else None,
    )
    if row.price_amount is not None:
        message.price.CopyFrom(_money(row.price_amount, currency))
    return message


class Offer:
    """A record of what a site sells, its JSON read."""

    __slots__ = ("groups", "recipe", "row")

    def __init__(self, row: Any) -> None:
        self.row = row
        self.recipe: Parts = orjson.loads(row["recipe"])
        self.groups: list[modifiers.Group] = orjson.loads(row["modifier_groups"])

    def items(self) -> Iterator[str]:
        """What it and what may be chosen with it are made of."""
        yield from (part["item_id"] for part in self.recipe)
        yield from modifiers.items(self.groups)

    def pieces(self, sellable: Sellable) -> int | None:
        """How many pieces the stock allows; none: any number."""
        found = [sellable.get(part["item_id"], 0) // part["quantity"] for part in self._counted(sellable)]
        return min(found) if found else None

    def _counted(self, sellable: Sellable) -> Iterator[Mapping[str, Any]]:
        return (part for part in self.recipe if sellable.get(part["item_id"], 0) < menu_store.UNLIMITED)


def product(offer: Offer, sellable: Sellable) -> menu_pb2.Product:
    """A thing that a site sells. `sellable`: by item, how much may be promised."""
    row, currency, pieces = offer.row, offer.row["price_currency"], offer.pieces(sellable)
    return menu_pb2.Product(
        id=str(row["id"]),
        name=row["name"],
        category=row["category"],
        description=row["description"],
        image_url=row["image_url"],
        position=row["position"],
        price=_money(row["price_amount"], currency),
        available=row["is_on"] and pieces != 0,
        available_quantity=pieces,
        tags=orjson.loads(row["tags"]),
        allergens=orjson.loads(row["allergens"]),
        modifier_groups=[_asked(group, currency, sellable) for group in offer.groups],
    )


def _group(group: modifiers.Group, currency: str) -> menu_pb2.ModifierGroup:
    return menu_pb2.ModifierGroup(
        id=group["id"],
        name=group["name"],
        required=group["min"] > 0,
        min_choices=group["min"],
        max_choices=group["max"],
        options=[
            menu_pb2.ModifierOption(
                id=option["id"],
                name=option["name"],
                price=_money(option["amount"], currency),
                recipe=[menu_pb2.RecipeChange(**part) for part in option["recipe"]],
                is_default=option["is_default"],
                sold_out=option["sold_out"],
                max_quantity=option["most"],
            )
            for option in group["options"]
        ],
    )


def _asked(group: modifiers.Group, currency: str, sellable: Sellable) -> menu_pb2.ProductModifierGroup:
    return menu_pb2.ProductModifierGroup(
        id=group["id"],
        name=group["name"],
        required=group["min"] > 0,
        min_choices=group["min"],
        max_choices=group["max"],
        options=[
            menu_pb2.ProductOption(
                id=option["id"],
                name=option["name"],
                price=_money(option["amount"], currency),
                is_default=option["is_default"],
                max_quantity=option["most"],
                available=not option["sold_out"] and _enough(option["recipe"], sellable),
            )
            for option in group["options"]
        ],
    )


def _enough(recipe: Parts, sellable: Sellable) -> bool:
    return all(sellable.get(part["item_id"], 0) >= part["quantity"] for part in recipe)


def _money(amount: int, currency: str) -> common_pb2.Money:
    return common_pb2.Money(amount=amount, currency=currency)
