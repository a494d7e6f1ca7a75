"""Reservations as the contract says them."""

from typing import Any, cast

from switchyard.inventory.v1 import reservations_pb2

from services.inventory.messages import moment
from services.inventory.reservation_models import Pick, Reservation


def reservation(row: Reservation, picks: "list[Pick] | Any") -> reservations_pb2.Reservation:
    """A reservation and what it holds."""
    message = reservations_pb2.Reservation(
        order_id=str(row.id),
        site_id=str(row.site_id),
        state=cast("reservations_pb2.ReservationState", row.state),
        expires_at=moment(row.expires_at),
    )
    for line in row.lines:
        priced = message.lines.add(
            line_id=line["line_id"], menu_item_id=line["menu_item_id"], name=line["name"], quantity=line["quantity"]
        )
        priced.unit_price.amount, priced.unit_price.currency = line["amount"], line["currency"]
    for pick in picks:
        message.picks.add(
            item_id=str(pick.item_id), batch_id=str(pick.batch_id), quantity=pick.quantity, reason=pick.reason
        )
    return message
