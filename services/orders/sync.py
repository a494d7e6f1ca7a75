"""Applying what clients did while they were offline: what comes of each operation, and what is remembered of it.

An operation is remembered in the transaction that does what it says; one that was refused, in a transaction of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import sync_pb2

from chassis import audit, clock, codec, errors, events
from services.orders import sync_store
from services.orders.sync_reading import PLACE, Entry, occurred_at

APPLIED, DUPLICATE, REJECTED, DEFERRED, CONFLICT = "applied", "duplicate", "rejected", "deferred", "conflict"
# The order that an operation is about was never placed, because placing it was rejected.
ORDER_REJECTED = "ORDER_REJECTED"
# What an operation builds on has not arrived.
NOT_ARRIVED = "NOT_ARRIVED"
# There was no time left for it in this call.
OUT_OF_TIME = "OUT_OF_TIME"

# The order or the client has gone on meanwhile.
_MOVED_ON = (errors.InvalidTransition, errors.StaleVersion, errors.FailedPrecondition, errors.Conflict)
_FINAL = (errors.Invalid, errors.NotFound, errors.AlreadyExists)
_OUTCOMES: Mapping[str, Any] = {
    word: number for number, word in codec.words(sync_pb2.OperationOutcome.DESCRIPTOR).items()
}


class Known(Exception):
    """The operation has been decided by a call that ran at the same time."""


@dataclass(frozen=True)
class Verdict:
    """What came of an operation. `lasting`: it is remembered."""

    outcome: str
    code: str = ""
    message: str = ""
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lasting: bool = False


async def claim(session: AsyncSession, entry: Entry) -> None:
    """Remember an operation as applied, before it is. Raises `Known` when it has been decided."""
    if not await _insert(session, entry, Verdict(APPLIED)):
        raise Known
    audit.about(session, f"sync_operations/{entry.id}")


async def decide(session: AsyncSession, entry: Entry, failure: errors.Error | None) -> Verdict:
    """What comes of an operation that met a failure, or (none) was decided by another call at the same time.

    It may have been done all the same: then the failure came afterwards, from what an order still had to settle.
    """
    assert entry.id is not None  # what has no id is not applied
    row = (await sync_store.find(session, [entry.id])).get(entry.id)
    if row is not None and (failure is None or row.outcome != APPLIED):
        return repeated(row, entry)
    assert failure is not None  # what another call has decided stands in the table
    verdict = await _refused(session, entry, failure)
    if row is None:
        await _remember(session, entry, verdict)
        return verdict
    if entry.type == PLACE or not verdict.lasting:
        # The order shows how it came out, or its saga will see to it.
        return Verdict(APPLIED)
    await sync_store.refuse(session, entry.id, code=verdict.code, message=verdict.message)
    return verdict


async def _remember(session: AsyncSession, entry: Entry, verdict: Verdict) -> None:
    """Keep what can never be applied, and leave a denial in the trail."""
    if verdict.lasting:
        await _insert(session, entry, verdict)
    if verdict.code == errors.Denied.default_code:
        audit.add(session, outcome=audit.DENIED, error_code=verdict.code)


def repeated(row: Any, entry: Entry) -> Verdict:
    """What comes of an operation that has been decided."""
    if row.fingerprint != entry.fingerprint:
        return Verdict(REJECTED, "OPERATION_ID_REUSED", "another operation has this id")
    if row.outcome == APPLIED:
        return Verdict(DUPLICATE)
    problems = {problem["field"]: problem["messages"] for problem in row.problems}
    return Verdict(row.outcome, row.code, row.message, problems)


async def _refused(session: AsyncSession, entry: Entry, failure: errors.Error) -> Verdict:
    if entry.problems:
        return Verdict(REJECTED, failure.code, failure.message, entry.problems, lasting=True)
    if isinstance(failure, errors.NotFound) and entry.type != PLACE:
        assert entry.order_id is not None  # the body is valid
        if await sync_store.rejected(session, entry.order_id) is not None:
            return Verdict(REJECTED, ORDER_REJECTED, "placing its order was rejected", lasting=True)
        return Verdict(DEFERRED, NOT_ARRIVED, "its order has not arrived")
    verdict = _kind(entry, failure)
    problems = {_path(path): messages for path, messages in failure.fields.items()}
    return Verdict(verdict.outcome, failure.code, failure.message, problems, verdict.lasting)


def _kind(entry: Entry, failure: errors.Error) -> Verdict:
    places = entry.type == PLACE
    if isinstance(failure, errors.Denied):
        # The state takes more than the caller may: it did not when the client looked.
        moved_on = failure.metadata.get("permission") == "orders.override"
        return Verdict(CONFLICT if moved_on else REJECTED)
    if failure.retry_after_s is not None:
        return Verdict(DEFERRED)
    if isinstance(failure, _FINAL) or (places and isinstance(failure, _MOVED_ON)):
        return Verdict(REJECTED, lasting=True)
    return Verdict(CONFLICT, lasting=True) if isinstance(failure, _MOVED_ON) else Verdict(DEFERRED)


def _path(path: str) -> str:
    """A field of the direct call, as it is called in an operation."""
    return path if path == "permission" else f"body.{path.removeprefix('order.')}"


def result(entry: Entry, verdict: Verdict, order: sync_pb2.OperationOrder | None) -> sync_pb2.OperationResult:
    """What came of an operation, as the contract's message. An order that was refused was not placed."""
    if order is not None and order.rejection and entry.type == PLACE and verdict.outcome in {APPLIED, DUPLICATE}:
        verdict = Verdict(REJECTED, order.rejection, "the order was refused")
    problems = [
        sync_pb2.OperationProblem(field=path, message=message)
        for path, messages in verdict.problems.items()
        for message in messages
    ]
    return sync_pb2.OperationResult(
        operation_id=entry.told.operation_id,
        sequence=entry.told.sequence,
        outcome=_OUTCOMES[verdict.outcome],
        code=verdict.code,
        message=verdict.message,
        problems=problems,
        order=order,
    )


async def _insert(session: AsyncSession, entry: Entry, verdict: Verdict) -> bool:
    row = {
        "tenant_id": events.of(session).principal.tenant,
        "operation_id": entry.id,
        "type": entry.type,
        "order_id": entry.order_id,
        "outcome": verdict.outcome,
        "code": verdict.code,
        "message": verdict.message,
        "problems": [{"field": path, "messages": list(messages)} for path, messages in verdict.problems.items()],
        "fingerprint": entry.fingerprint,
        "sequence": entry.sequence,
        "occurred_at": None if "occurred_at" in entry.problems else occurred_at(entry),
        "recorded_at": clock.now(),
    }
    return await sync_store.insert(session, row)
