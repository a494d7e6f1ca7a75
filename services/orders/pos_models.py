"""The tables of the point of sale."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from services.orders.models import Base


class PosConnection(Base):
    """Where a site's orders are sent."""

    __tablename__ = "pos_connections"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str]
    # Such URLs often carry a key of the POS's own: the trail is told the host alone.
    url: Mapped[str] = mapped_column(info={"sensitive": True})
    enabled: Mapped[bool]
    secret: Mapped[bytes] = mapped_column(info={"sensitive": True, "about": "pos_connections/{tenant_id}/{site_id}"})
    version: Mapped[int] = mapped_column()
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - declared so by SQLAlchemy


class Forward(Base):
    """What a POS is to be told of an order, and what came of it.

    `due_at` is a claim as well: whoever sends it first sets it ahead, so that nobody else sends it meanwhile.
    """

    __tablename__ = "forwards"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    state: Mapped[str]
    tries: Mapped[int]
    due_at: Mapped[datetime]
    error: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
