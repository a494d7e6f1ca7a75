"""Rows as the contract says them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp
from switchyard.inventory.v1 import inventory_pb2 as pb

from services.inventory.models import NEVER, Batch, Item, Movement

# A person reads how much went out as a positive number; an adjustment keeps its sign.
_SIGNED = pb.MOVEMENT_TYPE_ADJUST


def item(row: Any) -> pb.Item:
    """An item with its stock, from a record of `store.ITEMS`."""
    on_hand, reserved = row["on_hand"], row["reserved"]
    return pb.Item(
        id=str(row["id"]),
        sku=row["sku"],
        name=row["name"],
        category=row["category"],
        supplier=row["supplier"],
        unit=row["unit"],
        low_stock_threshold=row["low_stock_threshold"],
        on_hand=on_hand,
        reserved=reserved,
        available=on_hand - reserved,
        version=row["version"],
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
    )


def new_item(row: Item) -> pb.Item:
    """An item of which nothing is said but itself."""
    return pb.Item(
        id=str(row.id),
        sku=row.sku,
        name=row.name,
        category=row.category,
        supplier=row.supplier,
        unit=cast("pb.Unit", row.unit),
        low_stock_threshold=row.low_stock_threshold,
        version=row.version,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
    )


def batch(row: Batch) -> pb.Batch:
    """A batch."""
    return pb.Batch(
        id=str(row.id),
        item_id=str(row.item_id),
        site_id=str(row.site_id),
        lot=row.lot,
        quantity=row.quantity,
        expires_at=moment(row.expires_at) if row.expires_at < NEVER else None,
        on_hand=row.on_hand,
        reserved=row.reserved,
        status=cast("pb.BatchStatus", row.status),
        received_at=moment(row.received_at),
    )


def movement(row: Movement) -> pb.Movement:
    """A row of the ledger."""
    return pb.Movement(
        id=str(row.id),
        item_id=str(row.item_id),
        type=cast("pb.MovementType", row.type),
        quantity=row.quantity if row.type == _SIGNED else abs(row.quantity),
        site_id=str(row.site_id),
        batch_id=str(row.batch_id),
        reason=row.reason,
        balance_after=row.balance_after,
        order_id=str(row.order_id) if row.order_id else None,
        recorded_at=moment(row.recorded_at),
    )


def recorded(rows: Sequence[Movement]) -> pb.Movement:
    """What was asked for as one and became a row for each batch: all of it, and the balance after the last."""
    message = movement(rows[0])
    if len(rows) > 1:
        message.quantity = sum(movement(row).quantity for row in rows)
        message.balance_after = rows[-1].balance_after
        message.ClearField("batch_id")
    return message


def moment(value: datetime) -> Timestamp:
    """A time. Seconds and nanoseconds are set as they are: half the cost of handing a datetime over."""
    seconds = int(value.timestamp() // 1)
    return Timestamp(seconds=seconds, nanos=value.microsecond * 1000)
