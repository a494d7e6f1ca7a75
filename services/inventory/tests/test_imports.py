"""Items in bulk through a real server: batches that answer row by row, and files as jobs that survive their process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import imports_pb2 as pb
from switchyard.inventory.v1 import inventory_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.db import Database
from chassis.service import Service
from chassis.testing import Databases, Running, Serve, Tenant
from services.inventory import imports
from services.inventory.rpc import importing
from services.inventory.rpc.imports import ImportsRpc
from services.inventory.rpc.inventory import InventoryRpc
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

APPLIED, REJECTED = pb.ROW_OUTCOME_APPLIED, pb.ROW_OUTCOME_REJECTED
NOT_APPLIED = pb.ROW_OUTCOME_NOT_APPLIED
REJECT_ALL, KEEP_GOOD = pb.ERROR_POLICY_REJECT_ALL, pb.ERROR_POLICY_KEEP_GOOD


def build(service: Service) -> None:
    """Inventory whose files are taken in when a test says so."""
    service.serve(InventoryRpc(service.database, service.pager(), service.sites()))
    service.serve(ImportsRpc(service.pager()))


class KilledError(Exception):
    """The process is gone."""


class Dying(Database):
    """The database as a process sees it that is killed before one of its transactions begins, or before it commits."""

    def __init__(self, database: Database, *, after: int, commits: bool) -> None:
        self._real = database
        self._left = after
        self._commits = commits
        self.service = database.service

    @asynccontextmanager
    async def transaction(self, principal: Any = None) -> AsyncIterator[AsyncSession]:
        if self._left < 0 or (self._left == 0 and self._commits):
            raise KilledError
        self._left -= 1
        async with self._real.transaction(principal) as session:
            yield session
            if self._left < 0:
                raise KilledError


@dataclass(frozen=True)
class Office:
    """Somebody with files, and the process that takes them in."""

    running: Running
    tenant: Tenant
    databases: Databases
    stub: Any

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant, databases: Databases) -> "Office":
        running = await serve("inventory", build, settings=InventorySettings)
        office = cls(running, tenant, databases, Stub(running.channel(tenant.user())))
        # What earlier tests have left half done is not this one's business.
        await office.sql("UPDATE imports SET due_at = 'infinity' WHERE state IN ('queued', 'running')")
        return office

    async def sql(self, statement: str, *values: object) -> Any:
        connection = await asyncpg.connect(self.databases.admin("inventory"))
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def batch(self, policy: Any, *operations: dict[str, Any]) -> pb.BatchItemsResponse:
        told = [pb.ItemOperation(**operation) for operation in operations]
        request = pb.BatchItemsRequest(error_policy=policy, operations=told)
        return await self.stub.BatchItems(request)  # type: ignore[no-any-return]

    async def skus(self) -> dict[str, inventory_pb2.Item]:
        request = inventory_pb2.ListItemsRequest(page_size=100)
        return {item.sku: item for item in (await self.stub.ListItems(request)).items}

    async def send(self, csv: str, **more: Any) -> pb.Import:
        return await self.stub.ImportItems(pb.ImportItemsRequest(csv=csv, name="items.csv", **more))  # type: ignore[no-any-return]

    async def work(self, database: Database | None = None) -> None:
        await importing.Importing(database or self.running.service.database, slice_rows=10).work()

    async def due_now(self) -> None:
        """The claim of the dead has ended."""
        due = "UPDATE imports SET due_at = now() WHERE tenant_id = $1 AND state IN ('queued', 'running')"
        await self.sql(due, self.tenant.id)

    async def job(self, import_id: str) -> pb.Import:
        return await self.stub.GetImport(pb.GetImportRequest(id=import_id))  # type: ignore[no-any-return]

    async def report(self, import_id: str) -> list[tuple[int, str, str]]:
        request = pb.ListImportErrorsRequest(id=import_id, page_size=100)
        return [(each.row, each.field, each.sku) for each in (await self.stub.ListImportErrors(request)).errors]

    async def events(self, name: str) -> int:
        sql = "SELECT count(*) AS n FROM outbox WHERE tenant_id = $1 AND subject LIKE $2"
        return int((await self.sql(sql, self.tenant.id, f"evt.%.{name}"))[0]["n"])


def _new(sku: str, **more: Any) -> dict[str, Any]:
    return {"create": inventory_pb2.Item(sku=sku, name=sku, unit=inventory_pb2.UNIT_EACH, **more)}


def _counts(job: pb.Import) -> tuple[int, int, int, int]:
    return job.created, job.updated, job.unchanged, job.rejected


class TestBatch:
    async def test_keeps_the_good_and_says_of_each_bad_one_why(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)
        known = await office.stub.CreateItem(inventory_pb2.CreateItemRequest(item=_new("KNOWN")["create"]))

        answer = await office.batch(
            KEEP_GOOD,
            _new("A"),
            _new("known"),
            _new("bad sku"),
            {"update": pb.ItemChange(id=known.id, name="Renamed", version=1)},
            {"update": pb.ItemChange(id=known.id, name="Late", version=1)},
            {"delete": pb.ItemDeletion(id=str(uuid7()))},
            {"delete": pb.ItemDeletion(id=known.id)},
        )

        outcomes = [(result.outcome, result.code) for result in answer.results]
        assert outcomes == [
            (APPLIED, ""),
            (REJECTED, "ALREADY_EXISTS"),
            (REJECTED, "VALIDATION_FAILED"),
            (APPLIED, ""),
            (REJECTED, "STALE_VERSION"),
            (REJECTED, "NOT_FOUND"),
            (APPLIED, ""),
        ]
        assert answer.results[2].details[0].field == "sku"
        assert (answer.applied, answer.rejected, set(await office.skus())) == (3, 4, {"A"})

    async def test_rejects_all_and_leaves_nothing(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        office = await Office.open(serve, tenant, databases)

        answer = await office.batch(REJECT_ALL, _new("A"), _new("B"), _new("a"))

        assert [result.outcome for result in answer.results] == [NOT_APPLIED, NOT_APPLIED, REJECTED]
        assert (answer.applied, answer.results[0].item_id, await office.skus()) == (0, "", {})
        assert await office.events("ItemCreated") == 0

    async def test_does_all_when_all_are_good(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        office = await Office.open(serve, tenant, databases)

        answer = await office.batch(REJECT_ALL, *(_new(f"S{number}") for number in range(100)))

        assert answer.applied == len(await office.skus()) == 100
        assert await office.events("ItemCreated") == 100

    async def test_what_a_row_left_undone_is_told_to_nobody(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)

        await office.batch(KEEP_GOOD, _new("A"), _new("A"), _new("B"))

        assert await office.events("ItemCreated") == 2

    async def test_of_the_same_batch_from_many_each_sku_is_made_once(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)

        answers = await asyncio.gather(*(office.batch(KEEP_GOOD, _new("A"), _new("B"), _new("C")) for _ in range(8)))

        assert sum(answer.applied for answer in answers) == len(await office.skus()) == 3

    async def test_an_operation_that_says_nothing_is_invalid(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)

        with pytest.raises(errors.Invalid):
            await office.batch(KEEP_GOOD, {})


class TestImport:
    async def test_creates_changes_and_reports(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        office = await Office.open(serve, tenant, databases)
        await office.batch(KEEP_GOOD, _new("OLD", category="x"), _new("SAME"))
        csv = (
            "\ufeffsku,name,unit,category,low_stock_threshold\r\n"
            'NEW,"Beans, dark",g,coffee,500\r\n'
            "old,,,coffee,\r\n"
            "SAME,SAME,each,,0\r\n"
            ",,,,\r\n"
            "bad sku,X,each,,\r\n"
            "NONAME,,each,,\r\n"
            "UNIT,X,stone,,\r\n"
            "OLD,OLD,g,,\r\n"
            "LONG,X,each,,1,what\r\n"
            "NUMBER,X,each,,-1\r\n"
        )

        job = await office.send(csv)
        await office.work()

        done = await office.job(job.id)
        assert (done.state, done.percent, done.rows, done.rows_done) == (pb.IMPORT_STATE_SUCCEEDED, 100, 9, 9)
        assert _counts(done) == (1, 1, 1, 6)
        items = await office.skus()
        assert (items["NEW"].name, items["NEW"].low_stock_threshold) == ("Beans, dark", 500)
        assert (items["OLD"].category, items["OLD"].name, items["OLD"].version) == ("coffee", "OLD", 2)
        assert items["SAME"].version == 1
        assert await office.report(job.id) == [
            (6, "sku", "bad sku"),
            (7, "name", "NONAME"),
            (8, "unit", "UNIT"),
            (9, "unit", "OLD"),
            (10, "", "LONG"),
            (11, "low_stock_threshold", "NUMBER"),
        ]

    @pytest.mark.parametrize(
        "csv", ["name,unit\nA,g\n", "sku,price\nA,1\n", "sku,sku\nA,A\n", 'sku,name\nA,"' + "x" * 200_000]
    )
    async def test_a_file_that_is_none_fails(
        self, serve: Serve, tenant: Tenant, databases: Databases, csv: str
    ) -> None:
        office = await Office.open(serve, tenant, databases)

        job = await office.send(csv)
        await office.work()

        done = await office.job(job.id)
        assert (done.state, bool(done.failure)) == (pb.IMPORT_STATE_FAILED, True)

    async def test_chunks_come_in_any_order_and_are_cut_anywhere(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)
        csv = "sku;name;unit\n" + "".join(f'S{number};"Item\n{number}";each\n' for number in range(30))
        parts_ = [csv[:100], csv[100:101], csv[101:]]
        job = await office.send(parts_[0], chunks=3)

        for number in (3, 2, 3):
            put = pb.PutImportChunkRequest(id=job.id, number=number, csv=parts_[number - 1])
            told = await office.stub.PutImportChunk(put)
        await office.work()

        assert (job.state, told.state) == (pb.IMPORT_STATE_RECEIVING, pb.IMPORT_STATE_QUEUED)
        assert _counts(await office.job(job.id)) == (30, 0, 0, 0)

    async def test_another_chunk_in_its_place_is_refused(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)
        job = await office.send("sku,name,unit\nA,A,g\n")
        await office.work()

        for number, kind in ((1, errors.Conflict), (2, errors.Invalid)):
            with pytest.raises(kind):
                await office.stub.PutImportChunk(pb.PutImportChunkRequest(id=job.id, number=number, csv="other"))

    async def test_another_tenant_does_not_see_it(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        office = await Office.open(serve, tenant, databases)
        job = await office.send("sku,name,unit\nA,A,g\n")
        stranger = Stub(office.running.channel(Tenant().user()))

        for attempt in (
            stranger.GetImport(pb.GetImportRequest(id=job.id)),
            stranger.ListImportErrors(pb.ListImportErrorsRequest(id=job.id)),
            stranger.PutImportChunk(pb.PutImportChunkRequest(id=job.id, number=1, csv="x")),
        ):
            with pytest.raises(errors.NotFound):
                await attempt
        assert list((await stranger.ListImports(pb.ListImportsRequest())).imports) == []


class TestKilled:
    @pytest.mark.parametrize("commits", [True, False])
    async def test_before_any_of_its_transactions_it_is_finished_by_another_process(
        self, serve: Serve, tenant: Tenant, databases: Databases, *, commits: bool
    ) -> None:
        office = await Office.open(serve, tenant, databases)
        lines = [f"S{number},Item {number},each" if number % 7 else f"bad {number},x,each" for number in range(45)]
        job = await office.send("sku,name,unit\n" + "\n".join(lines))

        seen, after = [], 0
        while (await office.job(job.id)).state != pb.IMPORT_STATE_SUCCEEDED:
            dying = Dying(office.running.service.database, after=1 + after % 5, commits=commits)
            with contextlib.suppress(KilledError):
                await office.work(dying)
            seen.append((await office.job(job.id)).rows_done)
            await office.due_now()
            after += 1
            assert after < 60

        done = await office.job(job.id)
        assert seen == sorted(seen)
        assert len(set(seen)) > 2
        assert _counts(done) == (38, 0, 0, 7)
        assert len(await office.skus()) == await office.events("ItemCreated") == 38
        assert len(await office.report(job.id)) == 7

    async def test_of_two_processes_the_later_one_goes_on(
        self, serve: Serve, tenant: Tenant, databases: Databases
    ) -> None:
        office = await Office.open(serve, tenant, databases)
        job = await office.send("sku,name,unit\nA,A,g\n")
        database = office.running.service.database
        principal = tenant.service("inventory")
        now = clock.now()

        async with database.transaction(principal) as session:
            first = await imports.claim(session, UUID(job.id), at=now)
        await office.due_now()
        async with database.transaction(principal) as session:
            second = await imports.claim(session, UUID(job.id), at=clock.now())
        assert first is not None
        assert second is not None

        async with database.transaction(principal) as session:
            held = [await imports.hold(session, claim[0]) is not None for claim in (first, second)]
        assert held == [False, True]

    async def test_many_processes_at_once_do_it_once(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        office = await Office.open(serve, tenant, databases)
        job = await office.send("sku,name,unit\n" + "\n".join(f"S{number},x,each" for number in range(40)))

        await asyncio.gather(*(office.work() for _ in range(6)))

        assert _counts(await office.job(job.id)) == (40, 0, 0, 0)
        assert await office.events("ItemsImported") == 1

    async def test_what_it_counts_does_not_go_back(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        office = await Office.open(serve, tenant, databases)
        job = await office.send("sku,name,unit\nA,A,g\n")
        await office.work()

        for change in ("rows_done = 0, created = 0", "state = 'queued', finished_at = NULL", "rows_done = 2"):
            with pytest.raises(asyncpg.CheckViolationError):
                await office.sql(f"UPDATE imports SET {change} WHERE id = $1", job.id)
