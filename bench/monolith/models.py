"""The tables: the inventory's and the orders' in one database, so that one transaction can hold both."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: sa.Text,
        int: sa.BigInteger,
        datetime: sa.DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


class Item(Base):
    __tablename__ = "items"
    __table_args__ = (sa.Index("items_newest", "tenant_id", sa.desc("created_at"), sa.desc("id")),)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    sku: Mapped[str]
    name: Mapped[str]
    category: Mapped[str]
    supplier: Mapped[str]
    unit: Mapped[str]
    low_stock_threshold: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Batch(Base):
    __tablename__ = "batches"
    __table_args__ = (
        sa.CheckConstraint("on_hand >= 0 AND reserved >= 0 AND reserved <= on_hand"),
        sa.ForeignKeyConstraint(["tenant_id", "item_id"], ["items.tenant_id", "items.id"]),
        sa.Index("batches_of_item", "tenant_id", "item_id", "site_id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    item_id: Mapped[UUID]
    site_id: Mapped[UUID]
    lot: Mapped[str]
    on_hand: Mapped[int]
    reserved: Mapped[int] = mapped_column(default=0)
    expires_at: Mapped[datetime | None]


class RecipeLine(Base):
    __tablename__ = "recipe_lines"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "menu_item_id"], ["menu_items.tenant_id", "menu_items.id"]),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    menu_item_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class MenuItem(Base):
    __tablename__ = "menu_items"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    recipe: Mapped[list[RecipeLine]] = relationship(lazy="selectin")


class Pick(Base):
    __tablename__ = "picks"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    order_id: Mapped[UUID]
    item_id: Mapped[UUID]
    batch_id: Mapped[UUID]
    quantity: Mapped[int]
    reason: Mapped[str] = mapped_column(default="first_expiry")


class Line(Base):
    __tablename__ = "lines"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "order_id"], ["orders.tenant_id", "orders.id"]),
        sa.Index("lines_of_order", "tenant_id", "order_id"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    order_id: Mapped[UUID]
    menu_item_id: Mapped[UUID]
    quantity: Mapped[int]
    notes: Mapped[str]
    name: Mapped[str]
    unit_amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending")


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "site_id", "day", "number"),
        sa.Index("orders_newest", "tenant_id", sa.desc("placed_at"), sa.desc("id")),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    site_id: Mapped[UUID]
    day: Mapped[date]
    number: Mapped[int]
    status: Mapped[str]
    channel: Mapped[str]
    payment_method: Mapped[str]
    customer_name: Mapped[str]
    notes: Mapped[str]
    placed_by: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    placed_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    lines: Mapped[list[Line]] = relationship(lazy="selectin", order_by=Line.id)


class OrderEvent(Base):
    __tablename__ = "order_events"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    actor: Mapped[str]
    occurred_at: Mapped[datetime]


class OrderNumber(Base):
    __tablename__ = "order_numbers"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    last: Mapped[int]


class Outbox(Base):
    __tablename__ = "outbox"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    type: Mapped[str]
    subject: Mapped[str]
    body: Mapped[dict[str, Any]]


class AuditEvent(Base):
    __tablename__ = "audit_events"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    actor: Mapped[str]
    action: Mapped[str]
    resource: Mapped[str]
    changes: Mapped[dict[str, Any]]
    occurred_at: Mapped[datetime]
