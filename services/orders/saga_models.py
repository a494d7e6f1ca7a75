"""The table of sagas."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from services.orders.models import Base


class Saga(Base):
    """What has still to be said to inventory about an order, and when it is next tried.

    `due_at` is a claim as well: whoever works a saga first sets it ahead, so that nobody else takes it meanwhile.
    """

    __tablename__ = "sagas"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    step: Mapped[str]
    state: Mapped[str]
    tries: Mapped[int]
    due_at: Mapped[datetime]
    error: Mapped[str]
    # Who asked for the step, in whose name, from where, and what else is to change when it is done.
    actor: Mapped[str]
    subject: Mapped[str]
    channel: Mapped[str]
    edits: Mapped[dict[str, Any]]
    # What was reserved for it is given back.
    released: Mapped[bool]
