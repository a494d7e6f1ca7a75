"""The heart of restocking: plans along their states, deliveries into the ledger, and what a site should buy."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2
from switchyard.inventory.v1 import inventory_pb2 as items_pb
from switchyard.inventory.v1 import restock_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, clock, errors, events, idempotency
from chassis.sites import Site
from services.inventory import ledger, restock_messages, restock_store, schedules, store
from services.inventory.models import NEVER, Balance, Batch
from services.inventory.restock_models import RestockLine, RestockPlan, RestockReceiptLine

APPROVE = "inventory.restock.approve"
# What a person may say next of a plan; what has come says the rest.
MOVES: Mapping[str, Sequence[str]] = {
    "draft": ("approved", "cancelled"),
    "approved": ("ordered", "cancelled"),
    "ordered": ("cancelled",),
    "partially_received": (),
    "received": (),
    "cancelled": (),
}
HORIZON_DAYS, USE_DAYS, LEAD_DAYS = 7, 28, 2
_RECEIVE = items_pb.MOVEMENT_TYPE_RECEIVE
_TEXTS = ("supplier", "schedule", "lead_days", "notes")


async def create(session: AsyncSession, told: pb.RestockPlan, site: Site) -> RestockPlan:
    """Write a plan. Raises `Invalid` for an item that is not there or stands in it twice, and for a bad schedule."""
    schedules.check(told.schedule, "plan.schedule")
    tenant = call.current().principal.tenant
    row = RestockPlan(tenant_id=tenant, id=uuid7(), site_id=site.id, time_zone=site.time_zone.key)
    for name in _TEXTS:
        setattr(row, name, getattr(told, name))
    row.state, row.version = "draft", 1
    session.add(row)
    await _write_lines(session, row, told.lines)
    await _tell(session, row)
    return row


async def get(session: AsyncSession, plan_id: str, *, lock: bool = False) -> RestockPlan:
    """One plan. Raises `NotFound`."""
    row = await restock_store.plan(session, UUID(plan_id), lock=lock)
    if row is None or not call.current().principal.may_see_site(row.site_id):
        raise errors.NotFound
    return row


async def change(session: AsyncSession, plan_id: str, told: pb.RestockPlan, paths: Sequence[str]) -> RestockPlan:
    """Change a plan's named fields. Raises `NotFound`, `StaleVersion`, `InvalidTransition`, `Denied`, `Conflict`."""
    row = await get(session, plan_id, lock=True)
    call.current().require_version(row.version)
    rewritten = await _rewrite(session, row, told, {path.split(".", 1)[0] for path in paths})
    if "state" in paths:
        _move(row, restock_messages.state(told.state))
    if rewritten or session.is_modified(row):
        row.version += 1
        await _tell(session, row)
    return row


async def receive(session: AsyncSession, told: pb.ReceiveRestockPlanRequest) -> RestockPlan:
    """Take in a delivery. Raises `NotFound`, `InvalidTransition`, `Conflict`; `AlreadyExists` for another's id."""
    row = await get(session, told.id, lock=True)
    receipt_id = UUID(told.receipt_id) if told.HasField("receipt_id") else uuid7()
    if not await _is_new(session, row, receipt_id, idempotency.fingerprint(told)):
        return row
    if row.state not in restock_store.UNDER_WAY:
        raise errors.InvalidTransition.between(row.state, "partially_received", MOVES[row.state])
    await _count(session, row, told.lines)
    await _bring_in(session, row, receipt_id, told.lines)
    lines = (await restock_store.lines(session, [row.id]))[row.id]
    row.state = "received" if all(line.received == line.quantity for line in lines) else "partially_received"
    row.version += 1
    await _tell(session, row)
    return row


async def suggest(
    session: AsyncSession, request: pb.ListRestockSuggestionsRequest
) -> pb.ListRestockSuggestionsResponse:
    """What a site should buy, the most urgent first."""
    now = clock.now()
    asked = restock_store.Asked(
        site_id=UUID(request.site_id),
        at=now,
        since=now - timedelta(days=request.use_days or USE_DAYS),
        use_days=request.use_days or USE_DAYS,
        horizon_days=request.horizon_days or HORIZON_DAYS,
        lead_days=request.lead_days if request.HasField("lead_days") else LEAD_DAYS,
        supplier=request.supplier,
    )
    rows = await restock_store.suggestions(session, asked)
    found = [restock_messages.suggestion(row, asked) for row in rows]
    return pb.ListRestockSuggestionsResponse(suggestions=found)


async def _write_lines(session: AsyncSession, row: RestockPlan, told: Sequence[pb.RestockLine]) -> None:
    ids = [UUID(line.item_id) for line in told]
    there = await store.keep_items(session, ids)
    twice = {each for each, times in Counter(ids).items() if times > 1}
    wrong = {each: "is not an item" for each in ids if each not in there} | dict.fromkeys(twice, "stands here twice")
    if wrong:
        places = enumerate(ids)
        raise errors.Invalid(
            fields={f"plan.lines.{place}.item_id": [wrong[each]] for place, each in places if each in wrong}
        )
    await session.flush()
    for position, line in enumerate(told):
        levels = {"min": line.min, "max": line.max, "quantity": line.quantity, "received": 0}
        key = {"tenant_id": row.tenant_id, "plan_id": row.id, "item_id": ids[position], "position": position}
        session.add(RestockLine(**key, **levels))
    await session.flush()


