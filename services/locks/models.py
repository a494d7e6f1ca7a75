"""The tables of locks: the locks themselves are in the bucket."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the service."""


class ToldLoss(Base):
    """A lease of whose loss the world was told, so that it is told once."""

    __tablename__ = "told_losses"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    told_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
