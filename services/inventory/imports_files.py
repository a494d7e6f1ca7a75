"""CSV files of items: their rows, and what a row says of an item."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from switchyard.inventory.v1 import inventory_pb2 as pb

from chassis import codec
from chassis.rpc import validation
from services.inventory.models import Item

COLUMNS = ("sku", "name", "category", "supplier", "unit", "low_stock_threshold")
# What a row can change of an item that there is.
CHANGES = ("name", "category", "supplier", "low_stock_threshold")
_UNITS = {word: number for number, word in codec.words(pb.DESCRIPTOR.enum_types_by_name["Unit"]).items() if number}
_REASON_LEN_MAX = 300
_SKU_LEN_MAX = 64


class Unreadable(Exception):
    """The file as a whole is no CSV file of items."""


@dataclass(frozen=True)
class Row:
    """A row of a file. `number`: as a spreadsheet counts, the header being row 1."""

    number: int
    cells: Mapping[str, str]
    # The row has more cells than the header.
    is_long: bool = False

    @property
    def sku(self) -> str:
        """Its SKU, as far as it is one."""
        return self.cells.get("sku", "")[:_SKU_LEN_MAX]


def rows(text: str) -> Iterator[Row]:
    """The rows of a file that say anything. Raises `Unreadable`, in the midst of the file too."""
    text = text.removeprefix("\ufeff")
    head = text[: text.find("\n") if "\n" in text else len(text)]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in head and "," not in head else ",")
    try:
        columns = _columns(next(reader, []))
        for number, cells in enumerate(reader, 2):
            told = [cell.strip() for cell in cells]
            if any(told):
                yield Row(number, dict(zip(columns, told, strict=False)), is_long=any(told[len(columns) :]))
    except csv.Error as failure:
        raise Unreadable(f"row {reader.line_num}: {failure}") from None


def count(text: str) -> int:
    """How many rows say anything. Raises `Unreadable`."""
    return sum(1 for _ in rows(text))


def _columns(header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise Unreadable(f"unknown columns {', '.join(map(repr, unknown))}; there are {', '.join(COLUMNS)}")
    if "sku" not in names:
        raise Unreadable("the header has no column sku")
    if len(set(names)) < len(names):
        raise Unreadable("the header names a column twice")
    return names


def item(row: Row, known: Item | None) -> tuple[pb.Item, dict[str, list[str]]]:
    """What a row makes of an item (or of none), and what is wrong with it, by column."""
    told, problems = pb.Item(sku=row.cells.get("sku", "")), {}
    if known is not None:
        told.unit = known.unit  # type: ignore[assignment] # numbers, as the contract has them
        for name in CHANGES:
            setattr(told, name, getattr(known, name))
    for column, cell in row.cells.items():
        if cell and column != "sku" and (problem := _put(told, column, cell)):
            problems[column] = [problem]
    if known is not None and told.unit != known.unit:
        problems.setdefault("unit", []).append("cannot be changed")
    if row.is_long:
        problems[""] = ["has more cells than the header"]
    found = validation.violations(pb.CreateItemRequest(item=told), "")
    problems = {**{path.removeprefix("item."): whys for path, whys in found.items()}, **problems}
    return told, {name: [why[:_REASON_LEN_MAX] for why in whys] for name, whys in problems.items()}


def _put(told: pb.Item, column: str, cell: str) -> str:
    """Put a cell into an item; what is wrong with it."""
    if column == "unit":
        if cell not in _UNITS:
            return f"must be one of {', '.join(_UNITS)}"
        told.unit = _UNITS[cell]  # type: ignore[assignment] # numbers, as the contract has them
    elif column == "low_stock_threshold":
        # Only what is written with the ten digits: Python's own idea of a number has more.
        if not (cell.isascii() and cell.isdigit() and len(cell) <= 13):  # noqa: PLR2004 - the digits of its maximum
            return "must be a whole number from 0 to 1000000000000"
        told.low_stock_threshold = int(cell)
    else:
        setattr(told, column, cell)
    return ""
