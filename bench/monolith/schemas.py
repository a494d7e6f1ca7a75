"""What goes over the wire, as in Switchyard's contract."""

from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Data = TypeVar("Data")


class Meta(BaseModel):
    request_id: str
    next_cursor: str | None = None


class Answer(BaseModel, Generic[Data]):
    data: Data
    meta: Meta


class Money(BaseModel):
    amount: int
    currency: str


class ItemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    sku: str
    name: str
    category: str
    supplier: str
    unit: str
    low_stock_threshold: int
    on_hand: int
    reserved: int
    available: int
    version: int
    created_at: datetime
    updated_at: datetime


class LineIn(BaseModel):
    menu_item_id: UUID
    quantity: int = Field(ge=1, le=10_000)
    notes: str = Field("", max_length=500)


class OrderIn(BaseModel):
    id: UUID | None = None
    site_id: UUID
    lines: list[LineIn] = Field(min_length=1, max_length=100)
    payment_method: str = "cash"
    customer_name: str = Field("", max_length=200)
    notes: str = Field("", max_length=1000)


class LineOut(BaseModel):
    id: UUID
    menu_item_id: UUID
    quantity: int
    notes: str
    name: str
    unit_price: Money
    status: str


class OrderOut(BaseModel):
    id: UUID
    site_id: UUID
    number: int
    status: str
    channel: str
    lines: list[LineOut]
    total: Money
    payment_method: str
    customer_name: str
    notes: str
    placed_by: str
    version: int
    placed_at: datetime
    updated_at: datetime
