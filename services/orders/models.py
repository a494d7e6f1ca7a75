"""The tables of orders."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of orders."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: sa.Text,
        int: sa.BigInteger,
        datetime: sa.DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, Any]]: JSONB(none_as_null=True),
    }


class Order(Base):
    """An order."""

    __tablename__ = "orders"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    # The business day whose numbers it is counted in, and its number of that day.
    day: Mapped[date | None]
    number: Mapped[int | None]
    status: Mapped[str]
    channel: Mapped[str]
    payment_method: Mapped[str]
    customer_name: Mapped[str]
    notes: Mapped[str]
    cancel_reason: Mapped[str]
    # Why inventory refused it: the code for people, the whole error for whoever sends the order again.
    rejection: Mapped[str]
    refusal: Mapped[dict[str, Any] | None]
    placed_by: Mapped[str]
    # Where and by whom it is made.
    station_id: Mapped[UUID | None]
    assigned_to: Mapped[UUID | None]
    # Who orders, as the client names its customers.
    customer_id: Mapped[str]
    bulk_id: Mapped[UUID | None]
    group_id: Mapped[UUID | None]
    group_code: Mapped[str]
    # What must be equal for two orders with one id to be the same order.
    fingerprint: Mapped[bytes]
    amount: Mapped[int | None]
    currency: Mapped[str]
    # Who takes the money, and how much was.
    payment_provider: Mapped[str]
    payment_state: Mapped[str]
    authorized: Mapped[int | None]
    captured: Mapped[int | None]
    refunded: Mapped[int | None]
    payment_reference: Mapped[str]
    # Inventory has booked its stock out.
    posted: Mapped[bool]
    # How far the site's point of sale knows of it, and what it calls it.
    pos_status: Mapped[str]
    pos_reference: Mapped[str]
    version: Mapped[int] = mapped_column()
    placed_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    # Every change is `UPDATE ... WHERE version = <the one that was read>` and counts the version up.
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - declared so by SQLAlchemy


class Line(Base):
    """A thing ordered."""

    __tablename__ = "lines"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int]
    menu_item_id: Mapped[UUID]
    quantity: Mapped[int]
    notes: Mapped[str]
    name: Mapped[str]
    unit_amount: Mapped[int | None]
    currency: Mapped[str]
    status: Mapped[str]
    # What goes with each piece: option, quantity, and its name and price once they are known.
    modifiers: Mapped[list[dict[str, Any]]]
    # The line that this one makes anew; why, or why it was voided.
    remake_of: Mapped[UUID | None]
    reason: Mapped[str]


class OrderEvent(Base):
    """An entry of an order's timeline."""

    __tablename__ = "order_events"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    # Who, and for or as whom.
    actor: Mapped[str]
    subject: Mapped[str]
    channel: Mapped[str]
    detail: Mapped[str]
    # The states that were left and reached; of a line, where it is one's.
    line_id: Mapped[UUID | None]
    from_status: Mapped[str]
    to_status: Mapped[str]
    # When it happened, and when we learned of it.
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class OrderNumber(Base):
    """The last number that a site gave out on a day."""

    __tablename__ = "order_numbers"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    last: Mapped[int]
