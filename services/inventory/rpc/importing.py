"""Files are taken in by whichever process finds them due: slice by slice, each with its position in one transaction.

A process that dies leaves a claim that ends; the next one reads the file again, skips what has been done and goes on.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from uuid import UUID

import structlog

from chassis import call, clock, errors, identity
from chassis.db import Database
from services.inventory import imports, imports_files, imports_store

# How often due imports are looked for, in seconds.
EVERY_S = 0.5
# Rows a transaction: enough to be worth its commit, few enough to leave the items' locks soon.
SLICE = 200
# Somebody may make an item of the file at the same moment; the slice is tried again and finds it.
TRIES_MAX = 5

log = structlog.get_logger()


class Importing:
    """Takes in files of items, one at a time in a process."""

    def __init__(self, database: Database, *, slice_rows: int = SLICE) -> None:
        self._database = database
        self._slice_rows = slice_rows

    async def work(self) -> None:
        """Take in what is due."""
        nobody = identity.service_principal(self._database.service, None)
        async with self._database.transaction(nobody) as session:
            due = await imports_store.due(session, at=clock.now(), most=1)
        for tenant_id, import_id in due:
            try:
                await self._take_up(tenant_id, import_id)
            except errors.Error as failure:
                # Its claim ends by itself, and somebody goes on with it.
                log.warning("import_interrupted", import_id=str(import_id), error=repr(failure))

    async def _take_up(self, tenant_id: UUID, import_id: UUID) -> None:
        principal = identity.service_principal(self._database.service, tenant_id)
        async with self._database.transaction(principal) as session:
            taken = await imports.claim(session, import_id, at=clock.now())
        if taken is None:
            return
        claim, began, text = taken
        acting = replace(principal, on_behalf_of=began)
        with call.answering(call.Call(principal=acting, action="inventory.ImportItems", category="data")):
            await self._run(claim, text)

    async def _run(self, claim: imports.Claim, text: str) -> None:
        failure = ""
        try:
            # A large file takes a moment to read, in which others are served.
            total = await asyncio.to_thread(imports_files.count, text)
            if await self._slices(claim, imports_files.rows(text), total):
                return
        except imports_files.Unreadable as unreadable:
            failure = str(unreadable)
        async with self._database.transaction() as session:
            if (row := await imports.hold(session, claim)) is not None:
                await imports.end(session, row, failure=failure)

    async def _slices(self, claim: imports.Claim, rows: Iterator[imports_files.Row], total: int) -> bool:
        """Import what is left; whether the job was lost to another process."""
        async with self._database.transaction() as session:
            row = await imports.hold(session, claim)
            if row is None:
                return True
            row.rows = total
        done = row.rows_done
        await asyncio.to_thread(lambda: next(islice(rows, done, done), None))
        while some := list(islice(rows, self._slice_rows)):
            if not await self._slice(claim, some):
                return True
        return False

    async def _slice(self, claim: imports.Claim, some: list[imports_files.Row]) -> bool:
        for tried in range(1, TRIES_MAX + 1):
            try:
                async with self._database.transaction() as session:
                    row = await imports.hold(session, claim)
                    if row is None:
                        return False
                    await imports.apply(session, row, some)
                return True
            except (errors.AlreadyExists, errors.Conflict):
                if tried == TRIES_MAX:
                    raise
        raise AssertionError
