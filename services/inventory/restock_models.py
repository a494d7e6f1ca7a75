"""The tables of restocking."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from chassis import clock
from services.inventory.models import Base, moment


class RestockPlan(Base):
    """What a site buys of a supplier."""

    __tablename__ = "restock_plans"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    supplier: Mapped[str]
    schedule: Mapped[str]
    # The site's, by whose calendar the schedule is read.
    time_zone: Mapped[str]
    lead_days: Mapped[int]
    notes: Mapped[str]
    state: Mapped[str]
    approved_by: Mapped[str] = mapped_column(default="")
    ordered_at: Mapped[datetime | None] = moment()
    version: Mapped[int]
    created_at: Mapped[datetime] = moment(default=clock.now)
    updated_at: Mapped[datetime] = moment(default=clock.now, onupdate=clock.now)


class RestockLine(Base):
    """What is bought of one item, and what of it has come."""

    __tablename__ = "restock_lines"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    plan_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int]
    min: Mapped[int]
    max: Mapped[int]
    quantity: Mapped[int]
    received: Mapped[int] = mapped_column(default=0)


class RestockReceipt(Base):
    """A delivery that was taken in. What must be equal for two to be the same is in the fingerprint."""

    __tablename__ = "restock_receipts"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    plan_id: Mapped[UUID]
    fingerprint: Mapped[bytes]
    received_by: Mapped[str]
    received_at: Mapped[datetime] = moment()


class RestockReceiptLine(Base):
    """What came of one lot."""

    __tablename__ = "restock_receipt_lines"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    receipt_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[UUID]
    batch_id: Mapped[UUID]
    quantity: Mapped[int]
