"""The tables of imports."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from services.inventory.models import Base, moment


class Import(Base):
    """Items from a file, as a job.

    `due_at` is a claim as well: whoever works a job sets it ahead with every step and counts `lease` up when it begins,
    so that of two processes the later one goes on and the earlier one stops.
    """

    __tablename__ = "imports"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[str]
    name: Mapped[str]
    chunks: Mapped[int]
    chunks_received: Mapped[int]
    rows: Mapped[int] = mapped_column(default=0)
    rows_done: Mapped[int] = mapped_column(default=0)
    created: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[int] = mapped_column(default=0)
    failure: Mapped[str] = mapped_column(default="")
    created_by: Mapped[str]
    created_at: Mapped[datetime] = moment()
    finished_at: Mapped[datetime | None] = moment()
    lease: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = moment()


class ImportChunk(Base):
    """A part of a file. Its text goes when the job has ended; the digest tells what it was."""

    __tablename__ = "import_chunks"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes]
    csv: Mapped[str]


class RowError(Base):
    """Why a row was not imported."""

    __tablename__ = "import_errors"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str]
    field: Mapped[str]
    reason: Mapped[str]
