import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.common.v1 import common_pb2 as _common_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PastStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAST_STATUS_UNSPECIFIED: _ClassVar[PastStatus]
    PAST_STATUS_COMPLETED: _ClassVar[PastStatus]
    PAST_STATUS_CANCELLED: _ClassVar[PastStatus]

class ImportOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMPORT_OUTCOME_UNSPECIFIED: _ClassVar[ImportOutcome]
    IMPORT_OUTCOME_IMPORTED: _ClassVar[ImportOutcome]
    IMPORT_OUTCOME_DUPLICATE: _ClassVar[ImportOutcome]
    IMPORT_OUTCOME_REJECTED: _ClassVar[ImportOutcome]
PAST_STATUS_UNSPECIFIED: PastStatus
PAST_STATUS_COMPLETED: PastStatus
PAST_STATUS_CANCELLED: PastStatus
IMPORT_OUTCOME_UNSPECIFIED: ImportOutcome
IMPORT_OUTCOME_IMPORTED: ImportOutcome
IMPORT_OUTCOME_DUPLICATE: ImportOutcome
IMPORT_OUTCOME_REJECTED: ImportOutcome

class PastLine(_message.Message):
    __slots__ = ("name", "quantity", "unit_amount", "menu_item_id", "notes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    quantity: int
    unit_amount: int
    menu_item_id: str
    notes: str
    def __init__(self, name: _Optional[str] = ..., quantity: _Optional[int] = ..., unit_amount: _Optional[int] = ..., menu_item_id: _Optional[str] = ..., notes: _Optional[str] = ...) -> None: ...

class PastOrder(_message.Message):
    __slots__ = ("id", "status", "placed_at", "ended_at", "currency", "lines", "customer_id", "customer_name", "notes")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PLACED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: PastStatus
    placed_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    currency: str
    lines: _containers.RepeatedCompositeFieldContainer[PastLine]
    customer_id: str
    customer_name: str
    notes: str
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[PastStatus, str]] = ..., placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., currency: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[PastLine, _Mapping]]] = ..., customer_id: _Optional[str] = ..., customer_name: _Optional[str] = ..., notes: _Optional[str] = ...) -> None: ...

class ImportOrdersRequest(_message.Message):
    __slots__ = ("site_id", "orders")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    orders: _containers.RepeatedCompositeFieldContainer[PastOrder]
    def __init__(self, site_id: _Optional[str] = ..., orders: _Optional[_Iterable[_Union[PastOrder, _Mapping]]] = ...) -> None: ...

class ImportProblem(_message.Message):
    __slots__ = ("field", "reason")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    field: str
    reason: str
    def __init__(self, field: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ImportedOrder(_message.Message):
    __slots__ = ("position", "id", "outcome", "lines", "quantity", "total", "code", "details")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    position: int
    id: str
    outcome: ImportOutcome
    lines: int
    quantity: int
    total: _common_pb2.Money
    code: str
    details: _containers.RepeatedCompositeFieldContainer[ImportProblem]
    def __init__(self, position: _Optional[int] = ..., id: _Optional[str] = ..., outcome: _Optional[_Union[ImportOutcome, str]] = ..., lines: _Optional[int] = ..., quantity: _Optional[int] = ..., total: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., code: _Optional[str] = ..., details: _Optional[_Iterable[_Union[ImportProblem, _Mapping]]] = ...) -> None: ...

class ImportOrdersResponse(_message.Message):
    __slots__ = ("results", "imported", "duplicates", "rejected")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ImportedOrder]
    imported: int
    duplicates: int
    rejected: int
    def __init__(self, results: _Optional[_Iterable[_Union[ImportedOrder, _Mapping]]] = ..., imported: _Optional[int] = ..., duplicates: _Optional[int] = ..., rejected: _Optional[int] = ...) -> None: ...
