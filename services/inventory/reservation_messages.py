"""Reservations as the contract says them."""

from typing import cast

from switchyard.inventory.v1 import reservations_pb2 as pb

from services.inventory.messages import moment
from services.inventory.reservation_models import Line, Reservation

# The picks of other lines are what they were before they were given back.
_PICKED = (pb.RESERVATION_STATE_ACTIVE, pb.RESERVATION_STATE_POSTED)


def reservation(row: Reservation) -> pb.Reservation:
    """A reservation and what it holds or has sold."""
    message = pb.Reservation(
        order_id=str(row.id),
        site_id=str(row.site_id),
        state=cast("pb.ReservationState", row.state),
        expires_at=moment(row.expires_at),
    )
    for line in row.lines.values():
        # One that was given back before it was reserved has no name and no price.
        if line.menu_item_id is not None:
            _add_line(message, line)
        if line.state in _PICKED:
            _add_picks(message, line)
    return message


def _add_line(message: pb.Reservation, line: Line) -> None:
    priced = message.lines.add(
        line_id=str(line.id),
        menu_item_id=str(line.menu_item_id),
        name=line.name,
        quantity=line.quantity,
        state=cast("pb.ReservationState", line.state),
    )
    priced.unit_price.amount, priced.unit_price.currency = line.amount, line.currency
    for told in line.modifiers:
        chosen = priced.modifiers.add(option_id=told["option_id"], name=told["name"], quantity=told["quantity"])
        chosen.price.amount, chosen.price.currency = told["amount"], line.currency


def _add_picks(message: pb.Reservation, line: Line) -> None:
    for pick in line.picks:
        message.picks.add(
            item_id=str(pick.item_id),
            batch_id=str(pick.batch_id or ""),
            quantity=pick.quantity,
            reason=pick.reason,
            line_id=str(line.id),
        )
