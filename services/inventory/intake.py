"""The edge to inventory's own events: what has sold out at a site, or come back, follows from what moved.

Whoever sells does not wait for it: this reads what moved, was held back or has expired from the stream, many at a time,
looks once for each site at whatever is made of it, and opens a transaction only where something crossed the line. It
looks at the stock and not at what an event tells: one that comes late, twice, or in another order does no harm.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from switchyard.inventory.v1 import events_pb2

from chassis import call, clock, errors, events, identity, streams
from chassis.db import Database
from services.inventory import menu_stock, menu_store

_DURABLE = "inventory-menu"
# Stock moved, or may be sold no more, or again.
_SUBJECTS = [
    events.subject_of(kind) for kind in (events_pb2.StockMoved, events_pb2.BatchStatusChanged, events_pb2.BatchExpiring)
]
_BATCH = 200
# Short against the redelivery of what was never answered.
_RETRY_S = 1.0

log = structlog.get_logger()


class Place(NamedTuple):
    """A site of a tenant."""

    tenant_id: UUID
    site_id: UUID


class Intake:
    """Announces what has run out and what has come back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, connection: Nats) -> None:
        """Read events until cancelled."""
        await streams.consume(
            connection, stream=streams.EVENTS, durable=_DURABLE, subjects=_SUBJECTS, batch=_BATCH, handle=self.take
        )

    async def take(self, batch: Sequence[Msg]) -> None:
        """Look at what a batch of events tells of, and acknowledge it."""
        moved: dict[Place, set[UUID]] = {}
        messages: dict[Place, list[Msg]] = {}
        for message in batch:
            try:
                place, item_id = _read(message)
            except (ValueError, KeyError, TypeError):
                log.exception("stock_event_unreadable", subject=message.subject)
                await message.term()
                continue
            moved.setdefault(place, set()).add(item_id)
            messages.setdefault(place, []).append(message)
        for place, items in moved.items():
            await self._answer(messages[place], place, items)

    async def look(self, place: Place, items: Iterable[UUID], *, at: datetime) -> None:
        """Announce what is made of some items and has run out at a place, or come back."""
        query = menu_store.TURNED_BY_ITEMS
        rows = await self._database.read(query, place.tenant_id, at_site=place.site_id, items=list(items), now=at)
        if not rows:
            return
        principal = identity.service_principal("inventory", place.tenant_id)
        with call.answering(call.Call(principal=principal, action="inventory.AnnounceSoldOut", category="data")):
            async with self._database.transaction() as session:
                await menu_stock.announce_by_id(session, place.site_id, [row["id"] for row in rows])

    async def _answer(self, messages: Sequence[Msg], place: Place, items: Iterable[UUID]) -> None:
        try:
            await self.look(place, items, at=clock.now())
        except errors.Error as failure:
            log.warning("sold_out_comes_again", messages=len(messages), error=repr(failure))
            for message in messages:
                await message.nak(delay=_RETRY_S)
        else:
            for message in messages:
                await message.ack()


def _read(message: Msg) -> tuple[Place, UUID]:
    """Where something moved, and what. Raises whatever the bytes deserve."""
    envelope = orjson.loads(message.data)
    told = envelope["data"]
    moved = told.get("batch", told)
    return Place(UUID(envelope["tenantid"]), UUID(moved["site_id"])), UUID(moved["item_id"])
