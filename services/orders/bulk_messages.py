"""Bulk orders as the contract's messages."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from switchyard.orders.v1 import bulk_pb2

from chassis import codec
from services.orders import bulk_store, messages
from services.orders.bulk_models import BulkOrder

_STATUS = bulk_pb2.DESCRIPTOR.enum_types_by_name["BulkOrderStatus"]
# What is to be done about an order in a state.
_ACTIONS = {"draft": "place", "queued": "prepare", "preparing": "finish", "ready": "hand_out"}
_ORDER_STATES = ("queued", "preparing", "ready", "completed", "cancelled")


@cache
def _numbers() -> dict[str, Any]:
    return {word: number for number, word in codec.words(_STATUS).items()}


def word(status: bulk_pb2.BulkOrderStatus) -> str:
    """The word of a state, as it stands in the table."""
    return codec.words(_STATUS)[status]


def bulk(row: BulkOrder) -> bulk_pb2.BulkOrder:
    """A bulk order."""
    message = bulk_pb2.BulkOrder(
        id=str(row.id),
        site_id=str(row.site_id),
        name=row.name,
        organisation=row.organisation,
        event=row.event,
        owner_id=str(row.owner_id or ""),
        created_by=row.created_by,
        status=_numbers()[row.status],
        order_count=row.order_count,
        placed_percent=row.placed_percent,
        ended_percent=row.ended_percent,
        version=row.version,
        created_at=messages.time(row.created_at),
        updated_at=messages.time(row.updated_at),
    )
    if row.wanted_at is not None:
        message.due_at.CopyFrom(messages.time(row.wanted_at))
    return message


def progress(row: BulkOrder, counts: Mapping[str, int], outstanding: Any) -> bulk_pb2.BulkOrderProgress:
    """How far a bulk order is; `outstanding` is what has waited longest, if anything waits."""
    placed, ended = percentages(row, counts)
    found = bulk_pb2.BulkOrderProgress(
        id=str(row.id),
        status=_numbers()[row.status],
        order_count=row.order_count,
        waiting=counts.get("waiting", 0),
        placed=counts.get("placed", 0),
        refused=counts.get("refused", 0),
        withdrawn=counts.get("withdrawn", 0),
        placed_percent=placed,
        ended_percent=ended,
    )
    for state in _ORDER_STATES:
        setattr(found, state, counts.get(state, 0))
    if outstanding is not None:
        found.oldest_outstanding.CopyFrom(_outstanding(row, outstanding))
    return found


def percentages(row: BulkOrder, counts: Mapping[str, int]) -> tuple[int, int]:
    """How many of a hundred have their outcome, and how many have ended."""
    tried = row.order_count - counts.get("waiting", 0)
    return 100 * tried // row.order_count, 100 * bulk_store.ended(counts) // row.order_count


def _outstanding(row: BulkOrder, found: Any) -> bulk_pb2.OutstandingAction:
    # What is not placed yet waits since it was asked for.
    return bulk_pb2.OutstandingAction(
        action=_ACTIONS[getattr(found, "status", "draft")],
        index=found.position,
        order_id=str(found.order_id),
        customer_name=found.customer_name,
        since=messages.time(getattr(found, "updated_at", row.created_at)),
    )


def failures(rows: Sequence[Any]) -> list[bulk_pb2.BulkOrderFailure]:
    """What failed and why."""
    return [
        bulk_pb2.BulkOrderFailure(
            index=row.position,
            customer_name=row.customer_name,
            order_id=str(row.order_id),
            code=row.code,
            message=row.message,
        )
        for row in rows
    ]
