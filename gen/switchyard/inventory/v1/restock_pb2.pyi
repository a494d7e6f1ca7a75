import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RestockState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESTOCK_STATE_UNSPECIFIED: _ClassVar[RestockState]
    RESTOCK_STATE_DRAFT: _ClassVar[RestockState]
    RESTOCK_STATE_APPROVED: _ClassVar[RestockState]
    RESTOCK_STATE_ORDERED: _ClassVar[RestockState]
    RESTOCK_STATE_PARTIALLY_RECEIVED: _ClassVar[RestockState]
    RESTOCK_STATE_RECEIVED: _ClassVar[RestockState]
    RESTOCK_STATE_CANCELLED: _ClassVar[RestockState]

class RestockReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESTOCK_REASON_UNSPECIFIED: _ClassVar[RestockReason]
    RESTOCK_REASON_BELOW_MINIMUM: _ClassVar[RestockReason]
    RESTOCK_REASON_RUNS_OUT_BEFORE_DELIVERY: _ClassVar[RestockReason]
    RESTOCK_REASON_RUNS_OUT_WITHIN_HORIZON: _ClassVar[RestockReason]
RESTOCK_STATE_UNSPECIFIED: RestockState
RESTOCK_STATE_DRAFT: RestockState
RESTOCK_STATE_APPROVED: RestockState
RESTOCK_STATE_ORDERED: RestockState
RESTOCK_STATE_PARTIALLY_RECEIVED: RestockState
RESTOCK_STATE_RECEIVED: RestockState
RESTOCK_STATE_CANCELLED: RestockState
RESTOCK_REASON_UNSPECIFIED: RestockReason
RESTOCK_REASON_BELOW_MINIMUM: RestockReason
RESTOCK_REASON_RUNS_OUT_BEFORE_DELIVERY: RestockReason
RESTOCK_REASON_RUNS_OUT_WITHIN_HORIZON: RestockReason

class RestockLine(_message.Message):
    __slots__ = ("item_id", "min", "max", "quantity", "received")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    min: int
    max: int
    quantity: int
    received: int
    def __init__(self, item_id: _Optional[str] = ..., min: _Optional[int] = ..., max: _Optional[int] = ..., quantity: _Optional[int] = ..., received: _Optional[int] = ...) -> None: ...

class RestockPlan(_message.Message):
    __slots__ = ("id", "site_id", "supplier", "schedule", "lead_days", "notes", "lines", "state", "next_due_on", "approved_by", "ordered_at", "version", "created_at", "updated_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    LEAD_DAYS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NEXT_DUE_ON_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    ORDERED_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    supplier: str
    schedule: str
    lead_days: int
    notes: str
    lines: _containers.RepeatedCompositeFieldContainer[RestockLine]
    state: RestockState
    next_due_on: str
    approved_by: str
    ordered_at: _timestamp_pb2.Timestamp
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., supplier: _Optional[str] = ..., schedule: _Optional[str] = ..., lead_days: _Optional[int] = ..., notes: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[RestockLine, _Mapping]]] = ..., state: _Optional[_Union[RestockState, str]] = ..., next_due_on: _Optional[str] = ..., approved_by: _Optional[str] = ..., ordered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRestockPlansRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "site_id", "state", "supplier")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    site_id: str
    state: RestockState
    supplier: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., site_id: _Optional[str] = ..., state: _Optional[_Union[RestockState, str]] = ..., supplier: _Optional[str] = ...) -> None: ...

class ListRestockPlansResponse(_message.Message):
    __slots__ = ("plans", "next_cursor")
    PLANS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    plans: _containers.RepeatedCompositeFieldContainer[RestockPlan]
    next_cursor: str
    def __init__(self, plans: _Optional[_Iterable[_Union[RestockPlan, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class CreateRestockPlanRequest(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: RestockPlan
    def __init__(self, plan: _Optional[_Union[RestockPlan, _Mapping]] = ...) -> None: ...

class GetRestockPlanRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UpdateRestockPlanRequest(_message.Message):
    __slots__ = ("id", "plan", "update_mask")
    ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    plan: RestockPlan
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, id: _Optional[str] = ..., plan: _Optional[_Union[RestockPlan, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ReceivedLine(_message.Message):
    __slots__ = ("item_id", "quantity", "lot", "expires_at")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    quantity: int
    lot: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, item_id: _Optional[str] = ..., quantity: _Optional[int] = ..., lot: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReceiveRestockPlanRequest(_message.Message):
    __slots__ = ("id", "receipt_id", "lines")
    ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    id: str
    receipt_id: str
    lines: _containers.RepeatedCompositeFieldContainer[ReceivedLine]
    def __init__(self, id: _Optional[str] = ..., receipt_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ReceivedLine, _Mapping]]] = ...) -> None: ...

class ListRestockSuggestionsRequest(_message.Message):
    __slots__ = ("site_id", "horizon_days", "use_days", "lead_days", "supplier")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    USE_DAYS_FIELD_NUMBER: _ClassVar[int]
    LEAD_DAYS_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    horizon_days: int
    use_days: int
    lead_days: int
    supplier: str
    def __init__(self, site_id: _Optional[str] = ..., horizon_days: _Optional[int] = ..., use_days: _Optional[int] = ..., lead_days: _Optional[int] = ..., supplier: _Optional[str] = ...) -> None: ...

class RestockSuggestion(_message.Message):
    __slots__ = ("item_id", "sku", "name", "supplier", "quantity", "daily_use", "days_of_cover", "available", "incoming", "min", "max", "lead_days", "reasons", "explanation")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    DAILY_USE_FIELD_NUMBER: _ClassVar[int]
    DAYS_OF_COVER_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    LEAD_DAYS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    sku: str
    name: str
    supplier: str
    quantity: int
    daily_use: float
    days_of_cover: float
    available: int
    incoming: int
    min: int
    max: int
    lead_days: int
    reasons: _containers.RepeatedScalarFieldContainer[RestockReason]
    explanation: str
    def __init__(self, item_id: _Optional[str] = ..., sku: _Optional[str] = ..., name: _Optional[str] = ..., supplier: _Optional[str] = ..., quantity: _Optional[int] = ..., daily_use: _Optional[float] = ..., days_of_cover: _Optional[float] = ..., available: _Optional[int] = ..., incoming: _Optional[int] = ..., min: _Optional[int] = ..., max: _Optional[int] = ..., lead_days: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[RestockReason, str]]] = ..., explanation: _Optional[str] = ...) -> None: ...

class ListRestockSuggestionsResponse(_message.Message):
    __slots__ = ("suggestions",)
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    suggestions: _containers.RepeatedCompositeFieldContainer[RestockSuggestion]
    def __init__(self, suggestions: _Optional[_Iterable[_Union[RestockSuggestion, _Mapping]]] = ...) -> None: ...