async def _rewrite(session: AsyncSession, row: RestockPlan, told: pb.RestockPlan, named: set[str]) -> bool:
    texts = [name for name in _TEXTS if name in named and getattr(row, name) != getattr(told, name)]
    if not texts and "lines" not in named:
        return False
    if row.state != "draft":
        message = f"a plan that is {row.state} is no longer rewritten"
        raise errors.Conflict(message, code="PLAN_NOT_DRAFT")
    if "schedule" in texts:
        schedules.check(told.schedule, "plan.schedule")
    for name in texts:
        setattr(row, name, getattr(told, name))
    if "lines" in named:
        await restock_store.drop_lines(session, row.id)
        await _write_lines(session, row, told.lines)
    return True


def _move(row: RestockPlan, wanted: str) -> None:
    if wanted == row.state:
        return
    if wanted not in MOVES[row.state]:
        raise errors.InvalidTransition.between(row.state, wanted or "unspecified", MOVES[row.state])
    principal = call.current().principal
    if wanted == "approved":
        if not principal.may(APPROVE):
            raise errors.Denied.missing(APPROVE, field="plan.state")
        row.approved_by = principal.name
    if wanted == "ordered":
        row.ordered_at = clock.now()
    row.state = wanted


async def _is_new(session: AsyncSession, row: RestockPlan, receipt_id: UUID, fingerprint: bytes) -> bool:
    key = {"tenant_id": row.tenant_id, "id": receipt_id, "plan_id": row.id, "fingerprint": fingerprint}
    by = {"received_by": call.current().principal.name, "received_at": clock.now()}
    if await restock_store.keep_receipt(session, {**key, **by}):
        return True
    known = await restock_store.receipt(session, receipt_id)
    if known is None or known.fingerprint != fingerprint:
        message = "another receipt has this id"
        raise errors.AlreadyExists(message)
    return False


async def _count(session: AsyncSession, row: RestockPlan, told: Sequence[pb.ReceivedLine]) -> None:
    """Count what has come against what was ordered."""
    come: Counter[UUID] = Counter()
    for line in told:
        come[UUID(line.item_id)] += line.quantity
    planned = {line.item_id for line in (await restock_store.lines(session, [row.id]))[row.id]}
    unknown = [place for place, line in enumerate(told) if UUID(line.item_id) not in planned]
    if unknown:
        raise errors.Invalid(fields={f"lines.{place}.item_id": ["is not in the plan"] for place in unknown})
    more = [each for each in sorted(come) if not await restock_store.receive(session, row.id, each, come[each])]
    if more:
        places = [place for place, line in enumerate(told) if UUID(line.item_id) in more]
        fields = {f"lines.{place}.quantity": ["is more than is still to come"] for place in places}
        message = "more has come than was ordered"
        raise errors.Conflict(message, code="MORE_THAN_ORDERED", fields=fields)


async def _bring_in(session: AsyncSession, row: RestockPlan, receipt_id: UUID, told: Sequence[pb.ReceivedLine]) -> None:
    ids = [UUID(line.item_id) for line in told]
    there = await store.keep_items(session, ids)
    if retired := [place for place, item_id in enumerate(ids) if item_id not in there]:
        raise errors.Invalid(fields={f"lines.{place}.item_id": ["has been retired"] for place in retired})
    items = await store.items_by_id(session, ids)
    balances = await store.lock_balances(session, tenant=row.tenant_id, site_id=row.site_id, item_ids=ids)
    for position, line in enumerate(told):
        batch = await _lot(session, balances[ids[position]], line, position)
        reason = f"plan of {row.supplier}, lot {line.lot}"
        ledger.move(session, balances[batch.item_id], batch, line.quantity, kind=_RECEIVE, reason=reason)
        key = {"tenant_id": row.tenant_id, "receipt_id": receipt_id, "position": position}
        session.add(RestockReceiptLine(**key, item_id=batch.item_id, batch_id=batch.id, quantity=line.quantity))
    for item_id in sorted(set(ids)):
        ledger.tell(session, items[item_id], balances[item_id])


async def _lot(session: AsyncSession, balance: Balance, line: pb.ReceivedLine, position: int) -> Batch:
    expires_at: datetime = line.expires_at.ToDatetime(UTC) if line.HasField("expires_at") else NEVER
    known = await store.lot(session, item_id=balance.item_id, site_id=balance.site_id, name=line.lot)
    if known is None:
        return await ledger.new_batch(session, balance, lot=line.lot, expires_at=expires_at)
    if known.expires_at != expires_at:
        fields = {f"lines.{position}.expires_at": ["is not the date that the lot has"]}
        message = f"the site has a lot {line.lot} of another date"
        raise errors.Conflict(message, code="LOT_DIFFERS", fields=fields)
    return known


async def _tell(session: AsyncSession, row: RestockPlan) -> None:
    await session.flush()
    lines = (await restock_store.lines(session, [row.id]))[row.id]
    event: Any = events_pb2.RestockPlanChanged(plan=restock_messages.plan(row, lines))
    # Kiosks are on the site's channel: what is bought, and of whom, is for services alone.
    events.publish(session, event, subject=f"restock-plans/{row.id}")
