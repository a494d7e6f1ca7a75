"""Rows as the contract says them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import stock_pb2

from services.inventory.models import NEVER, Balance, Batch, Item, Movement

# A person reads how much went out as a positive number; an adjustment keeps its sign.
_SIGNED = (pb.MOVEMENT_TYPE_ADJUST, pb.MOVEMENT_TYPE_COUNT)


def item(row: Any) -> pb.Item:
    """An item with its stock, from a record of `store.ITEMS`."""
    return pb.Item(
        id=str(row["id"]),
        sku=row["sku"],
        name=row["name"],
        category=row["category"],
        supplier=row["supplier"],
        unit=row["unit"],
        low_stock_threshold=row["low_stock_threshold"],
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        available=row["available"],
        quarantined=row["quarantined"],
        expired=row["expired"],
        incoming=row["incoming"],
        wasted=row["wasted"],
        allow_backorder=row["allow_backorder"],
        display_unit=_display_unit(row["display_unit_name"], row["display_unit_factor"]),
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
        allow_backorder=row.allow_backorder,
        display_unit=_display_unit(row.display_unit_name, row.display_unit_factor),
        version=row.version,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
    )


def _display_unit(name: str, factor: int) -> pb.DisplayUnit | None:
    return pb.DisplayUnit(name=name, factor=factor) if name else None


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
        reason=row.reason,
        version=row.version,
        at_stations=row.placed,
    )


def movement(row: Movement, *, is_reversed: bool = False) -> pb.Movement:
    """A row of the ledger."""
    return pb.Movement(
        id=str(row.id),
        item_id=str(row.item_id),
        type=cast("pb.MovementType", row.type),
        quantity=row.quantity if row.type in _SIGNED else abs(row.quantity),
        delta=row.quantity,
        site_id=str(row.site_id),
        station_id=_id(row.station_id),
        to_site_id=_id(row.to_site_id),
        to_station_id=_id(row.to_station_id),
        batch_id=str(row.batch_id),
        reason=row.reason,
        balance_after=row.balance_after,
        order_id=_id(row.order_id),
        entry_id=_id(row.entry_id),
        reversal_of=_id(row.reversal_of),
        reversed=is_reversed,
        recorded_at=moment(row.recorded_at),
    )


def recorded(rows: Sequence[Movement]) -> pb.Movement:
    """What was asked for as one and became a row for each batch: all of it, and the balance after the last.

    Of both ends of a transfer the rows of the end of the first count.
    """
    message = movement(rows[0])
    same = [movement(row) for row in rows if (row.quantity > 0) == (rows[0].quantity > 0)]
    if len(same) > 1:
        message.quantity = sum(row.quantity for row in same)
        message.delta = sum(row.delta for row in same)
        message.balance_after = same[-1].balance_after
        message.ClearField("batch_id")
        if len({row.station_id for row in same}) > 1:
            message.ClearField("station_id")
    return message


def agreed(told: pb.Movement, balance: Balance) -> pb.Movement:
    """A count that found what the ledger says: nothing was recorded."""
    message = pb.Movement()
    message.CopyFrom(told)
    message.quantity, message.balance_after = 0, balance.on_hand
    message.item_id = str(balance.item_id)
    message.ClearField("change_from_quantity")
    return message


def station_item(row: Any) -> stock_pb2.StationItem:
    """What lies at a station of an item, from a row of `stock_store.station`."""
    return stock_pb2.StationItem(
        item_id=str(row.id),
        sku=row.sku,
        name=row.name,
        unit=row.unit,
        on_hand=row.on_hand,
        quarantined=row.quarantined,
        expired=row.expired,
        available=row.on_hand - row.quarantined - row.expired,
        site_on_hand=row.site_on_hand,
        site_reserved=row.site_reserved,
        site_available=row.site_available,
        site_incoming=row.site_incoming,
    )


def _id(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def moment(value: datetime) -> Timestamp:
    """A time. Seconds and nanoseconds are set as they are: half the cost of handing a datetime over."""
    seconds = int(value.timestamp() // 1)
    return Timestamp(seconds=seconds, nanos=value.microsecond * 1000)
