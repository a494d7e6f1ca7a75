"""The tables of inventory."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis import clock

# The expiry of what does not expire: a real value, so that "first expiry first" is one order without nulls.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
# More than any threshold of days.
UNTOLD_DAYS = 9999


class Base(DeclarativeBase):
    """All tables of the service."""

    # Quantities go to a thousand billions; SQLAlchemy would cast every parameter to 32 bits.
    type_annotation_map: ClassVar[dict[Any, Any]] = {int: sa.BigInteger}


def moment(**more: Any) -> Any:
    """A column of a time."""
    return mapped_column(sa.DateTime(timezone=True), **more)


class Item(Base):
    """A thing that is stocked. A retired one is kept for its ledger."""

    __tablename__ = "items"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    sku: Mapped[str]
    name: Mapped[str]
    category: Mapped[str]
    supplier: Mapped[str]
    unit: Mapped[int]
    low_stock_threshold: Mapped[int]
    allow_backorder: Mapped[bool] = mapped_column(default=False)
    display_unit_name: Mapped[str] = mapped_column(default="")
    display_unit_factor: Mapped[int] = mapped_column(default=0)
    version: Mapped[int]
    created_at: Mapped[datetime] = moment(default=clock.now)
    updated_at: Mapped[datetime] = moment(default=clock.now, onupdate=clock.now)
    deleted_at: Mapped[datetime | None] = moment()


class Balance(Base):
    """What is there of an item at a site: the sum of its movements, and what of it is promised."""

    __tablename__ = "balances"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    on_hand: Mapped[int]
    # Held of the batches, and `backordered`, which is promised and not there yet: of an item that allows it.
    reserved: Mapped[int]
    backordered: Mapped[int] = mapped_column(server_default="0")
    # Of what may not be sold, what is not promised. The database writes it, with each change of such a batch.
    held_back: Mapped[int] = mapped_column(server_default="0")
    wasted: Mapped[int] = mapped_column(server_default="0")
    # The alert has been raised and the stock has not recovered since.
    is_low: Mapped[bool]
    version: Mapped[int] = mapped_column()

    # Every UPDATE names the version that was read: without the lock somebody fails, and nothing is sold twice.
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - declared so by SQLAlchemy

    # What was there when the lock was taken.
    had = 0

    @property
    def available(self) -> int:
        """On hand less reserved, less what is held back."""
        return self.on_hand - self.reserved - self.held_back


class Batch(Base):
    """A lot of an item at a site. What came in without a lot lies in the lot `-`."""

    __tablename__ = "batches"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID]
    site_id: Mapped[UUID]
    lot: Mapped[str]
    quantity: Mapped[int]
    on_hand: Mapped[int]
    reserved: Mapped[int]
    # What of it lies at stations; the database writes it, with each placement.
    placed: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[int]
    # Why it is held back.
    reason: Mapped[str] = mapped_column(default="")
    expires_at: Mapped[datetime] = moment()
    # The fewest days before it expires of which the world was told; 0: it has.
    told_days: Mapped[int] = mapped_column(server_default=str(UNTOLD_DAYS))
    received_at: Mapped[datetime] = moment()
    version: Mapped[int] = mapped_column()

    # Every UPDATE names the version that was read: without the lock somebody fails, and nothing is sold twice.
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - declared so by SQLAlchemy


class Placement(Base):
    """What of a batch lies at a station. The rest of the batch is in the site's store room."""

    __tablename__ = "placements"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(primary_key=True)
    station_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID]
    site_id: Mapped[UUID]
    on_hand: Mapped[int]


class Movement(Base):
    """One row of the ledger, never changed. `quantity` is signed."""

    __tablename__ = "movements"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID]
    site_id: Mapped[UUID]
    batch_id: Mapped[UUID]
    type: Mapped[int]
    quantity: Mapped[int]
    balance_after: Mapped[int]
    reason: Mapped[str]
    order_id: Mapped[UUID | None]
    # None: the store room.
    station_id: Mapped[UUID | None]
    # What was recorded as one, where it took several rows.
    entry_id: Mapped[UUID | None]
    to_site_id: Mapped[UUID | None]
    to_station_id: Mapped[UUID | None]
    reversal_of: Mapped[UUID | None]
    recorded_at: Mapped[datetime] = moment()


class Depletion(Base):
    """What a client has used up under an id of its own, and how it was answered."""

    __tablename__ = "depletions"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    answer: Mapped[bytes]
    recorded_at: Mapped[datetime] = moment()
