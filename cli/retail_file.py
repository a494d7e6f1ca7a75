"""The UCI "Online Retail" file: which of its lines are sales, and why the others are not.

Its lines are invoice lines of a British shop. The file is read twice, as a stream: once to learn what things are called
and where each invoice ends, once to take it in. A line is judged by the first of these reasons that applies to it:

- `bad_row`: not eight cells, or no invoice or stock code. `bad_number`, `bad_date`: not one.
- `cancellation`: its invoice takes back another (`C...`).
- `service_code`: postage, discounts, manual corrections, samples, fees, charity, vouchers. They are money that went
  along with a sale or beside it and no things: they have no stock and would be nonsense on a shelf.
- `negative_quantity`, `zero_quantity`, `quantity_too_large`; `negative_price`, `zero_price`.
- `fraction_of_a_penny`: the price is no whole number of pence. Rounding would make the sums differ from the file's.
- `bad_stock_code`: it cannot be a SKU.
- `duplicate`: the same invoice has this very line, every cell of it, already.
- `missing_description`: neither it nor any other sale says what the thing is called.

A customer may be missing. Prices are pounds, times are the clock on the wall in London.
"""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

COLUMNS: Final = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
# Postage, dotcom postage, carriage, manual, discount, samples, bad debt, bank and Amazon's fees, charity.
SERVICE_CODES: Final = frozenset({"POST", "DOT", "C2", "M", "D", "S", "B", "BANK CHARGES", "AMAZONFEE", "CRUK"})
VOUCHER: Final = "GIFT_"
LONDON: Final = ZoneInfo("Europe/London")
QUANTITY_MAX: Final = 1_000_000
NAME_LEN_MAX: Final = 200
_SKU: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_WHOLE: Final = re.compile(r"(-?[0-9]{1,15})(?:\.0*)?")
_FORMATS: Final = ("%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M")


class NotRetail(Exception):
    """The file is another one."""


class Line(NamedTuple):
    """A line that is a sale. `number`: of the line's record in the file, the header being 1."""

    number: int
    invoice: str
    stock_code: str
    name: str
    quantity: int
    pence: int
    sold_at: datetime
    customer_id: str
    country: str


class Bad(NamedTuple):
    """A line that is none."""

    number: int
    invoice: str
    stock_code: str
    reason: str


@dataclass
class Survey:
    """What the first reading has found."""

    names: dict[str, str] = field(default_factory=dict)
    # The last line of each invoice: behind it the invoice is whole.
    ends: dict[str, int] = field(default_factory=dict)
    lines: int = 0


def survey(path: Path) -> Survey:
    """Read the file for the first time. Raises `NotRetail`."""
    called: dict[str, Counter[str]] = {}
    found = Survey()
    for number, cells in _records(path):
        found.lines += 1
        found.ends[_invoice(cells)] = number
        line = _judge(number, cells)
        if isinstance(line, Line) and line.name:
            called.setdefault(line.stock_code, Counter())[line.name] += 1
    # The most frequent name; of several, the one that comes first in the file.
    found.names = {code: names.most_common(1)[0][0] for code, names in called.items()}
    return found


def invoices(path: Path, found: Survey) -> Iterator[tuple[str, list[Line], list[Bad]]]:
    """Read the file again: each invoice when it is whole, its sales and what is wrong with its other lines."""
    open_: dict[str, _Invoice] = {}
    for number, cells in _records(path):
        name = _invoice(cells)
        invoice = open_.setdefault(name, _Invoice())
        invoice.add(number, cells, found.names)
        if found.ends[name] == number:
            del open_[name]
            yield name, invoice.lines, invoice.bad


class _Invoice:
    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.bad: list[Bad] = []
        self._seen: set[tuple[str, ...]] = set()

    def add(self, number: int, cells: list[str], names: dict[str, str]) -> None:
        line = _judge(number, cells)
        if isinstance(line, Bad):
            self.bad.append(line)
        elif (whole := tuple(cells)) in self._seen:
            self.bad.append(Bad(number, line.invoice, cells[1], "duplicate"))
        elif not line.name and line.stock_code not in names:
            self.bad.append(Bad(number, line.invoice, cells[1], "missing_description"))
        else:
            self._seen.add(whole)
            self.lines.append(line if line.name else line._replace(name=names[line.stock_code]))


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[str]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    else:
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield text


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    with _opened(path) as text:
        reader = csv.reader(text)
        if tuple(next(reader, ())) != COLUMNS:
            message = f"the header is not {','.join(COLUMNS)}"
            raise NotRetail(message)
        yield from enumerate(reader, 2)


def _invoice(cells: list[str]) -> str:
    return cells[0].strip() if cells else ""


def _judge(number: int, cells: list[str]) -> Line | Bad:
    """The line by itself: what the others of its invoice say is not known here."""
    if len(cells) != len(COLUMNS) or not _invoice(cells) or not cells[1].strip():
        return Bad(number, _invoice(cells), cells[1] if len(cells) > 1 else "", "bad_row")
    invoice, code, name, quantity, sold_at, price, customer, country = (cell.strip() for cell in cells)
    pieces, pounds, at = _whole(quantity), _pounds(price), _moment(sold_at)
    reason = _reason(invoice, code, pieces, pounds, at)
    if reason or pieces is None or pounds is None or at is None:
        return Bad(number, invoice, code, reason)
    customer_id = customer if _whole(customer) is None else str(_whole(customer))
    # One thing is sold as 85123a and 85123A: codes differ by more than their case.
    return Line(
        number,
        invoice,
        code.upper(),
        name[:NAME_LEN_MAX],
        pieces,
        int(pounds * 100),
        at,
        customer_id[:64],
        country[:100],
    )


def _reason(invoice: str, code: str, pieces: int | None, pounds: Decimal | None, at: datetime | None) -> str:
    if pieces is None or pounds is None:
        return "bad_number"
    if at is None:
        return "bad_date"
    if invoice[0] in "Cc":
        return "cancellation"
    if code.upper() in SERVICE_CODES or code.upper().startswith(VOUCHER):
        return "service_code"
    if not 0 < pieces <= QUANTITY_MAX:
        return "negative_quantity" if pieces < 0 else "quantity_too_large" if pieces else "zero_quantity"
    if pounds <= 0:
        return "negative_price" if pounds < 0 else "zero_price"
    if pounds * 100 % 1:
        return "fraction_of_a_penny"
    return "" if _SKU.fullmatch(code) else "bad_stock_code"


# A file has few different prices, quantities and minutes: each is read once.
@lru_cache(maxsize=65536)
def _whole(text: str) -> int | None:
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


@lru_cache(maxsize=65536)
def _pounds(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < QUANTITY_MAX else None


@lru_cache(maxsize=65536)
def _moment(text: str) -> datetime | None:
    for known in _FORMATS:
        try:
            return datetime.strptime(text, known).replace(tzinfo=LONDON).astimezone(UTC)
        except ValueError:
            continue
    return None
