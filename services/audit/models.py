"""The tables of audit."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of audit."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: sa.Text,
        int: sa.BigInteger,
        datetime: sa.DateTime(timezone=True),
        list[str]: ARRAY(sa.Text),
    }


class Entry(Base):
    """An event in its tenant's chain: the bytes that are hashed, and copies of what is searched for."""

    __tablename__ = "entries"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    event: Mapped[bytes]
    hash: Mapped[bytes]
    service: Mapped[str]
    service_sequence: Mapped[int]
    occurred_at: Mapped[datetime]
    category: Mapped[str]
    action: Mapped[str]
    actor: Mapped[str]
    outcome: Mapped[int]
    address: Mapped[str]
    request_id: Mapped[str]
    resources: Mapped[list[str]]


class Head(Base):
    """The last entry of a tenant's chain, kept apart so that a chain cut off at its end shows."""

    __tablename__ = "heads"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int]
    hash: Mapped[bytes]
