"""Offline clients' logs, as the contract orders them.

Operations of one order follow each other; different orders are worked side by side. Each operation is done as the
direct call would do it, for a call of its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from switchyard.orders.v1 import orders_pb2, sync_pb2

from chassis import call, errors, policy
from chassis.db import Database
from services.orders import messages, orders, sync, sync_reading, sync_store
from services.orders.rpc import orders as direct
from services.orders.rpc.counter import Counter, Within
from services.orders.sync import Verdict
from services.orders.sync_reading import CANCEL, PLACE, UPDATE, Entry

# Operations that one process works at the same time: fewer than the pool has connections, so that requests find some.
CONCURRENT = 6
# Nothing is begun after this share of what a call may take: what was begun has to be answered too.
BUDGET = 0.65
# What the trail calls them: the direct calls.
_ACTIONS = {PLACE: "orders.PlaceOrder", CANCEL: "orders.CancelOrder", UPDATE: "orders.UpdateOrder"}

log = structlog.get_logger()


@dataclass
class Log:
    """A portion of a log while it is worked. `decided` are the operations that need not come again, by their ids."""

    entries: Sequence[Entry]
    until: float
    known: dict[UUID, Any] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    done: dict[int, asyncio.Event] = field(default_factory=dict)

    def threads(self) -> list[list[int]]:
        """What follows each other: places in the list, by order, in the client's sequence."""
        found: dict[object, list[int]] = defaultdict(list)
        for place in sorted(range(len(self.entries)), key=lambda place: (self.entries[place].sequence, place)):
            found[self.entries[place].order_id or place].append(place)
        return list(found.values())

    def place_of(self, operation_id: UUID, *, before: int) -> int | None:
        """Where an earlier operation of the client stands in this portion."""
        for place, entry in enumerate(self.entries):
            if entry.id == operation_id and entry.sequence < before:
                return place
        return None


