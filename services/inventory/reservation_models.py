"""The tables of what is promised, and their rows as the heart works on them.

The hot path of every order reads and writes them with statements of its own (`reservation_store`); the tables are
declared for everybody else's queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.inventory.models import NEVER, Base, moment


class ReservationRow(Base):
    """Stock promised to an order."""

    __tablename__ = "reservations"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column("order_id", primary_key=True)
    site_id: Mapped[UUID]
    station_id: Mapped[UUID | None]
    state: Mapped[int]
    expires_at: Mapped[datetime] = moment()


class LineRow(Base):
    """A line of an order, as priced when it was reserved. One given back before that is known by its id alone."""

    __tablename__ = "reservation_lines"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[UUID] = mapped_column(primary_key=True)
    place: Mapped[int]
    state: Mapped[int]
    menu_item_id: Mapped[UUID | None]
    name: Mapped[str]
    quantity: Mapped[int]
    amount: Mapped[int]
    currency: Mapped[str]
    modifiers: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class PickRow(Base):
    """A quantity of an item held for a line of an order: of one batch, or of none while it is waited for."""

    __tablename__ = "reservation_picks"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    batch_id: Mapped[UUID | None]
    quantity: Mapped[int]
    reason: Mapped[str]


@dataclass(slots=True)
class Pick:
    """As `PickRow`."""

    item_id: UUID
    batch_id: UUID | None
    quantity: int
    reason: str


@dataclass(slots=True)
class Line:
    """As `LineRow`, and what is held for it."""

    id: UUID
    state: int
    menu_item_id: UUID | None = None
    name: str = ""
    quantity: int = 0
    amount: int = 0
    currency: str = ""
    modifiers: Sequence[Mapping[str, Any]] = ()
    picks: list[Pick] = field(default_factory=list)


@dataclass(slots=True)
class Reservation:
    """As `ReservationRow`, with its lines in the order in which they came."""

    id: UUID
    site_id: UUID
    station_id: UUID | None
    state: int
    expires_at: datetime
    lines: dict[UUID, Line] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stocked:
    """What a level needs to know of its item."""

    id: UUID
    sku: str
    low_stock_threshold: int


@dataclass(slots=True)
class Level:
    """A balance, locked. `reserved` is what the batches hold and what is waited for, `backordered`."""

    item: Stocked
    site_id: UUID
    on_hand: int
    reserved: int
    backordered: int
    # The database writes it, with the batches that are held back; here it is for those who are told.
    held_back: int
    is_low: bool
    allow_backorder: bool
    version: int
    # What was there when the lock was taken.
    had: int = 0

    def __post_init__(self) -> None:
        self.had = self.on_hand

    @property
    def available(self) -> int:
        """On hand less reserved, less what is held back: below nothing while something is waited for."""
        return self.on_hand - self.reserved - self.held_back


@dataclass(slots=True)
class Lot:
    """A batch under its locked balance; whether it may be sold now, and whether its balance knows that it may not."""

    id: UUID
    item_id: UUID
    on_hand: int
    reserved: int
    # What of it lies at stations.
    placed: int
    expires_at: datetime
    sellable: bool
    held_back: bool
    version: int

    @property
    def free(self) -> int:
        """What is there and not promised."""
        return self.on_hand - self.reserved

    @property
    def reason(self) -> str:
        """Why it stands where it does in the order of picking."""
        return "first_in" if self.expires_at >= NEVER else "first_expiry"


@dataclass(frozen=True, slots=True)
class Sale:
    """What a line has taken of a batch at a station (none: from the store room), and what is left at the site."""

    line_id: UUID
    item_id: UUID
    batch_id: UUID
    station_id: UUID | None
    quantity: int
    balance_after: int
