import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
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

class OrderStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_STATUS_UNSPECIFIED: _ClassVar[OrderStatus]
    ORDER_STATUS_DRAFT: _ClassVar[OrderStatus]
    ORDER_STATUS_QUEUED: _ClassVar[OrderStatus]
    ORDER_STATUS_PREPARING: _ClassVar[OrderStatus]
    ORDER_STATUS_READY: _ClassVar[OrderStatus]
    ORDER_STATUS_COMPLETED: _ClassVar[OrderStatus]
    ORDER_STATUS_CANCELLED: _ClassVar[OrderStatus]

class SagaState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SAGA_STATE_UNSPECIFIED: _ClassVar[SagaState]
    SAGA_STATE_RUNNING: _ClassVar[SagaState]
    SAGA_STATE_SETTLED: _ClassVar[SagaState]
    SAGA_STATE_COMPENSATING: _ClassVar[SagaState]
    SAGA_STATE_NEEDS_ATTENTION: _ClassVar[SagaState]

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNSPECIFIED: _ClassVar[Channel]
    CHANNEL_MOBILE: _ClassVar[Channel]
    CHANNEL_KIOSK: _ClassVar[Channel]
    CHANNEL_POS: _ClassVar[Channel]
    CHANNEL_MANAGER_OVERRIDE: _ClassVar[Channel]
    CHANNEL_SYSTEM: _ClassVar[Channel]
    CHANNEL_IMPORT: _ClassVar[Channel]
    CHANNEL_API: _ClassVar[Channel]

class PaymentMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_METHOD_UNSPECIFIED: _ClassVar[PaymentMethod]
    PAYMENT_METHOD_CASH: _ClassVar[PaymentMethod]
    PAYMENT_METHOD_CARD: _ClassVar[PaymentMethod]

class PaymentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_STATE_UNSPECIFIED: _ClassVar[PaymentState]
    PAYMENT_STATE_PENDING: _ClassVar[PaymentState]
    PAYMENT_STATE_AUTHORIZED: _ClassVar[PaymentState]
    PAYMENT_STATE_CAPTURED: _ClassVar[PaymentState]
    PAYMENT_STATE_VOIDED: _ClassVar[PaymentState]
    PAYMENT_STATE_FAILED: _ClassVar[PaymentState]
    PAYMENT_STATE_UNKNOWN: _ClassVar[PaymentState]
    PAYMENT_STATE_REFUNDED: _ClassVar[PaymentState]

class LineStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINE_STATUS_UNSPECIFIED: _ClassVar[LineStatus]
    LINE_STATUS_PENDING: _ClassVar[LineStatus]
    LINE_STATUS_PREPARING: _ClassVar[LineStatus]
    LINE_STATUS_READY: _ClassVar[LineStatus]
    LINE_STATUS_SERVED: _ClassVar[LineStatus]
    LINE_STATUS_VOIDED: _ClassVar[LineStatus]

class PosStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POS_STATUS_UNSPECIFIED: _ClassVar[PosStatus]
    POS_STATUS_NONE: _ClassVar[PosStatus]
    POS_STATUS_PENDING: _ClassVar[PosStatus]
    POS_STATUS_SENT: _ClassVar[PosStatus]
    POS_STATUS_CONFIRMED: _ClassVar[PosStatus]
    POS_STATUS_FAILED: _ClassVar[PosStatus]
    POS_STATUS_REJECTED: _ClassVar[PosStatus]
ORDER_STATUS_UNSPECIFIED: OrderStatus
ORDER_STATUS_DRAFT: OrderStatus
ORDER_STATUS_QUEUED: OrderStatus
ORDER_STATUS_PREPARING: OrderStatus
ORDER_STATUS_READY: OrderStatus
ORDER_STATUS_COMPLETED: OrderStatus
ORDER_STATUS_CANCELLED: OrderStatus
SAGA_STATE_UNSPECIFIED: SagaState
SAGA_STATE_RUNNING: SagaState
SAGA_STATE_SETTLED: SagaState
SAGA_STATE_COMPENSATING: SagaState
SAGA_STATE_NEEDS_ATTENTION: SagaState
CHANNEL_UNSPECIFIED: Channel
CHANNEL_MOBILE: Channel
CHANNEL_KIOSK: Channel
CHANNEL_POS: Channel
CHANNEL_MANAGER_OVERRIDE: Channel
CHANNEL_SYSTEM: Channel
CHANNEL_IMPORT: Channel
CHANNEL_API: Channel
PAYMENT_METHOD_UNSPECIFIED: PaymentMethod
PAYMENT_METHOD_CASH: PaymentMethod
PAYMENT_METHOD_CARD: PaymentMethod
PAYMENT_STATE_UNSPECIFIED: PaymentState
PAYMENT_STATE_PENDING: PaymentState
PAYMENT_STATE_AUTHORIZED: PaymentState
PAYMENT_STATE_CAPTURED: PaymentState
PAYMENT_STATE_VOIDED: PaymentState
PAYMENT_STATE_FAILED: PaymentState
PAYMENT_STATE_UNKNOWN: PaymentState
PAYMENT_STATE_REFUNDED: PaymentState
LINE_STATUS_UNSPECIFIED: LineStatus
LINE_STATUS_PENDING: LineStatus
LINE_STATUS_PREPARING: LineStatus
LINE_STATUS_READY: LineStatus
LINE_STATUS_SERVED: LineStatus
LINE_STATUS_VOIDED: LineStatus
POS_STATUS_UNSPECIFIED: PosStatus
POS_STATUS_NONE: PosStatus
POS_STATUS_PENDING: PosStatus
POS_STATUS_SENT: PosStatus
POS_STATUS_CONFIRMED: PosStatus
POS_STATUS_FAILED: PosStatus
POS_STATUS_REJECTED: PosStatus

