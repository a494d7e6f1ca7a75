"""Orders as the contract's messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import sqlalchemy as sa
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from switchyard.common.v1 import common_pb2
from switchyard.orders.v1 import orders_pb2

from chassis import codec

# A row of `store.SHOWN`, read in either way.
Row = sa.RowMapping | asyncpg.Record

_ENUMS = orders_pb2.DESCRIPTOR.enum_types_by_name


@cache
def _numbers(enum: EnumDescriptor) -> dict[str, int]:
    return {word: number for number, word in codec.words(enum).items()}


def word(enum: str, number: int) -> str:
    """The word of an enum's value, as it stands in the tables; empty for the unspecified one."""
    return codec.words(_ENUMS[enum]).get(number, "")


def number(enum: str, of: str) -> Any:
    """The value of an enum's word."""
    return _numbers(_ENUMS[enum])[of]


def order(row: Row) -> orders_pb2.Order:
    """An order."""
    message = orders_pb2.Order(
        id=str(row["id"]),
        site_id=str(row["site_id"]),
        number=row["number"],
        status=number("OrderStatus", row["status"]),
        saga_state=number("SagaState", row["saga_state"]),
        saga_error=row["saga_error"],
        channel=number("Channel", row["channel"]),
        lines=[_line(line) for line in orjson.loads(row["lines"] or "[]")],
        payment_method=number("PaymentMethod", row["payment_method"]),
        customer_name=row["customer_name"],
        notes=row["notes"],
        cancel_reason=row["cancel_reason"],
        rejection=row["rejection"],
        placed_by=row["placed_by"],
        station_id=str(row["station_id"] or ""),
        assigned_to=str(row["assigned_to"] or ""),
        customer_id=row["customer_id"],
        bulk_id=str(row["bulk_id"] or ""),
        group_id=str(row["group_id"] or ""),
        group_code=row["group_code"],
        payment=_payment(row),
        business_day=str(row["day"] or ""),
        version=row["version"],
        pos_status=number("PosStatus", row["pos_status"]),
        pos_reference=row["pos_reference"],
        placed_at=time(row["placed_at"]),
        updated_at=time(row["updated_at"]),
    )
    if row["amount"] is not None:
        message.total.CopyFrom(common_pb2.Money(amount=row["amount"], currency=row["currency"]))
    return message


def _payment(row: Row) -> orders_pb2.Payment:
    message = orders_pb2.Payment(
        method=number("PaymentMethod", row["payment_method"]),
        provider=row["payment_provider"],
        state=number("PaymentState", row["payment_state"]),
        reference=row["payment_reference"],
    )
    for name in ("authorized", "captured", "refunded"):
        if row[name] is not None:
            getattr(message, name).CopyFrom(common_pb2.Money(amount=row[name], currency=row["currency"]))
    return message


def _line(line: Mapping[str, Any]) -> orders_pb2.OrderLine:
    message = orders_pb2.OrderLine(
        id=line["id"],
        menu_item_id=line["menu_item_id"],
        quantity=line["quantity"],
        notes=line["notes"],
        name=line["name"],
        status=number("LineStatus", line["status"]),
        modifiers=[_modifier(chosen) for chosen in line["modifiers"]],
        remake_of=line["remake_of"] or "",
        reason=line["reason"],
    )
    if line["amount"] is not None:
        message.unit_price.CopyFrom(common_pb2.Money(amount=line["amount"], currency=line["currency"]))
    return message


def _modifier(chosen: Mapping[str, Any]) -> orders_pb2.OrderModifier:
    message = orders_pb2.OrderModifier(
        option_id=chosen["option_id"], quantity=chosen["quantity"], name=chosen.get("name", "")
    )
    if "amount" in chosen:
        message.price.CopyFrom(common_pb2.Money(amount=chosen["amount"], currency=chosen["currency"]))
    return message


def event(row: Any) -> orders_pb2.OrderEvent:
    """An entry of the timeline."""
    return orders_pb2.OrderEvent(
        sequence=row.id,
        type=row.type,
        actor=row.actor,
        channel=number("Channel", row.channel),
        detail=row.detail,
        occurred_at=time(row.occurred_at),
        subject=row.subject,
        line_id=str(row.line_id or ""),
        from_status=row.from_status,
        to_status=row.to_status,
        recorded_at=time(row.recorded_at),
    )


def queue(site_id: str, rows: Sequence[Row], now: datetime) -> orders_pb2.Queue:
    """A queue, whose rows stand in its order."""
    unfinished = [row["id"] for row in rows if row["status"] != "ready"]
    ahead = {order_id: place for place, order_id in enumerate(unfinished)}
    places = [
        orders_pb2.QueuePlace(
            order_id=str(row["id"]),
            ahead=ahead.get(row["id"]),
            age_s=max(0, int((now - row["placed_at"]).total_seconds())),
        )
        for row in rows
    ]
    return orders_pb2.Queue(site_id=site_id, orders=map(order, rows), places=places, as_of=time(now))


def audience(row: Row) -> list[str]:
    """Who may see what happens to an order."""
    site_id: UUID = row["site_id"]
    channels = [f"orders:queue:{site_id}"]
    if row["station_id"] is not None:
        channels.append(f"station:{row['station_id']}")
    return [*channels, f"kiosk:{site_id}"] if row["channel"] == "kiosk" else channels


def time(value: datetime) -> Timestamp:
    """A time."""
    message = Timestamp()
    message.FromDatetime(value)
    return message
