"""What may be chosen with a piece: groups of options, and what a choice comes to.

Both are kept as JSON in the menu item's row, so that the menu is read and changed as a whole:

    {"id", "name", "min", "max", "options": [{"id", "name", "amount", "recipe", "is_default", "sold_out", "most"}]}

`max` is 0 where the group has no limit of its own; `amount` is in the menu item's currency; `recipe` is a list of
`{item_id, quantity}` whose quantities may be negative.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from switchyard.inventory.v1 import menu_pb2
from uuid_utils.compat import uuid7

Group = dict[str, Any]
Option = Mapping[str, Any]
Parts = list[dict[str, Any]]
Fields = dict[str, list[str]]


class Choice(NamedTuple):
    """An option and how many of it go with each piece."""

    option: Option
    quantity: int


class Refused(Exception):
    """A choice that the groups do not allow: messages, and the places of the choices that are no option."""

    def __init__(self, messages: Sequence[str], unknown: Iterable[int] = ()) -> None:
        super().__init__("; ".join(messages))
        self.messages = list(messages)
        self.unknown = list(unknown)


def read(told: Sequence[menu_pb2.ModifierGroup], before: Sequence[Group], currency: str) -> tuple[list[Group], Fields]:
    """Groups as they are kept, with the ids that they had before; and what is wrong with them, by field."""
    wrong: Fields = {}
    ids: set[str] = set()
    groups = []
    known = _known(before)
    for place, group in enumerate(told):
        path = f"menu_item.modifier_groups.{place}"
        had = known.get(group.id.lower()) or known.get(group.name.casefold()) or {}
        kept: Group = {"id": _id(group, had, ids), "name": group.name, **_bounds(group, path, wrong)}
        options = _known(had.get("options", ()))
        kept["options"] = [
            _option(option, options, ids, currency, f"{path}.options.{number}", wrong)
            for number, option in enumerate(group.options)
        ]
        _check(kept, path, wrong)
        groups.append(kept)
    _check_twice("menu_item.modifier_groups", [group["name"] for group in groups], "name", wrong)
    every = [each["id"] for group in groups for each in (group, *group["options"])]
    if len(set(every)) < len(every):
        wrong.setdefault("menu_item.modifier_groups", []).append("use an id twice")
    return groups, wrong


def items(groups: Iterable[Group]) -> Iterator[str]:
    """The items that options are made of."""
    return (part["item_id"] for group in groups for option in group["options"] for part in option["recipe"])


def choose(groups: Sequence[Group], wanted: Sequence[tuple[str, int]]) -> list[Choice]:
    """What is chosen, the defaults of required groups included that nothing was chosen of. Raises `Refused`.

    `wanted` are ids of options and quantities.
    """
    quantities: Counter[str] = Counter()
    for option_id, quantity in wanted:
        quantities[option_id.lower()] += quantity or 1
    known = {option["id"] for group in groups for option in group["options"]}
    unknown = [place for place, (option_id, _) in enumerate(wanted) if option_id.lower() not in known]
    chosen: list[Choice] = []
    broken: list[str] = []
    for group in groups:
        of_group = [Choice(each, quantities[each["id"]]) for each in group["options"] if quantities[each["id"]]]
        if not of_group and group["min"]:
            of_group = [Choice(each, 1) for each in group["options"] if each["is_default"]]
        broken += _broken(group, of_group)
        chosen += of_group
    if unknown or broken:
        raise Refused(broken, unknown)
    return chosen


def _broken(group: Group, chosen: Sequence[Choice]) -> Iterator[str]:
    total = sum(quantity for _, quantity in chosen)
    if total < group["min"]:
        yield f"{group['name']}: at least {group['min']} must be chosen"
    if group["max"] and total > group["max"]:
        yield f"{group['name']}: at most {group['max']} may be chosen"
    for option, quantity in chosen:
        if quantity > option["most"]:
            yield f"{group['name']}: at most {option['most']} of {option['name']} may be chosen"


def _known(before: Sequence[Option]) -> dict[str, Option]:
    """By id and by name; a name never looks like an id of ours by chance."""
    return {each["name"].casefold(): each for each in before} | {each["id"]: each for each in before}


def _id(told: menu_pb2.ModifierGroup | menu_pb2.ModifierOption, had: Option, taken: set[str]) -> str:
    """The id that was given, or the one it had unless another one has taken it over, or a new one."""
    found: str = told.id.lower() or had.get("id", "")
    if not found or (not told.id and found in taken):
        found = str(uuid7())
    taken.add(found)
    return found


def _bounds(group: menu_pb2.ModifierGroup, path: str, wrong: Fields) -> dict[str, int]:
    least = group.min_choices
    if group.HasField("required"):
        if group.required:
            least = max(least, 1)
        elif least:
            wrong[f"{path}.min_choices"] = ["must be 0 in a group that is not required"]
    return {"min": least, "max": group.max_choices}


def _option(
    told: menu_pb2.ModifierOption,
    known: Mapping[str, Option],
    ids: set[str],
    currency: str,
    path: str,
    wrong: Fields,
) -> dict[str, Any]:
    had = known.get(told.id.lower()) or known.get(told.name.casefold()) or {}
    if told.HasField("price") and told.price.currency != currency:
        wrong[f"{path}.price.currency"] = [f"must be {currency}, as the menu item's"]
    parts: Parts = [{"item_id": part.item_id.lower(), "quantity": part.quantity} for part in told.recipe]
    _check_twice(f"{path}.recipe", [part["item_id"] for part in parts], "item", wrong)
    return {
        "id": _id(told, had, ids),
        "name": told.name,
        "amount": told.price.amount,
        "recipe": parts,
        "is_default": told.is_default,
        "sold_out": told.sold_out,
        "most": told.max_quantity or 1,
    }


def _check(group: Group, path: str, wrong: Fields) -> None:
    options = group["options"]
    _check_twice(f"{path}.options", [option["name"] for option in options], "name", wrong)
    defaults = sum(option["is_default"] for option in options)
    if group["max"] and group["min"] > group["max"]:
        wrong[f"{path}.max_choices"] = ["must not be less than min_choices"]
    elif group["min"] > sum(option["most"] for option in options):
        wrong[f"{path}.min_choices"] = ["is more than the options allow"]
    elif group["max"] and defaults > group["max"]:
        wrong[f"{path}.options"] = ["more of them are chosen by default than may be"]


def _check_twice(path: str, values: Sequence[str], what: str, wrong: Fields) -> None:
    folded = [value.casefold() for value in values]
    if len(set(folded)) < len(folded):
        wrong.setdefault(path, []).append(f"name an {what} twice" if what == "item" else f"use a {what} twice")
