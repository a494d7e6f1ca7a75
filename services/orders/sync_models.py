"""The table of offline clients' operations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.orders.models import Base


class SyncOperation(Base):
    """An operation that has been decided; one that was deferred leaves nothing."""

    __tablename__ = "sync_operations"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation_id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str]
    # Absent where the operation names no order, or not in a form that could be one.
    order_id: Mapped[UUID | None]
    outcome: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    problems: Mapped[list[Any]] = mapped_column(JSONB)
    # What must be equal for two operations with one id to be the same operation.
    fingerprint: Mapped[bytes]
    sequence: Mapped[int]
    occurred_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime]
