"""What is sold, as the contract says it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from switchyard.common.v1 import common_pb2
from switchyard.inventory.v1 import menu_pb2

from services.inventory import modifiers
from services.inventory.menu_models import MenuItem, MenuItemSite
from services.inventory.messages import moment


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


def groups(row: Any) -> list[modifiers.Group]:
    """The modifiers of a record of `menu_store.PRODUCTS`."""
    found: list[modifiers.Group] = orjson.loads(row["modifier_groups"])
    return found


def product(row: Any, choices: Iterable[modifiers.Group], sellable: Mapping[UUID, int]) -> menu_pb2.Product:
    """A thing that a site sells, from a record of `menu_store.PRODUCTS`."""
    currency = row["price_currency"]
    return menu_pb2.Product(
        id=str(row["id"]),
        name=row["name"],
        category=row["category"],
        description=row["description"],
        image_url=row["image_url"],
        position=row["position"],
        price=_money(row["price_amount"], currency),
        available=row["available"],
        available_quantity=row["pieces"],
        tags=orjson.loads(row["tags"]),
        allergens=orjson.loads(row["allergens"]),
        modifier_groups=[_asked(group, currency, sellable) for group in choices],
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


def _asked(group: modifiers.Group, currency: str, sellable: Mapping[UUID, int]) -> menu_pb2.ProductModifierGroup:
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


def _enough(recipe: Sequence[Mapping[str, Any]], sellable: Mapping[UUID, int]) -> bool:
    return all(sellable.get(UUID(part["item_id"]), 0) >= part["quantity"] for part in recipe)


def _money(amount: int, currency: str) -> common_pb2.Money:
    return common_pb2.Money(amount=amount, currency=currency)
