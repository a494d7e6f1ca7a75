"""The heart of imports: files as jobs, row by row into items.

The rows of a slice and the position behind them are written in one transaction: a job that is taken up again after a
crash goes on where it was, and no row counts twice.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2, inventory_pb2
from switchyard.inventory.v1 import imports_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events
from services.inventory import imports_files, imports_store, inventory
from services.inventory.imports_models import Import
from services.inventory.models import Item

# A slice takes a fraction of a second; a process that is silent for so long is dead.
LEASE = timedelta(seconds=15)


@dataclass(frozen=True)
class Claim:
    """The right to go on with a job."""

    import_id: UUID
    lease: int


async def begin(session: AsyncSession, told: pb.ImportItemsRequest) -> Import:
    """A job with its first chunk; it is due at once unless more chunks are to come."""
    current, now = call.current(), clock.now()
    row = Import(tenant_id=current.principal.tenant, id=uuid7(), name=told.name, created_by=current.principal.name)
    row.chunks, row.chunks_received, row.state = told.chunks or 1, 0, "receiving"
    row.created_at = row.due_at = now
    session.add(row)
    await session.flush()
    await _add(session, row, 1, told.csv)
    return row


async def add(session: AsyncSession, told: pb.PutImportChunkRequest) -> Import:
    """One more chunk. Raises `NotFound`, `Invalid`, `Conflict` (`CHUNK_DIFFERS`)."""
    row = await get(session, told.id, lock=True)
    if told.number > row.chunks:
        raise errors.Invalid(fields={"number": [f"must be at most {row.chunks}, as the import has said"]})
    await _add(session, row, told.number, told.csv)
    return row


async def get(session: AsyncSession, import_id: str, *, lock: bool = False) -> Import:
    """One import. Raises `NotFound`."""
    row = await imports_store.job(session, UUID(import_id), lock=lock)
    if row is None:
        raise errors.NotFound
    return row


async def _add(session: AsyncSession, row: Import, number: int, csv: str) -> None:
    digest = hashlib.sha256(csv.encode()).digest()
    key = {"tenant_id": row.tenant_id, "import_id": row.id, "number": number}
    if not await imports_store.add_chunk(session, {**key, "digest": digest, "csv": csv}):
        if await imports_store.chunk_digest(session, row.id, number) != digest:
            message = f"chunk {number} is there already, and it is another one"
            raise errors.Conflict(message, code="CHUNK_DIFFERS")
        return
    row.chunks_received += 1
    if row.chunks_received == row.chunks:
        row.state, row.due_at = "queued", clock.now()


async def claim(session: AsyncSession, import_id: UUID, *, at: datetime) -> tuple[Claim, str, str] | None:
    """Take up a due job: the claim, who began it, and its file; nothing when another process was faster."""
    row = await imports_store.claim(session, import_id, at=at, until=at + LEASE)
    if row is None:
        return None
    return Claim(import_id, row.lease), row.created_by, await imports_store.text(session, import_id)


async def hold(session: AsyncSession, claim: Claim) -> Import | None:
    """The claimed job, locked and claimed for longer; nothing when it is somebody else's by now."""
    row = await imports_store.job(session, claim.import_id, lock=True)
    if row is None or row.state != "running" or row.lease != claim.lease:
        return None
    row.due_at = clock.now() + LEASE
    return row


async def apply(session: AsyncSession, row: Import, rows: Sequence[imports_files.Row]) -> None:
    """Import the next rows of a job that is held. Raises `AlreadyExists` when somebody else made one of the items."""
    known = await imports_store.items_by_sku(session, [each.cells.get("sku", "") for each in rows])
    counts: Counter[str] = Counter()
    report: list[dict[str, object]] = []
    for each in rows:
        told, problems = imports_files.item(each, known.get(each.cells.get("sku", "").lower()))
        if problems:
            report += _problems(row, each, problems)
            counts["rejected"] += 1
        else:
            counts[await _put(session, told, known)] += 1
    await imports_store.report(session, report)
    for name, count in counts.items():
        setattr(row, name, getattr(row, name) + count)
    row.rows_done += len(rows)


async def _put(session: AsyncSession, told: inventory_pb2.Item, known: dict[str, Item]) -> str:
    found = known.get(told.sku.lower())
    if found is None:
        known[told.sku.lower()] = await inventory.create(session, told)
        return "created"
    paths = [name for name in imports_files.CHANGES if getattr(found, name) != getattr(told, name)]
    if not paths:
        return "unchanged"
    await inventory.change(session, str(found.id), told, paths)
    return "updated"


def _problems(row: Import, each: imports_files.Row, problems: dict[str, list[str]]) -> list[dict[str, object]]:
    key = {"tenant_id": row.tenant_id, "import_id": row.id, "row": each.number, "sku": each.sku}
    found = [(name, why) for name, whys in problems.items() for why in whys]
    return [{**key, "position": at, "field": name, "reason": why} for at, (name, why) in enumerate(found)]


async def end(session: AsyncSession, row: Import, *, failure: str = "") -> None:
    """A held job has come to its end; whoever began it is told."""
    row.state, row.failure, row.finished_at = "failed" if failure else "succeeded", failure, clock.now()
    await imports_store.forget_text(session, row.id)
    told = events_pb2.ItemsImported(
        import_id=str(row.id), created=row.created, updated=row.updated, rejected=row.rejected
    )
    audience = [row.created_by] if row.created_by.startswith("user:") else []
    events.publish(session, told, subject=f"imports/{row.id}", audience=audience)
    audit.about(session, f"imports/{row.id}")
