import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.common.v1 import http_pb2 as _http_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CountStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COUNT_STATUS_UNSPECIFIED: _ClassVar[CountStatus]
    COUNT_STATUS_APPLIED: _ClassVar[CountStatus]
    COUNT_STATUS_UNCHANGED: _ClassVar[CountStatus]
    COUNT_STATUS_STALE: _ClassVar[CountStatus]
    COUNT_STATUS_UNKNOWN_SKU: _ClassVar[CountStatus]
    COUNT_STATUS_REFUSED: _ClassVar[CountStatus]
    COUNT_STATUS_IGNORED: _ClassVar[CountStatus]

class DeliveryStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_STATUS_UNSPECIFIED: _ClassVar[DeliveryStatus]
    DELIVERY_STATUS_APPLIED: _ClassVar[DeliveryStatus]
    DELIVERY_STATUS_UNCHANGED: _ClassVar[DeliveryStatus]
    DELIVERY_STATUS_PARTIAL: _ClassVar[DeliveryStatus]
    DELIVERY_STATUS_FAILED: _ClassVar[DeliveryStatus]
    DELIVERY_STATUS_IGNORED: _ClassVar[DeliveryStatus]
COUNT_STATUS_UNSPECIFIED: CountStatus
COUNT_STATUS_APPLIED: CountStatus
COUNT_STATUS_UNCHANGED: CountStatus
COUNT_STATUS_STALE: CountStatus
COUNT_STATUS_UNKNOWN_SKU: CountStatus
COUNT_STATUS_REFUSED: CountStatus
COUNT_STATUS_IGNORED: CountStatus
DELIVERY_STATUS_UNSPECIFIED: DeliveryStatus
DELIVERY_STATUS_APPLIED: DeliveryStatus
DELIVERY_STATUS_UNCHANGED: DeliveryStatus
DELIVERY_STATUS_PARTIAL: DeliveryStatus
DELIVERY_STATUS_FAILED: DeliveryStatus
DELIVERY_STATUS_IGNORED: DeliveryStatus

class StockWebhook(_message.Message):
    __slots__ = ("type", "timestamp", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    timestamp: _timestamp_pb2.Timestamp
    data: StockCounts
    def __init__(self, type: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[StockCounts, _Mapping]] = ...) -> None: ...

