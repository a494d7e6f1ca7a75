import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from switchyard.orders.v1 import orders_pb2 as _orders_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BulkOrderStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BULK_ORDER_STATUS_UNSPECIFIED: _ClassVar[BulkOrderStatus]
    BULK_ORDER_STATUS_PLACING: _ClassVar[BulkOrderStatus]
    BULK_ORDER_STATUS_PLACED: _ClassVar[BulkOrderStatus]
    BULK_ORDER_STATUS_COMPLETED: _ClassVar[BulkOrderStatus]
    BULK_ORDER_STATUS_CANCELLING: _ClassVar[BulkOrderStatus]
    BULK_ORDER_STATUS_CANCELLED: _ClassVar[BulkOrderStatus]
BULK_ORDER_STATUS_UNSPECIFIED: BulkOrderStatus
BULK_ORDER_STATUS_PLACING: BulkOrderStatus
BULK_ORDER_STATUS_PLACED: BulkOrderStatus
BULK_ORDER_STATUS_COMPLETED: BulkOrderStatus
BULK_ORDER_STATUS_CANCELLING: BulkOrderStatus
BULK_ORDER_STATUS_CANCELLED: BulkOrderStatus

class BulkOrder(_message.Message):
    __slots__ = ("id", "site_id", "name", "organisation", "event", "owner_id", "created_by", "due_at", "status", "order_count", "placed_percent", "ended_percent", "version", "created_at", "updated_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANISATION_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PLACED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    ENDED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    name: str
    organisation: str
    event: str
    owner_id: str
    created_by: str
    due_at: _timestamp_pb2.Timestamp
    status: BulkOrderStatus
    order_count: int
    placed_percent: int
    ended_percent: int
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., name: _Optional[str] = ..., organisation: _Optional[str] = ..., event: _Optional[str] = ..., owner_id: _Optional[str] = ..., created_by: _Optional[str] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[_Union[BulkOrderStatus, str]] = ..., order_count: _Optional[int] = ..., placed_percent: _Optional[int] = ..., ended_percent: _Optional[int] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BulkEntry(_message.Message):
    __slots__ = ("customer_name", "lines", "notes")
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    customer_name: str
    lines: _containers.RepeatedCompositeFieldContainer[_orders_pb2.OrderLine]
    notes: str
    def __init__(self, customer_name: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_orders_pb2.OrderLine, _Mapping]]] = ..., notes: _Optional[str] = ...) -> None: ...

class CreateBulkOrderRequest(_message.Message):
    __slots__ = ("id", "site_id", "name", "organisation", "event", "owner_id", "due_at", "orders")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANISATION_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    name: str
    organisation: str
    event: str
    owner_id: str
    due_at: _timestamp_pb2.Timestamp
    orders: _containers.RepeatedCompositeFieldContainer[BulkEntry]
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., name: _Optional[str] = ..., organisation: _Optional[str] = ..., event: _Optional[str] = ..., owner_id: _Optional[str] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., orders: _Optional[_Iterable[_Union[BulkEntry, _Mapping]]] = ...) -> None: ...

class ListBulkOrdersRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "status", "site_id", "owner_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    status: BulkOrderStatus
    site_id: str
    owner_id: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., status: _Optional[_Union[BulkOrderStatus, str]] = ..., site_id: _Optional[str] = ..., owner_id: _Optional[str] = ...) -> None: ...

class ListBulkOrdersResponse(_message.Message):
    __slots__ = ("bulk_orders", "next_cursor")
    BULK_ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    bulk_orders: _containers.RepeatedCompositeFieldContainer[BulkOrder]
    next_cursor: str
    def __init__(self, bulk_orders: _Optional[_Iterable[_Union[BulkOrder, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetBulkOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetBulkOrderProgressRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class BulkOrderProgress(_message.Message):
    __slots__ = ("id", "status", "order_count", "waiting", "placed", "refused", "withdrawn", "queued", "preparing", "ready", "completed", "cancelled", "placed_percent", "ended_percent", "oldest_outstanding", "failures")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ORDER_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    PLACED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    PREPARING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    PLACED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    ENDED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: BulkOrderStatus
    order_count: int
    waiting: int
    placed: int
    refused: int
    withdrawn: int
    queued: int
    preparing: int
    ready: int
    completed: int
    cancelled: int
    placed_percent: int
    ended_percent: int
    oldest_outstanding: OutstandingAction
    failures: _containers.RepeatedCompositeFieldContainer[BulkOrderFailure]
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[BulkOrderStatus, str]] = ..., order_count: _Optional[int] = ..., waiting: _Optional[int] = ..., placed: _Optional[int] = ..., refused: _Optional[int] = ..., withdrawn: _Optional[int] = ..., queued: _Optional[int] = ..., preparing: _Optional[int] = ..., ready: _Optional[int] = ..., completed: _Optional[int] = ..., cancelled: _Optional[int] = ..., placed_percent: _Optional[int] = ..., ended_percent: _Optional[int] = ..., oldest_outstanding: _Optional[_Union[OutstandingAction, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[BulkOrderFailure, _Mapping]]] = ...) -> None: ...

class OutstandingAction(_message.Message):
    __slots__ = ("action", "index", "order_id", "customer_name", "since")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    action: str
    index: int
    order_id: str
    customer_name: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, action: _Optional[str] = ..., index: _Optional[int] = ..., order_id: _Optional[str] = ..., customer_name: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BulkOrderFailure(_message.Message):
    __slots__ = ("index", "customer_name", "order_id", "code", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    customer_name: str
    order_id: str
    code: str
    message: str
    def __init__(self, index: _Optional[int] = ..., customer_name: _Optional[str] = ..., order_id: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CancelBulkOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
