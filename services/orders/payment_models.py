"""The tables of payments."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from services.orders.models import Base


class OrderPayment(Base):
    """How far an order is paid. The amounts are the provider's: they are set if greater, never added."""

    __tablename__ = "order_payments"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    # An order has one.
    order_id: Mapped[UUID]
    provider: Mapped[str]
    state: Mapped[str]
    # Until it is known what came of it.
    token: Mapped[bytes | None] = mapped_column(info={"sensitive": True, "about": "order_payments/{tenant_id}/{id}"})
    # What it is about, from when the order's price is known.
    amount: Mapped[int | None]
    currency: Mapped[str]
    authorized: Mapped[int | None]
    captured: Mapped[int | None]
    refunded: Mapped[int]
    reference: Mapped[str]
    # Why it was declined.
    code: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ScriptedCharge(Base):
    """What the provider `test` has done: its own memory, which no other table points to."""

    __tablename__ = "test_charges"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str]
    state: Mapped[str]
    currency: Mapped[str]
    authorized: Mapped[int]
    captured: Mapped[int]
    refunded: Mapped[int]
    # How often it was asked, by method.
    asked: Mapped[dict[str, Any]]