class StockCounts(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[StockCount]
    def __init__(self, counts: _Optional[_Iterable[_Union[StockCount, _Mapping]]] = ...) -> None: ...

class StockCount(_message.Message):
    __slots__ = ("sku", "quantity", "occurred_at")
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    sku: str
    quantity: int
    occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, sku: _Optional[str] = ..., quantity: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SquareWebhook(_message.Message):
    __slots__ = ("type", "event_id", "created_at", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    event_id: str
    created_at: _timestamp_pb2.Timestamp
    data: SquareData
    def __init__(self, type: _Optional[str] = ..., event_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[SquareData, _Mapping]] = ...) -> None: ...

class SquareData(_message.Message):
    __slots__ = ("object",)
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    object: SquareObject
    def __init__(self, object: _Optional[_Union[SquareObject, _Mapping]] = ...) -> None: ...

class SquareObject(_message.Message):
    __slots__ = ("inventory_counts",)
    INVENTORY_COUNTS_FIELD_NUMBER: _ClassVar[int]
    inventory_counts: _containers.RepeatedCompositeFieldContainer[SquareCount]
    def __init__(self, inventory_counts: _Optional[_Iterable[_Union[SquareCount, _Mapping]]] = ...) -> None: ...

class SquareCount(_message.Message):
    __slots__ = ("catalog_object_id", "location_id", "state", "quantity", "calculated_at")
    CATALOG_OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    LOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CALCULATED_AT_FIELD_NUMBER: _ClassVar[int]
    catalog_object_id: str
    location_id: str
    state: str
    quantity: str
    calculated_at: _timestamp_pb2.Timestamp
    def __init__(self, catalog_object_id: _Optional[str] = ..., location_id: _Optional[str] = ..., state: _Optional[str] = ..., quantity: _Optional[str] = ..., calculated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CountResult(_message.Message):
    __slots__ = ("sku", "status", "reason", "on_hand")
    SKU_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    sku: str
    status: CountStatus
    reason: str
    on_hand: int
    def __init__(self, sku: _Optional[str] = ..., status: _Optional[_Union[CountStatus, str]] = ..., reason: _Optional[str] = ..., on_hand: _Optional[int] = ...) -> None: ...

class WebhookAnswer(_message.Message):
    __slots__ = ("event_id", "status", "duplicate", "results")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    status: DeliveryStatus
    duplicate: bool
    results: _containers.RepeatedCompositeFieldContainer[CountResult]
    def __init__(self, event_id: _Optional[str] = ..., status: _Optional[_Union[DeliveryStatus, str]] = ..., duplicate: _Optional[bool] = ..., results: _Optional[_Iterable[_Union[CountResult, _Mapping]]] = ...) -> None: ...

class WebhookDelivery(_message.Message):
    __slots__ = ("id", "site_id", "provider", "event_id", "type", "status", "reason", "results", "received_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    provider: str
    event_id: str
    type: str
    status: DeliveryStatus
    reason: str
    results: _containers.RepeatedCompositeFieldContainer[CountResult]
    received_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., provider: _Optional[str] = ..., event_id: _Optional[str] = ..., type: _Optional[str] = ..., status: _Optional[_Union[DeliveryStatus, str]] = ..., reason: _Optional[str] = ..., results: _Optional[_Iterable[_Union[CountResult, _Mapping]]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WebhookEndpoint(_message.Message):
    __slots__ = ("site_id", "provider", "secret", "path", "notification_url", "location_id", "skus", "previous_secret_until", "version", "created_at", "updated_at")
    class SkusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATION_URL_FIELD_NUMBER: _ClassVar[int]
    LOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    SKUS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SECRET_UNTIL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: str
    secret: str
    path: str
    notification_url: str
    location_id: str
    skus: _containers.ScalarMap[str, str]
    previous_secret_until: _timestamp_pb2.Timestamp
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[str] = ..., secret: _Optional[str] = ..., path: _Optional[str] = ..., notification_url: _Optional[str] = ..., location_id: _Optional[str] = ..., skus: _Optional[_Mapping[str, str]] = ..., previous_secret_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListWebhookEndpointsRequest(_message.Message):
    __slots__ = ("page_size", "cursor")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListWebhookEndpointsResponse(_message.Message):
    __slots__ = ("webhook_endpoints", "next_cursor")
    WEBHOOK_ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    webhook_endpoints: _containers.RepeatedCompositeFieldContainer[WebhookEndpoint]
    next_cursor: str
    def __init__(self, webhook_endpoints: _Optional[_Iterable[_Union[WebhookEndpoint, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetWebhookEndpointRequest(_message.Message):
    __slots__ = ("site_id", "provider")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: str
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class PutWebhookEndpointRequest(_message.Message):
    __slots__ = ("site_id", "provider", "secret", "rotate_secret", "notification_url", "location_id", "skus")
    class SkusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    ROTATE_SECRET_FIELD_NUMBER: _ClassVar[int]
    NOTIFICATION_URL_FIELD_NUMBER: _ClassVar[int]
    LOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    SKUS_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: str
    secret: str
    rotate_secret: bool
    notification_url: str
    location_id: str
    skus: _containers.ScalarMap[str, str]
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[str] = ..., secret: _Optional[str] = ..., rotate_secret: _Optional[bool] = ..., notification_url: _Optional[str] = ..., location_id: _Optional[str] = ..., skus: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DeleteWebhookEndpointRequest(_message.Message):
    __slots__ = ("site_id", "provider")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: str
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class ListWebhookDeliveriesRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "site_id", "provider", "status")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    site_id: str
    provider: str
    status: DeliveryStatus
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., site_id: _Optional[str] = ..., provider: _Optional[str] = ..., status: _Optional[_Union[DeliveryStatus, str]] = ...) -> None: ...

class ListWebhookDeliveriesResponse(_message.Message):
    __slots__ = ("webhook_deliveries", "next_cursor")
    WEBHOOK_DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    webhook_deliveries: _containers.RepeatedCompositeFieldContainer[WebhookDelivery]
    next_cursor: str
    def __init__(self, webhook_deliveries: _Optional[_Iterable[_Union[WebhookDelivery, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