class OrderModifier(_message.Message):
    __slots__ = ("option_id", "quantity", "name", "price")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    quantity: int
    name: str
    price: _common_pb2.Money
    def __init__(self, option_id: _Optional[str] = ..., quantity: _Optional[int] = ..., name: _Optional[str] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("method", "provider", "state", "authorized", "captured", "reference", "refunded")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    method: PaymentMethod
    provider: str
    state: PaymentState
    authorized: _common_pb2.Money
    captured: _common_pb2.Money
    reference: str
    refunded: _common_pb2.Money
    def __init__(self, method: _Optional[_Union[PaymentMethod, str]] = ..., provider: _Optional[str] = ..., state: _Optional[_Union[PaymentState, str]] = ..., authorized: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., captured: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., reference: _Optional[str] = ..., refunded: _Optional[_Union[_common_pb2.Money, _Mapping]] = ...) -> None: ...

class OrderLine(_message.Message):
    __slots__ = ("id", "menu_item_id", "quantity", "notes", "name", "unit_price", "status", "modifiers", "remake_of", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODIFIERS_FIELD_NUMBER: _ClassVar[int]
    REMAKE_OF_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    menu_item_id: str
    quantity: int
    notes: str
    name: str
    unit_price: _common_pb2.Money
    status: LineStatus
    modifiers: _containers.RepeatedCompositeFieldContainer[OrderModifier]
    remake_of: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., menu_item_id: _Optional[str] = ..., quantity: _Optional[int] = ..., notes: _Optional[str] = ..., name: _Optional[str] = ..., unit_price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., status: _Optional[_Union[LineStatus, str]] = ..., modifiers: _Optional[_Iterable[_Union[OrderModifier, _Mapping]]] = ..., remake_of: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("id", "site_id", "number", "status", "saga_state", "channel", "lines", "total", "payment_method", "customer_name", "notes", "cancel_reason", "rejection", "placed_by", "version", "placed_at", "updated_at", "station_id", "assigned_to", "customer_id", "bulk_id", "group_id", "group_code", "payment", "business_day", "saga_error", "pos_status", "pos_reference")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SAGA_STATE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHOD_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REASON_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    PLACED_BY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PLACED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_TO_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    BULK_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_CODE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_DAY_FIELD_NUMBER: _ClassVar[int]
    SAGA_ERROR_FIELD_NUMBER: _ClassVar[int]
    POS_STATUS_FIELD_NUMBER: _ClassVar[int]
    POS_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    number: int
    status: OrderStatus
    saga_state: SagaState
    channel: Channel
    lines: _containers.RepeatedCompositeFieldContainer[OrderLine]
    total: _common_pb2.Money
    payment_method: PaymentMethod
    customer_name: str
    notes: str
    cancel_reason: str
    rejection: str
    placed_by: str
    version: int
    placed_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    station_id: str
    assigned_to: str
    customer_id: str
    bulk_id: str
    group_id: str
    group_code: str
    payment: Payment
    business_day: str
    saga_error: str
    pos_status: PosStatus
    pos_reference: str
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., number: _Optional[int] = ..., status: _Optional[_Union[OrderStatus, str]] = ..., saga_state: _Optional[_Union[SagaState, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., lines: _Optional[_Iterable[_Union[OrderLine, _Mapping]]] = ..., total: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., payment_method: _Optional[_Union[PaymentMethod, str]] = ..., customer_name: _Optional[str] = ..., notes: _Optional[str] = ..., cancel_reason: _Optional[str] = ..., rejection: _Optional[str] = ..., placed_by: _Optional[str] = ..., version: _Optional[int] = ..., placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., station_id: _Optional[str] = ..., assigned_to: _Optional[str] = ..., customer_id: _Optional[str] = ..., bulk_id: _Optional[str] = ..., group_id: _Optional[str] = ..., group_code: _Optional[str] = ..., payment: _Optional[_Union[Payment, _Mapping]] = ..., business_day: _Optional[str] = ..., saga_error: _Optional[str] = ..., pos_status: _Optional[_Union[PosStatus, str]] = ..., pos_reference: _Optional[str] = ...) -> None: ...

class PlaceOrderRequest(_message.Message):
    __slots__ = ("id", "site_id", "lines", "payment_method", "customer_name", "notes", "station_id", "customer_id", "payment_token")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHOD_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    lines: _containers.RepeatedCompositeFieldContainer[OrderLine]
    payment_method: PaymentMethod
    customer_name: str
    notes: str
    station_id: str
    customer_id: str
    payment_token: str
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[OrderLine, _Mapping]]] = ..., payment_method: _Optional[_Union[PaymentMethod, str]] = ..., customer_name: _Optional[str] = ..., notes: _Optional[str] = ..., station_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., payment_token: _Optional[str] = ...) -> None: ...

