"""A shop's old invoices come in by the command, which is killed in the middle; every line is accounted for once."""

import asyncio
import csv
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import httpx

from cli.tests import retail_csv
from tests.e2e.conftest import ROOT, System, created, eventually

INVOICES = 4000


async def _command(system: System, file: Path, site: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "SWITCHYARD_RUN_DIR": str(system.run_dir)}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "import", "retail", str(file)),
        *("--site", site, "--tenant", system.tenant(), "--in-flight", "1", "--state", str(file.with_suffix(".jsonl"))),
        *("--report", str(file.with_suffix(".report.csv"))),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _calls(file: Path) -> bool:
    state = file.with_suffix(".jsonl")
    return state.exists() and len(state.read_text().splitlines()) > 2


class TestRetailImport:
    async def test_killed_and_run_again(self, system: System, admin: httpx.AsyncClient, tmp_path: Path) -> None:
        site = (await created(admin, "/api/v1/sites", {"name": "History", "time_zone": "Europe/London"}))["id"]
        file = tmp_path / "retail.csv"
        written = retail_csv.write(file, invoices=INVOICES)

        first = await _command(system, file, site)
        await eventually(lambda: _calls(file), 60)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        known = len(file.with_suffix(".jsonl").read_text().splitlines()) - 1
        again = await _command(system, file, site)
        told = (await again.communicate())[0].decode()

        assert again.returncode == 0, told
        assert known < INVOICES / 500
        assert f"{written.rows} rows accepted: {written.quantity} pieces, {written.pence} pence" in told
        with file.with_suffix(".report.csv").open() as report:
            assert Counter(row["reason"] for row in csv.DictReader(report)) == written.bad
        kept = await _kept(system, site)
        assert kept == (written.orders, written.rows, written.quantity, written.pence)
        assert re.search(r"[0-9]+ rows per second", told)

    async def test_a_file_that_is_another_one_is_refused(self, system: System, tmp_path: Path) -> None:
        file = tmp_path / "other.csv"
        file.write_text("a,b\n1,2\n")

        command = await _command(system, file, system.site())
        told = (await command.communicate())[0].decode()

        assert command.returncode == 1
        assert "the header is not" in told


async def _kept(system: System, site: str) -> tuple[int, ...]:
    async with system.database("orders") as database:
        row = await database.fetchrow(
            "SELECT count(DISTINCT o.id), count(*), sum(l.quantity), sum(l.quantity * l.unit_amount) FROM orders o "
            "JOIN lines l ON l.tenant_id = o.tenant_id AND l.order_id = o.id WHERE o.site_id = $1",
            site,
        )
    assert row is not None
    return tuple(int(value) for value in row)
