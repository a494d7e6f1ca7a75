"""What the demo cafés stock and sell."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DemoItem:
    """Something stocked. `portion`: the most that one piece of the menu takes; a delivery keeps `keeps_days`."""

    name: str
    category: str
    supplier: str
    unit: str
    portion: int
    keeps_days: int


@dataclass(frozen=True)
class DemoDrink:
    """Something sold. `wanted`: how often it is ordered, beside the others."""

    category: str
    price: int
    recipe: dict[str, int]
    wanted: int
    groups: tuple[str, ...] = ()
    allergens: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = field(default=())


ITEMS = {
    "BEAN-ESP-1": DemoItem("Espresso beans", "coffee", "Northern Roasters", "g", 36, 120),
    "BEAN-FIL-1": DemoItem("Filter beans", "coffee", "Northern Roasters", "g", 18, 120),
    "MILK-WHOLE": DemoItem("Whole milk", "dairy", "Meadow Dairy", "ml", 250, 9),
    "MILK-OAT": DemoItem("Oat drink", "dairy", "Field & Oat", "ml", 250, 90),
    "MILK-SOY": DemoItem("Soy drink", "dairy", "Field & Oat", "ml", 250, 90),
    "CHOC-POWDER": DemoItem("Drinking chocolate", "pantry", "Cocoa House", "g", 30, 240),
    "CHAI-MIX": DemoItem("Chai concentrate", "pantry", "Cocoa House", "ml", 60, 60),
    "SYRUP-VANILLA": DemoItem("Vanilla syrup", "pantry", "Cocoa House", "ml", 15, 300),
    "TEA-BLACK": DemoItem("Black tea", "tea", "Leaf Trading", "g", 3, 365),
    "TEA-GREEN": DemoItem("Green tea", "tea", "Leaf Trading", "g", 3, 365),
    "JUICE-ORANGE": DemoItem("Orange juice", "cold", "Meadow Dairy", "ml", 250, 7),
    "WATER-STILL": DemoItem("Still water, 0.5 l", "cold", "Spring Co", "each", 1, 365),
    "CUP-12": DemoItem("Cup, 12 oz", "packaging", "Paper & Lid", "each", 1, 3650),
    "CROISSANT": DemoItem("Croissant", "bakery", "Corner Bakery", "each", 1, 2),
    "BUN-CINNAMON": DemoItem("Cinnamon bun", "bakery", "Corner Bakery", "each", 1, 2),
    "CAKE-CARROT": DemoItem("Carrot cake, slice", "bakery", "Corner Bakery", "each", 1, 4),
    "SANDWICH-CHEESE": DemoItem("Cheese sandwich", "food", "Corner Bakery", "each", 1, 2),
}
_SIZE, _MILK, _EXTRAS = "Size", "Milk", "Extras"
MENU = {
    "Espresso": DemoDrink("coffee", 280, {"BEAN-ESP-1": 18, "CUP-12": 1}, 6, (_EXTRAS,)),
    "Double espresso": DemoDrink("coffee", 340, {"BEAN-ESP-1": 36, "CUP-12": 1}, 3),
    "Americano": DemoDrink("coffee", 320, {"BEAN-ESP-1": 18, "CUP-12": 1}, 6, (_SIZE, _EXTRAS)),
    "Filter coffee": DemoDrink("coffee", 290, {"BEAN-FIL-1": 18, "CUP-12": 1}, 9, (_SIZE,)),
    "Flat white": DemoDrink(
        "coffee", 390, {"BEAN-ESP-1": 18, "MILK-WHOLE": 160, "CUP-12": 1}, 12, (_MILK, _EXTRAS), ("milk",), "Two shots"
    ),
    "Cappuccino": DemoDrink(
        "coffee", 390, {"BEAN-ESP-1": 18, "MILK-WHOLE": 150, "CUP-12": 1}, 14, (_SIZE, _MILK, _EXTRAS), ("milk",)
    ),
    "Latte": DemoDrink(
        "coffee", 410, {"BEAN-ESP-1": 18, "MILK-WHOLE": 200, "CUP-12": 1}, 13, (_SIZE, _MILK, _EXTRAS), ("milk",)
    ),
    "Oat latte": DemoDrink("coffee", 450, {"BEAN-ESP-1": 18, "MILK-OAT": 200, "CUP-12": 1}, 8, (_SIZE, _EXTRAS)),
    "Mocha": DemoDrink(
        "coffee",
        460,
        {"BEAN-ESP-1": 18, "CHOC-POWDER": 20, "MILK-WHOLE": 180, "CUP-12": 1},
        4,
        (_SIZE, _MILK),
        ("milk",),
    ),
    "Hot chocolate": DemoDrink(
        "chocolate", 420, {"CHOC-POWDER": 30, "MILK-WHOLE": 250, "CUP-12": 1}, 5, (_MILK,), ("milk",)
    ),
    "Chai latte": DemoDrink("tea", 430, {"CHAI-MIX": 60, "MILK-WHOLE": 180, "CUP-12": 1}, 4, (_MILK,), ("milk",)),
    "Black tea": DemoDrink("tea", 300, {"TEA-BLACK": 3, "CUP-12": 1}, 5, (), (), "", ("vegan",)),
    "Green tea": DemoDrink("tea", 300, {"TEA-GREEN": 3, "CUP-12": 1}, 3, (), (), "", ("vegan",)),
    "Orange juice": DemoDrink("cold", 380, {"JUICE-ORANGE": 250, "CUP-12": 1}, 3, (), (), "", ("vegan",)),
    "Still water": DemoDrink("cold", 220, {"WATER-STILL": 1}, 4, (), (), "", ("vegan",)),
    "Croissant": DemoDrink("bakery", 320, {"CROISSANT": 1}, 11, (), ("gluten", "milk")),
    "Cinnamon bun": DemoDrink("bakery", 350, {"BUN-CINNAMON": 1}, 8, (), ("gluten", "milk")),
    "Carrot cake": DemoDrink("bakery", 420, {"CAKE-CARROT": 1}, 3, (), ("gluten", "egg", "nuts")),
    "Cheese sandwich": DemoDrink("food", 590, {"SANDWICH-CHEESE": 1}, 4, (), ("gluten", "milk")),
}


def modifier_groups(sold: DemoDrink, items: dict[str, str], currency: str) -> list[dict[str, Any]]:
    """What may be chosen with something sold, as the API takes it; `items` are the ids by SKU."""

    def option(name: str, amount: int = 0, *, default: bool = False, **recipe: int) -> dict[str, Any]:
        changes = [{"item_id": items[sku.replace("_", "-")], "quantity": more} for sku, more in recipe.items() if more]
        price = {"price": {"amount": amount, "currency": currency}} if amount else {}
        return {"name": name, "recipe": changes, "is_default": default, **price}

    milk = sold.recipe.get("MILK-WHOLE", 0)
    known: dict[str, dict[str, Any]] = {
        _SIZE: {
            "required": True,
            "max_choices": 1,
            "options": [option("Regular", default=True), option("Large", 60, MILK_WHOLE=milk // 4)],
        },
        _MILK: {
            "required": True,
            "max_choices": 1,
            "options": [
                option("Whole milk", default=True),
                option("Oat drink", 50, MILK_WHOLE=-milk, MILK_OAT=milk),
                option("Soy drink", 50, MILK_WHOLE=-milk, MILK_SOY=milk),
            ],
        },
        _EXTRAS: {
            "options": [option("Extra shot", 70, BEAN_ESP_1=18), option("Vanilla syrup", 40, SYRUP_VANILLA=15)],
        },
    }
    return [{"name": name, **known[name]} for name in sold.groups]