class PlaceKioskOrderRequest(_message.Message):
    __slots__ = ("catalog_id", "id", "lines", "payment_method", "customer_name", "notes", "station_id", "customer_id", "payment_token")
    CATALOG_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHOD_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_NAME_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    catalog_id: str
    id: str
    lines: _containers.RepeatedCompositeFieldContainer[OrderLine]
    payment_method: PaymentMethod
    customer_name: str
    notes: str
    station_id: str
    customer_id: str
    payment_token: str
    def __init__(self, catalog_id: _Optional[str] = ..., id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[OrderLine, _Mapping]]] = ..., payment_method: _Optional[_Union[PaymentMethod, str]] = ..., customer_name: _Optional[str] = ..., notes: _Optional[str] = ..., station_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., payment_token: _Optional[str] = ...) -> None: ...

class ListOrdersRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "status", "site_id", "channel", "date_from", "date_to", "saga_state", "assigned_to", "station_id", "bulk_id", "group_code", "customer_id", "q")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    DATE_FROM_FIELD_NUMBER: _ClassVar[int]
    DATE_TO_FIELD_NUMBER: _ClassVar[int]
    SAGA_STATE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_TO_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    BULK_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_CODE_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    status: _containers.RepeatedScalarFieldContainer[OrderStatus]
    site_id: str
    channel: Channel
    date_from: _timestamp_pb2.Timestamp
    date_to: _timestamp_pb2.Timestamp
    saga_state: SagaState
    assigned_to: str
    station_id: str
    bulk_id: str
    group_code: str
    customer_id: str
    q: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., status: _Optional[_Iterable[_Union[OrderStatus, str]]] = ..., site_id: _Optional[str] = ..., channel: _Optional[_Union[Channel, str]] = ..., date_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., date_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., saga_state: _Optional[_Union[SagaState, str]] = ..., assigned_to: _Optional[str] = ..., station_id: _Optional[str] = ..., bulk_id: _Optional[str] = ..., group_code: _Optional[str] = ..., customer_id: _Optional[str] = ..., q: _Optional[str] = ...) -> None: ...

class ListOrdersResponse(_message.Message):
    __slots__ = ("orders", "next_cursor")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    next_cursor: str
    def __init__(self, orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetQueueRequest(_message.Message):
    __slots__ = ("site_id", "station_id", "status")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    station_id: str
    status: _containers.RepeatedScalarFieldContainer[OrderStatus]
    def __init__(self, site_id: _Optional[str] = ..., station_id: _Optional[str] = ..., status: _Optional[_Iterable[_Union[OrderStatus, str]]] = ...) -> None: ...

class Queue(_message.Message):
    __slots__ = ("site_id", "orders", "places", "as_of")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    places: _containers.RepeatedCompositeFieldContainer[QueuePlace]
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, site_id: _Optional[str] = ..., orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., places: _Optional[_Iterable[_Union[QueuePlace, _Mapping]]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class QueuePlace(_message.Message):
    __slots__ = ("order_id", "ahead", "age_s")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    ahead: int
    age_s: int
    def __init__(self, order_id: _Optional[str] = ..., ahead: _Optional[int] = ..., age_s: _Optional[int] = ...) -> None: ...

class GetOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UpdateOrderRequest(_message.Message):
    __slots__ = ("id", "order", "update_mask")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    order: Order
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, id: _Optional[str] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class CancelOrderRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AssignOrderRequest(_message.Message):
    __slots__ = ("id", "user_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: str
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class RetryOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListOrderEventsRequest(_message.Message):
    __slots__ = ("id", "page_size", "cursor")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    page_size: int
    cursor: str
    def __init__(self, id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class OrderEvent(_message.Message):
    __slots__ = ("sequence", "type", "actor", "channel", "detail", "occurred_at", "subject", "line_id", "from_status", "to_status", "recorded_at")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_STATUS_FIELD_NUMBER: _ClassVar[int]
    TO_STATUS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    type: str
    actor: str
    channel: Channel
    detail: str
    occurred_at: _timestamp_pb2.Timestamp
    subject: str
    line_id: str
    from_status: str
    to_status: str
    recorded_at: _timestamp_pb2.Timestamp
    def __init__(self, sequence: _Optional[int] = ..., type: _Optional[str] = ..., actor: _Optional[str] = ..., channel: _Optional[_Union[Channel, str]] = ..., detail: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subject: _Optional[str] = ..., line_id: _Optional[str] = ..., from_status: _Optional[str] = ..., to_status: _Optional[str] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListOrderEventsResponse(_message.Message):
    __slots__ = ("events", "next_cursor")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[OrderEvent]
    next_cursor: str
    def __init__(self, events: _Optional[_Iterable[_Union[OrderEvent, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