class SyncRpc:
    """Serves `switchyard.orders.v1.SyncService`."""

    service: ClassVar[ServiceDescriptor] = sync_pb2.DESCRIPTOR.services_by_name["SyncService"]

    def __init__(self, database: Database, counter: Counter, *, deadline_s: float) -> None:
        self._database = database
        self._counter = counter
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._perform: Mapping[str, Callable[[Entry, Within], Awaitable[object]]] = {
            PLACE: self._place,
            CANCEL: self._cancel,
            UPDATE: self._update,
        }

    async def ApplyOperations(self, request: sync_pb2.ApplyOperationsRequest) -> sync_pb2.ApplyOperationsResponse:
        site = _own_site()
        entries = [sync_reading.read(told, site) for told in request.operations]
        portion = Log(entries, asyncio.get_running_loop().time() + self._deadline_s * BUDGET)
        portion.done = {place: asyncio.Event() for place in range(len(entries))}
        async with self._database.transaction() as session:
            portion.known = await sync_store.find(session, [entry.id for entry in entries if entry.id])
        async with asyncio.TaskGroup() as working:
            for thread in portion.threads():
                working.create_task(self._thread(portion, thread))
        return sync_pb2.ApplyOperationsResponse(results=await self._results(portion))

    # One order's operations.

    async def _thread(self, portion: Log, places: Sequence[int]) -> None:
        held = ""
        for place in places:
            entry = portion.entries[place]
            verdict = Verdict(sync.DEFERRED, sync.NOT_ARRIVED, f"waits for {held}") if held else None
            if verdict is None or entry.id in portion.known:
                verdict = await self._entry(portion, entry)
            portion.verdicts[place] = verdict
            portion.done[place].set()
            if verdict.outcome == sync.DEFERRED:
                held = held or entry.told.operation_id

    async def _entry(self, portion: Log, entry: Entry) -> Verdict:
        if entry.id is None:
            return Verdict(sync.REJECTED, errors.Invalid.default_code, errors.Invalid.default_message, entry.problems)
        if entry.id in portion.known:
            return sync.repeated(portion.known[entry.id], entry)
        if not await self._may_begin(portion, entry):
            return Verdict(sync.DEFERRED, sync.NOT_ARRIVED, "waits for the operation that it names in `after`")
        async with self._slots:
            if asyncio.get_running_loop().time() > portion.until:
                return Verdict(sync.DEFERRED, sync.OUT_OF_TIME, "send it again: there was no time left for it")
            with call.answering(_call(entry)):
                return await self._apply(entry)

    async def _may_begin(self, portion: Log, entry: Entry) -> bool:
        if entry.after is None:
            return True
        place = portion.place_of(entry.after, before=entry.sequence)
        if place is not None:
            await portion.done[place].wait()
            return portion.verdicts[place].outcome != sync.DEFERRED
        async with self._database.transaction() as session:
            return bool(await sync_store.find(session, [entry.after]))

    # One operation.

    async def _apply(self, entry: Entry) -> Verdict:
        """Do what an operation says; whatever goes wrong is its own verdict."""
        failure: errors.Error | None = errors.Invalid()
        try:
            if not entry.problems:
                await self._perform[entry.type](entry, partial(sync.claim, entry=entry))
                return Verdict(sync.APPLIED)
        except sync.Known:
            failure = None
        except errors.Error as raised:
            failure = raised
        except Exception:
            log.exception("operation_broken", operation=str(entry.id))
            failure = errors.Internal()
        async with self._database.transaction() as session:
            return await sync.decide(session, entry, failure)

    async def _place(self, entry: Entry, within: Within) -> None:
        request, principal = entry.body, call.current().principal
        policy.check_writes(request, principal.may)
        told: Message = request
        if principal.kind == "kiosk":
            if request.site_id.lower() not in principal.sites:
                raise errors.NotFound
            told = _as_kiosk(request)
        wish = replace(direct.wished(request, request.site_id), occurred_at=sync_reading.occurred_at(entry))
        await self._counter.place(told, wish, within=within)

    async def _cancel(self, entry: Entry, within: Within) -> None:
        await self._change(entry, "cancelled", within)

    async def _update(self, entry: Entry, within: Within) -> None:
        if not call.current().principal.may(orders.UPDATE):
            raise errors.Denied.missing(orders.UPDATE)
        await self._change(entry, messages.word("OrderStatus", entry.body.status), within)

    async def _change(self, entry: Entry, status: str, within: Within) -> None:
        at = sync_reading.occurred_at(entry)
        change = orders.Change(status=status, cancel_reason=entry.body.reason, occurred_at=at)
        await self._counter.change(UUID(entry.body.order_id), change, within=within)

    async def _results(self, portion: Log) -> list[sync_pb2.OperationResult]:
        """What came of each, with the orders as they are after all of it."""
        principal = call.current().principal
        wanted = {entry.order_id for entry in portion.entries if entry.order_id is not None}
        async with self._database.transaction() as session:
            rows = await sync_store.orders(session, wanted)
        found = {row["id"]: _order(row) for row in rows if orders.visible(row["site_id"], row["placed_by"], principal)}
        return [
            sync.result(entry, portion.verdicts[place], found.get(entry.order_id))
            for place, entry in enumerate(portion.entries)
        ]


def _own_site() -> str:
    """The site of a kiosk, for orders that name none."""
    principal = call.current().principal
    return next(iter(principal.sites)) if principal.kind == "kiosk" and len(principal.sites) == 1 else ""


def _call(entry: Entry) -> call.Call:
    """An operation's own call: what the direct one would be."""
    version = getattr(entry.body, "expected_version", 0) or None
    return replace(
        call.current(),
        action=_ACTIONS.get(entry.type, "orders.ApplyOperations"),
        idempotency_key="",
        fingerprint=b"",
        expected_version=version,
        trailers={},
    )


def _as_kiosk(request: orders_pb2.PlaceOrderRequest) -> orders_pb2.PlaceKioskOrderRequest:
    """What the kiosk's direct call would be: the order is the same, whichever way it comes first."""
    told = orders_pb2.PlaceKioskOrderRequest(catalog_id=request.site_id)
    for entry, value in request.ListFields():
        if entry.name == "site_id":
            continue
        if entry.is_repeated:
            getattr(told, entry.name).extend(value)
        elif entry.message_type is not None:
            getattr(told, entry.name).CopyFrom(value)
        else:
            setattr(told, entry.name, value)
    return told


def _order(row: messages.Row) -> sync_pb2.OperationOrder:
    order = messages.order(row)
    return sync_pb2.OperationOrder(
        id=order.id,
        number=order.number if order.HasField("number") else None,
        status=order.status,
        rejection=order.rejection,
        total=order.total if order.HasField("total") else None,
        version=order.version,
    )
