"""A small file in the form of the UCI "Online Retail" data, with everything that is wrong with the real one."""

import csv
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cli.retail_file import COLUMNS

# Each row's defect beside what makes it one; the invoice's number is put in where there is a place for it.
DEFECTS: dict[str, list[str]] = {
    "cancellation": ["C{0}", "S1", "Thing 1", "-1", "", "1.00", "17850.0", "France"],
    "service_code": ["{0}", "POST", "POSTAGE", "1", "", "18.00", "", "France"],
    "negative_quantity": ["{0}", "S1", "damaged", "-3", "", "0.50", "", "France"],
    "zero_quantity": ["{0}", "S1", "Thing 1", "0", "", "0.50", "", "France"],
    "quantity_too_large": ["{0}", "S1", "Thing 1", "1000001", "", "0.50", "", "France"],
    "zero_price": ["{0}", "S1", "", "3", "", "0.0", "", "France"],
    "negative_price": ["{0}", "S1", "Adjustment", "1", "", "-5.00", "", "France"],
    "fraction_of_a_penny": ["{0}", "S1", "Thing 1", "1", "", "0.001", "", "France"],
    "bad_number": ["{0}", "S1", "Thing 1", "two", "", "1.00", "", "France"],
    "bad_date": ["{0}", "S1", "Thing 1", "1", "yesterday", "1.00", "", "France"],
    "bad_stock_code": ["{0}", "not a code", "Thing 1", "1", "", "1.00", "", "France"],
    "missing_description": ["{0}", "NAMELESS", "", "1", "", "1.00", "", "France"],
    "bad_row": ["{0}", "S1", "Thing 1"],
}
_FIRST = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 - the clock on the wall, as the file has it


@dataclass
class Written:
    """What a file holds, as its writer knows."""

    rows: int = 0
    quantity: int = 0
    pence: int = 0
    lines: int = 0
    orders: int = 0
    bad: Counter[str] = field(default_factory=Counter)


def write(path: Path, *, invoices: int, codes: int = 50, seed: int = 1) -> Written:
    """Write a file: good lines, and every so often each of the defects and a line that stands there twice."""
    chance, told = random.Random(seed), Written()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(invoices):
            for row in _invoice(chance, told, 536365 + number, number, codes):
                told.lines += 1
                writer.writerow(row)
    return told


def _invoice(chance: random.Random, told: Written, invoice: int, number: int, codes: int) -> list[list[str]]:
    at = (_FIRST + timedelta(minutes=7 * number)).isoformat(" ")
    rows = []
    for code in chance.sample(range(codes), chance.randint(1, 4)):
        quantity, pence = chance.randint(1, 80), chance.randint(1, 2000)
        # A customer may be missing, and a name that another line says.
        customer = "" if chance.random() < 0.25 else f"{12346 + number % 97}.0"
        name = "" if number and chance.random() < 0.01 else f"Thing {code}"
        price = f"{pence / 100:.2f}"
        rows.append([str(invoice), f"S{code}", name, str(quantity), at, price, customer, "France"])
        told.rows, told.quantity = told.rows + 1, told.quantity + quantity
        told.pence += quantity * pence
    told.orders += 1
    if number % 10 == 0:
        rows.append(list(rows[0]))
        told.bad["duplicate"] += 1
    reason = list(DEFECTS)[number % len(DEFECTS)]
    rows.append([cell.format(invoice) for cell in DEFECTS[reason]])
    if len(rows[-1]) > 4 and not rows[-1][4]:
        rows[-1][4] = at
    told.bad[reason] += 1
    return rows
