"""Reading the "Online Retail" file, and what is remembered of sending it."""

import gzip
import json
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cli import retail_file, retail_sending
from cli.retail_file import Bad, Line
from cli.retail_sending import State, Totals
from cli.tests import retail_csv

HEADER = ",".join(retail_file.COLUMNS)
ABOUT = {"file": "x", "site": "y"}


def _read(path: Path) -> tuple[list[Line], list[Bad]]:
    lines, bad = [], []
    for _, good, wrong in retail_file.invoices(path, retail_file.survey(path)):
        lines += good
        bad += wrong
    return lines, bad


def _file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "retail.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


class TestReading:
    def test_every_line_is_a_sale_or_has_its_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "retail.csv"
        written = retail_csv.write(path, invoices=400)

        lines, bad = _read(path)

        totals = Totals()
        totals.count(lines)
        assert (totals.rows, totals.quantity, totals.pence) == (written.rows, written.quantity, written.pence)
        assert Counter(each.reason for each in bad) == written.bad
        assert len(lines) + len(bad) == written.lines

    def test_a_compressed_file_is_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "retail.csv"
        retail_csv.write(path, invoices=20)
        packed = tmp_path / "retail.csv.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))

        assert _read(packed) == _read(path)

    def test_customers_are_numbers_and_times_are_londons(self, tmp_path: Path) -> None:
        path = _file(
            tmp_path,
            "1,a1,Thing,2,2011-07-01 09:00:00,1.50,17850.0,France",
            "2,A1,Thing,2,12/1/2010 8:26,1.5,,France",
        )

        (summer, winter), _ = _read(path)

        assert (summer.customer_id, winter.customer_id) == ("17850", "")
        assert summer.sold_at == datetime(2011, 7, 1, 8, 0, tzinfo=UTC)
        assert winter.sold_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
        assert (summer.stock_code, summer.pence, winter.pence) == ("A1", 150, 150)

    def test_what_has_no_name_is_called_what_it_is_mostly_called(self, tmp_path: Path) -> None:
        path = _file(
            tmp_path,
            "1,A,,2,2011-07-01 09:00:00,1.50,,F",
            "1,A,Odd,2,2011-07-01 09:00:00,1.50,,F",
            "2,A,Usual,2,2011-07-01 09:00:00,1.50,,F",
            "3,A,Usual,2,2011-07-01 09:00:00,1.50,,F",
        )

        lines, _ = _read(path)

        assert [line.name for line in lines] == ["Usual", "Odd", "Usual", "Usual"]

    def test_an_invoice_that_is_interrupted_is_one(self, tmp_path: Path) -> None:
        row = "{0},A,Thing,{1},2011-07-01 09:00:00,1.50,,F"
        path = _file(tmp_path, row.format(1, 1), row.format(2, 1), row.format(1, 2), row.format(1, 1))

        found = [
            (invoice, len(lines), len(bad))
            for invoice, lines, bad in retail_file.invoices(path, retail_file.survey(path))
        ]

        assert found == [("2", 1, 0), ("1", 2, 1)]

    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "other.csv"
        path.write_text("a,b\n1,2\n")

        with pytest.raises(retail_file.NotRetail):
            retail_file.survey(path)


class TestSending:
    def test_an_invoice_is_always_the_same_order(self) -> None:
        site, at = uuid4(), datetime(2011, 1, 1, tzinfo=UTC)
        line = Line(2, "536365", "A", "Thing", 2, 150, at, "17850", "France")

        told = json.loads(retail_sending.order("536365", [line], site))

        assert told == json.loads(retail_sending.order("536365", [line], site))
        assert told["id"] != json.loads(retail_sending.order("536365", [line], uuid4()))["id"]
        assert told["lines"] == [{"name": "Thing", "quantity": 2, "unit_amount": 150, "notes": "A"}]

    def test_what_was_answered_is_remembered(self, tmp_path: Path) -> None:
        path = tmp_path / "state.jsonl"
        with closing(State(path, ABOUT)) as state:
            state.note(["1", "2"], Totals(3, 30, 300), {"2": "already_exists"})
        with path.open("a") as file:
            file.write('{"invoices": ["3"], "ro')  # cut off by a kill

        with closing(State(path, ABOUT)) as state:
            state.note(["4"], Totals(1, 1, 1), {})
        with closing(State(path, ABOUT)) as found:
            pass

        assert found.finished == {"1", "2", "4"}
        assert (found.totals, found.refused) == (Totals(4, 31, 301), {"2": "already_exists"})

    def test_the_state_of_another_import_is_not_taken_up(self, tmp_path: Path) -> None:
        path = tmp_path / "state.jsonl"
        with closing(State(path, ABOUT)) as state:
            state.note(["1"], Totals(1, 1, 1), {})

        with closing(State(path, {**ABOUT, "site": "z"})) as found:
            pass

        assert (found.finished, found.totals) == (set(), Totals())
