"""Counts that come in by webhooks: each event once, of an item's counts the newest, nothing where nothing differs."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import webhooks_pb2
from uuid_utils.compat import uuid7

from chassis import audit, clock, codec, errors
from services.inventory import counts, ledger, store, webhook_store
from services.inventory.models import Balance, Item
from services.inventory.webhook_models import WebhookEndpoint
from services.inventory.webhook_reading import Count, Event

APPLIED = webhooks_pb2.COUNT_STATUS_APPLIED
UNCHANGED = webhooks_pb2.COUNT_STATUS_UNCHANGED
STALE = webhooks_pb2.COUNT_STATUS_STALE
UNKNOWN_SKU = webhooks_pb2.COUNT_STATUS_UNKNOWN_SKU
REFUSED = webhooks_pb2.COUNT_STATUS_REFUSED
IGNORED = webhooks_pb2.COUNT_STATUS_IGNORED
# What is dated further ahead would keep out what is counted until then.
AHEAD = timedelta(minutes=5)
_WRONG = frozenset({UNKNOWN_SKU, REFUSED})
# Kept in the table while an event is being applied; nobody sees it.
_BEGUN = ""

Result = webhooks_pb2.CountResult


async def receive(session: AsyncSession, endpoint: WebhookEndpoint, event: Event) -> webhooks_pb2.WebhookAnswer:
    """Apply an event that has been verified, unless it has come before."""
    delivery_id = uuid7()
    row = {
        "tenant_id": endpoint.tenant_id,
        "id": delivery_id,
        "site_id": endpoint.site_id,
        "provider": endpoint.provider,
        "event_id": event.id,
        "type": event.type,
        "status": _BEGUN,
        "reason": "",
        "results": [],
        "received_at": clock.now(),
    }
    if not await webhook_store.begin(session, row):
        return await _again(session, endpoint, event)
    results = await _apply(session, endpoint, event) if event.is_counts else []
    status = _status(results) if event.is_counts else webhooks_pb2.DELIVERY_STATUS_IGNORED
    reason = _reason(results) if event.is_counts else f"{event.type[:100] or 'nothing'} is not about counts"
    word = codec.words(webhooks_pb2.DeliveryStatus.DESCRIPTOR)[status]
    kept = [codec.to_json(result) for result in results]
    await webhook_store.end(session, delivery_id, status=word, reason=reason, results=kept)
    audit.changed(session, f"webhook_deliveries/{delivery_id}", after={"event_id": event.id, "status": word})
    return webhooks_pb2.WebhookAnswer(event_id=event.id, status=status, results=results)


async def _again(session: AsyncSession, endpoint: WebhookEndpoint, event: Event) -> webhooks_pb2.WebhookAnswer:
    known = await webhook_store.delivery(session, endpoint.site_id, endpoint.provider, event.id)
    told = {"event_id": event.id, "status": known.status, "duplicate": True, "results": known.results}
    return codec.from_json(webhooks_pb2.WebhookAnswer, told)


async def _apply(session: AsyncSession, endpoint: WebhookEndpoint, event: Event) -> list[Result]:
    """What becomes of each count, in the order in which they were sent. Older ones are applied first."""
    skus = [endpoint.skus.get(count.name, count.name) for count in event.counts]
    items = await webhook_store.items_by_sku(session, skus)
    kept = await store.keep_items(session, [item.id for item in items.values()])
    found = [item if item and item.id in kept else None for item in (items.get(sku.lower()) for sku in skus)]
    balances = await store.lock_balances(
        session,
        tenant=endpoint.tenant_id,
        site_id=endpoint.site_id,
        item_ids=[item.id for item, count in zip(found, event.counts, strict=True) if item and not count.fault],
    )
    results: dict[int, Result] = {}
    for place in sorted(range(len(found)), key=lambda number: event.counts[number].occurred_at):
        count, item = event.counts[place], found[place]
        if endpoint.location_id and count.location_id and count.location_id != endpoint.location_id:
            results[place] = Result(sku=count.name, status=IGNORED, reason="is counted at another location")
        elif count.quantity is None:
            status = IGNORED if count.is_ignored else REFUSED
            results[place] = Result(sku=count.name, status=status, reason=count.fault)
        elif item is None:
            results[place] = Result(sku=count.name, status=UNKNOWN_SKU, reason="no item has this SKU")
        else:
            results[place] = await _count(session, endpoint, event, count, item, balances[item.id])
    return [results[place] for place in range(len(found))]


async def _count(
    session: AsyncSession, endpoint: WebhookEndpoint, event: Event, count: Count, item: Item, balance: Balance
) -> Result:
    """Let the stock be what was counted, if it can and should. The balance is locked."""
    assert count.quantity is not None
    if count.occurred_at > clock.now() + AHEAD:
        return _told(count, balance, REFUSED, "is dated ahead of time")
    newest = await webhook_store.mark(
        session,
        tenant=endpoint.tenant_id,
        item_id=item.id,
        site_id=endpoint.site_id,
        occurred_at=count.occurred_at,
        event_id=event.id,
    )
    if not newest:
        return _told(count, balance, STALE, "a newer count has been applied")
    if count.quantity == balance.on_hand:
        return _told(count, balance, UNCHANGED)
    found = counts.Count(count.quantity, None, reason=f"webhook of {endpoint.provider}")
    try:
        rows = await counts.apply(session, item, balance, found)
    except errors.Conflict:
        promised = balance.reserved - balance.backordered
        return _told(count, balance, REFUSED, f"{promised} are promised to orders")
    await ledger.tell_all(session, item, balance, rows)
    return _told(count, balance, APPLIED)


def _told(count: Count, balance: Balance, status: webhooks_pb2.CountStatus, reason: str = "") -> Result:
    return Result(sku=count.name, status=status, reason=reason, on_hand=balance.on_hand)


def _status(results: Sequence[Result]) -> webhooks_pb2.DeliveryStatus:
    found = {result.status for result in results}
    if found & _WRONG:
        in_order = found - _WRONG
        return webhooks_pb2.DELIVERY_STATUS_PARTIAL if in_order else webhooks_pb2.DELIVERY_STATUS_FAILED
    return webhooks_pb2.DELIVERY_STATUS_APPLIED if APPLIED in found else webhooks_pb2.DELIVERY_STATUS_UNCHANGED


def _reason(results: Sequence[Result]) -> str:
    return "; ".join(f"{result.sku}: {result.reason}" for result in results if result.status in _WRONG)[:1000]
