"""Orders of the past: kept as they ended, in a handful of statements a call.

No stock moves, no queue is told and no number is given out. What was imported once is known by its id and by what it
says, so that a call may be sent again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.common.v1 import common_pb2
from switchyard.orders.v1 import events_pb2
from switchyard.orders.v1 import imports_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, events
from chassis.rpc import validation
from services.orders import imports_store

CHANNEL: Final = "import"
# What JSON can say of a total.
AMOUNT_MAX: Final = 2**53 - 1
_STATUS: Final = {pb.PAST_STATUS_COMPLETED: ("completed", "served"), pb.PAST_STATUS_CANCELLED: ("cancelled", "voided")}


@dataclass
class Row:
    """An order of a call, and what becomes of it."""

    told: pb.PastOrder
    fingerprint: bytes
    problems: dict[str, list[str]] = field(default_factory=dict)
    outcome: pb.ImportOutcome = pb.IMPORT_OUTCOME_IMPORTED
    code: str = ""

    @property
    def id(self) -> UUID:
        """The order's id."""
        return UUID(self.told.id)

    @property
    def amount(self) -> int:
        """What its lines come to."""
        return sum(line.quantity * line.unit_amount for line in self.told.lines)

    @property
    def placed_at(self) -> datetime:
        """When it was placed."""
        return self.told.placed_at.ToDatetime(UTC)

    @property
    def ended_at(self) -> datetime:
        """When it ended."""
        return self.told.ended_at.ToDatetime(UTC) if self.told.HasField("ended_at") else self.placed_at

    def reject(self, code: str, problems: Mapping[str, list[str]]) -> None:
        """It is not kept."""
        self.outcome, self.code, self.problems = pb.IMPORT_OUTCOME_REJECTED, code, dict(problems)


async def bring_in(session: AsyncSession, request: pb.ImportOrdersRequest, site_id: UUID) -> pb.ImportOrdersResponse:
    """Keep a call's orders at a site that the caller may see; each answers for itself."""
    rows = [Row(told, _fingerprint(site_id, told)) for told in request.orders]
    fresh = _judge(rows)
    new = await _keep(session, site_id, list(fresh.values())) if fresh else set()
    known = await imports_store.fingerprints(session, [each for each in fresh if each not in new])
    for row in rows:
        _settle(row, fresh, new, known)
    _tell(session, site_id, new)
    results = [_result(position, row) for position, row in enumerate(rows)]
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in pb.ImportOutcome.values()}
    return pb.ImportOrdersResponse(
        results=results,
        imported=counts[pb.IMPORT_OUTCOME_IMPORTED],
        duplicates=counts[pb.IMPORT_OUTCOME_DUPLICATE],
        rejected=counts[pb.IMPORT_OUTCOME_REJECTED],
    )


def _fingerprint(site_id: UUID, told: pb.PastOrder) -> bytes:
    return hashlib.sha256(site_id.bytes + told.SerializeToString(deterministic=True)).digest()


def _judge(rows: Sequence[Row]) -> dict[UUID, Row]:
    """Reject what breaks a rule; the others by their ids, each id once."""
    now = clock.now()
    fresh: dict[UUID, Row] = {}
    for row in rows:
        problems = validation.violations(row.told) or _problems(row, now)
        if problems:
            row.reject("VALIDATION_FAILED", problems)
        else:
            fresh.setdefault(row.id, row)
    return fresh


def _problems(row: Row, now: datetime) -> dict[str, list[str]]:
    if row.placed_at > now:
        return {"placed_at": ["must not be in the future"]}
    if not row.placed_at <= row.ended_at <= now:
        return {"ended_at": ["must be between placed_at and now"]}
    return {} if row.amount <= AMOUNT_MAX else {"lines": ["come to more than can be told"]}


def _settle(row: Row, fresh: Mapping[UUID, Row], new: set[UUID], known: Mapping[UUID, bytes]) -> None:
    if row.outcome == pb.IMPORT_OUTCOME_REJECTED or (row.id in new and fresh[row.id] is row):
        return
    kept = fresh[row.id].fingerprint if row.id in new else known.get(row.id)
    if kept == row.fingerprint:
        row.outcome = pb.IMPORT_OUTCOME_DUPLICATE
    else:
        row.reject("ALREADY_EXISTS", {"id": ["is another order's"]})


async def _keep(session: AsyncSession, site_id: UUID, rows: Sequence[Row]) -> set[UUID]:
    """Insert what is not there; the ids of what was not."""
    principal, now = call.current().principal, clock.now()
    tenant = {"tenant_id": ("uuid", principal.tenant)}
    same = {
        **tenant,
        "site_id": ("uuid", site_id),
        "channel": ("text", CHANNEL),
        "imported": ("boolean", True),
        "payment_method": ("text", "cash"),
        "cancel_reason": ("text", ""),
        "placed_by": ("text", principal.name),
        "version": ("bigint", 1),
        "updated_at": ("timestamptz", now),
    }
    new = await imports_store.insert_orders(session, _orders(rows), same)
    kept = [row for row in rows if row.id in new]
    if kept:
        told = {**tenant, "actor": ("text", principal.name), "channel": ("text", CHANNEL)}
        await imports_store.insert(session, "lines", _lines(kept), tenant)
        await imports_store.insert(session, "sagas", _ids(kept), {**told, **_settled(now)})
        await imports_store.insert(session, "order_events", _entries(kept), {**told, **_imported(now)})
    return new


def _ids(rows: Sequence[Row]) -> imports_store.Columns:
    return {"order_id": ("uuid", [row.id for row in rows])}


def _settled(now: datetime) -> imports_store.Same:
    """A saga that has nothing to do."""
    return {
        "step": ("text", "none"),
        "state": ("text", "settled"),
        "tries": ("bigint", 0),
        "due_at": ("timestamptz", now),
    }


def _entries(rows: Sequence[Row]) -> imports_store.Columns:
    return {**_ids(rows), "detail": ("text", [_STATUS[row.told.status][0] for row in rows])}


def _imported(now: datetime) -> imports_store.Same:
    """The first entry of a timeline."""
    return {"sequence": ("bigint", 1), "type": ("text", "imported"), "occurred_at": ("timestamptz", now)}


def _orders(rows: Sequence[Row]) -> imports_store.Columns:
    told = [row.told for row in rows]
    return {
        "id": ("uuid", [row.id for row in rows]),
        "status": ("text", [_STATUS[each.status][0] for each in told]),
        "customer_id": ("text", [each.customer_id for each in told]),
        "customer_name": ("text", [each.customer_name for each in told]),
        "notes": ("text", [each.notes for each in told]),
        "fingerprint": ("bytea", [row.fingerprint for row in rows]),
        "amount": ("bigint", [row.amount for row in rows]),
        "currency": ("text", [each.currency for each in told]),
        "placed_at": ("timestamptz", [row.placed_at for row in rows]),
    }


def _lines(rows: Sequence[Row]) -> imports_store.Columns:
    told = [(row, place, line) for row in rows for place, line in enumerate(row.told.lines)]
    menu = [UUID(line.menu_item_id) if line.HasField("menu_item_id") else None for _, _, line in told]
    return {
        "order_id": ("uuid", [row.id for row, _, _ in told]),
        "id": ("uuid", [uuid7() for _ in told]),
        "position": ("bigint", [place for _, place, _ in told]),
        "menu_item_id": ("uuid", menu),
        "quantity": ("bigint", [line.quantity for _, _, line in told]),
        "notes": ("text", [line.notes for _, _, line in told]),
        "name": ("text", [line.name for _, _, line in told]),
        "unit_amount": ("bigint", [line.unit_amount for _, _, line in told]),
        "currency": ("text", [row.told.currency for row, _, _ in told]),
        "status": ("text", [_STATUS[row.told.status][1] for row, _, _ in told]),
    }


def _tell(session: AsyncSession, site_id: UUID, new: set[UUID]) -> None:
    if not new:
        return
    ids = sorted(map(str, new))
    # For services alone: in a shop nobody waits for the orders of last year.
    events.publish(
        session, events_pb2.OrdersImported(site_id=str(site_id), order_ids=ids), subject=f"sites/{site_id}/history"
    )
    audit.changed(session, f"sites/{site_id}/history", after={"imported": len(ids), "first": ids[0], "last": ids[-1]})


def _result(position: int, row: Row) -> pb.ImportedOrder:
    result = pb.ImportedOrder(position=position, id=row.told.id, outcome=row.outcome, code=row.code)
    if row.outcome == pb.IMPORT_OUTCOME_REJECTED:
        found = row.problems.items()
        result.details.extend(pb.ImportProblem(field=name, reason=why) for name, whys in found for why in whys)
        return result
    result.lines = len(row.told.lines)
    result.quantity = sum(line.quantity for line in row.told.lines)
    result.total.CopyFrom(common_pb2.Money(amount=row.amount, currency=row.told.currency))
    return result
