import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
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

class Unit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_UNSPECIFIED: _ClassVar[Unit]
    UNIT_EACH: _ClassVar[Unit]
    UNIT_G: _ClassVar[Unit]
    UNIT_ML: _ClassVar[Unit]

class BatchStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BATCH_STATUS_UNSPECIFIED: _ClassVar[BatchStatus]
    BATCH_STATUS_AVAILABLE: _ClassVar[BatchStatus]
    BATCH_STATUS_QUARANTINED: _ClassVar[BatchStatus]
    BATCH_STATUS_RECALLED: _ClassVar[BatchStatus]

class MovementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOVEMENT_TYPE_UNSPECIFIED: _ClassVar[MovementType]
    MOVEMENT_TYPE_RECEIVE: _ClassVar[MovementType]
    MOVEMENT_TYPE_DEDUCT: _ClassVar[MovementType]
    MOVEMENT_TYPE_ADJUST: _ClassVar[MovementType]
    MOVEMENT_TYPE_WASTE: _ClassVar[MovementType]
    MOVEMENT_TYPE_SALE: _ClassVar[MovementType]
    MOVEMENT_TYPE_TRANSFER: _ClassVar[MovementType]
    MOVEMENT_TYPE_COUNT: _ClassVar[MovementType]
UNIT_UNSPECIFIED: Unit
UNIT_EACH: Unit
UNIT_G: Unit
UNIT_ML: Unit
BATCH_STATUS_UNSPECIFIED: BatchStatus
BATCH_STATUS_AVAILABLE: BatchStatus
BATCH_STATUS_QUARANTINED: BatchStatus
BATCH_STATUS_RECALLED: BatchStatus
MOVEMENT_TYPE_UNSPECIFIED: MovementType
MOVEMENT_TYPE_RECEIVE: MovementType
MOVEMENT_TYPE_DEDUCT: MovementType
MOVEMENT_TYPE_ADJUST: MovementType
MOVEMENT_TYPE_WASTE: MovementType
MOVEMENT_TYPE_SALE: MovementType
MOVEMENT_TYPE_TRANSFER: MovementType
MOVEMENT_TYPE_COUNT: MovementType

class DisplayUnit(_message.Message):
    __slots__ = ("name", "factor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    factor: int
    def __init__(self, name: _Optional[str] = ..., factor: _Optional[int] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("id", "sku", "name", "category", "supplier", "unit", "low_stock_threshold", "on_hand", "reserved", "available", "version", "created_at", "updated_at", "allow_backorder", "display_unit", "quarantined", "expired", "incoming", "wasted")
    ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LOW_STOCK_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    ALLOW_BACKORDER_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_UNIT_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    WASTED_FIELD_NUMBER: _ClassVar[int]
    id: str
    sku: str
    name: str
    category: str
    supplier: str
    unit: Unit
    low_stock_threshold: int
    on_hand: int
    reserved: int
    available: int
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    allow_backorder: bool
    display_unit: DisplayUnit
    quarantined: int
    expired: int
    incoming: int
    wasted: int
    def __init__(self, id: _Optional[str] = ..., sku: _Optional[str] = ..., name: _Optional[str] = ..., category: _Optional[str] = ..., supplier: _Optional[str] = ..., unit: _Optional[_Union[Unit, str]] = ..., low_stock_threshold: _Optional[int] = ..., on_hand: _Optional[int] = ..., reserved: _Optional[int] = ..., available: _Optional[int] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., allow_backorder: _Optional[bool] = ..., display_unit: _Optional[_Union[DisplayUnit, _Mapping]] = ..., quarantined: _Optional[int] = ..., expired: _Optional[int] = ..., incoming: _Optional[int] = ..., wasted: _Optional[int] = ...) -> None: ...

class ListItemsRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "sku", "category", "supplier", "q", "low_stock", "expiring_within")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    LOW_STOCK_FIELD_NUMBER: _ClassVar[int]
    EXPIRING_WITHIN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    sku: str
    category: str
    supplier: str
    q: str
    low_stock: bool
    expiring_within: int
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., sku: _Optional[str] = ..., category: _Optional[str] = ..., supplier: _Optional[str] = ..., q: _Optional[str] = ..., low_stock: _Optional[bool] = ..., expiring_within: _Optional[int] = ...) -> None: ...

class ListItemsResponse(_message.Message):
    __slots__ = ("items", "next_cursor")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    next_cursor: str
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class CreateItemRequest(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: Item
    def __init__(self, item: _Optional[_Union[Item, _Mapping]] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UpdateItemRequest(_message.Message):
    __slots__ = ("id", "item", "update_mask")
    ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    item: Item
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, id: _Optional[str] = ..., item: _Optional[_Union[Item, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeleteItemRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "item_id", "site_id", "lot", "quantity", "expires_at", "on_hand", "reserved", "status", "received_at", "reason", "version", "at_stations")
    ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_STATIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    item_id: str
    site_id: str
    lot: str
    quantity: int
    expires_at: _timestamp_pb2.Timestamp
    on_hand: int
    reserved: int
    status: BatchStatus
    received_at: _timestamp_pb2.Timestamp
    reason: str
    version: int
    at_stations: int
    def __init__(self, id: _Optional[str] = ..., item_id: _Optional[str] = ..., site_id: _Optional[str] = ..., lot: _Optional[str] = ..., quantity: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., on_hand: _Optional[int] = ..., reserved: _Optional[int] = ..., status: _Optional[_Union[BatchStatus, str]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., version: _Optional[int] = ..., at_stations: _Optional[int] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ("item_id", "page_size", "cursor", "site_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    page_size: int
    cursor: str
    site_id: str
    def __init__(self, item_id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., site_id: _Optional[str] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches", "next_cursor")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    next_cursor: str
    def __init__(self, batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class CreateBatchRequest(_message.Message):
    __slots__ = ("item_id", "batch")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    batch: Batch
    def __init__(self, item_id: _Optional[str] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class SearchBatchesRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "site_id", "item_id", "status", "expiring_within", "empty")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRING_WITHIN_FIELD_NUMBER: _ClassVar[int]
    EMPTY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    site_id: str
    item_id: str
    status: BatchStatus
    expiring_within: int
    empty: bool
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., site_id: _Optional[str] = ..., item_id: _Optional[str] = ..., status: _Optional[_Union[BatchStatus, str]] = ..., expiring_within: _Optional[int] = ..., empty: _Optional[bool] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UpdateBatchRequest(_message.Message):
    __slots__ = ("id", "batch", "update_mask")
    ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    batch: Batch
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, id: _Optional[str] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class Movement(_message.Message):
    __slots__ = ("id", "item_id", "type", "quantity", "site_id", "batch_id", "reason", "balance_after", "order_id", "recorded_at", "station_id", "to_station_id", "to_site_id", "change_from_quantity", "delta", "reversal_of", "reversed", "entry_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BALANCE_AFTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    TO_STATION_ID_FIELD_NUMBER: _ClassVar[int]
    TO_SITE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FROM_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    REVERSAL_OF_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    item_id: str
    type: MovementType
    quantity: int
    site_id: str
    batch_id: str
    reason: str
    balance_after: int
    order_id: str
    recorded_at: _timestamp_pb2.Timestamp
    station_id: str
    to_station_id: str
    to_site_id: str
    change_from_quantity: int
    delta: int
    reversal_of: str
    reversed: bool
    entry_id: str
    def __init__(self, id: _Optional[str] = ..., item_id: _Optional[str] = ..., type: _Optional[_Union[MovementType, str]] = ..., quantity: _Optional[int] = ..., site_id: _Optional[str] = ..., batch_id: _Optional[str] = ..., reason: _Optional[str] = ..., balance_after: _Optional[int] = ..., order_id: _Optional[str] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., station_id: _Optional[str] = ..., to_station_id: _Optional[str] = ..., to_site_id: _Optional[str] = ..., change_from_quantity: _Optional[int] = ..., delta: _Optional[int] = ..., reversal_of: _Optional[str] = ..., reversed: _Optional[bool] = ..., entry_id: _Optional[str] = ...) -> None: ...

class ListMovementsRequest(_message.Message):
    __slots__ = ("item_id", "page_size", "cursor", "site_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    page_size: int
    cursor: str
    site_id: str
    def __init__(self, item_id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., site_id: _Optional[str] = ...) -> None: ...

class ListMovementsResponse(_message.Message):
    __slots__ = ("movements", "next_cursor")
    MOVEMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    movements: _containers.RepeatedCompositeFieldContainer[Movement]
    next_cursor: str
    def __init__(self, movements: _Optional[_Iterable[_Union[Movement, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class SearchMovementsRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "item_id", "site_id", "station_id", "batch_id", "type", "order_id", "date_from", "date_to")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    DATE_FROM_FIELD_NUMBER: _ClassVar[int]
    DATE_TO_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    item_id: str
    site_id: str
    station_id: str
    batch_id: str
    type: MovementType
    order_id: str
    date_from: _timestamp_pb2.Timestamp
    date_to: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., item_id: _Optional[str] = ..., site_id: _Optional[str] = ..., station_id: _Optional[str] = ..., batch_id: _Optional[str] = ..., type: _Optional[_Union[MovementType, str]] = ..., order_id: _Optional[str] = ..., date_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., date_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetMovementRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ReverseMovementRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CreateMovementRequest(_message.Message):
    __slots__ = ("item_id", "movement")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    MOVEMENT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    movement: Movement
    def __init__(self, item_id: _Optional[str] = ..., movement: _Optional[_Union[Movement, _Mapping]] = ...) -> None: ...

class VerifyLedgerRequest(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    def __init__(self, item_id: _Optional[str] = ...) -> None: ...

class LedgerVerification(_message.Message):
    __slots__ = ("consistent", "ledger_quantity", "balance_quantity", "movements", "reserved_by_reservations", "reserved_in_balances", "ledger_at_stations", "at_stations")
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    LEDGER_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    BALANCE_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    MOVEMENTS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BY_RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_IN_BALANCES_FIELD_NUMBER: _ClassVar[int]
    LEDGER_AT_STATIONS_FIELD_NUMBER: _ClassVar[int]
    AT_STATIONS_FIELD_NUMBER: _ClassVar[int]
    consistent: bool
    ledger_quantity: int
    balance_quantity: int
    movements: int
    reserved_by_reservations: int
    reserved_in_balances: int
    ledger_at_stations: int
    at_stations: int
    def __init__(self, consistent: _Optional[bool] = ..., ledger_quantity: _Optional[int] = ..., balance_quantity: _Optional[int] = ..., movements: _Optional[int] = ..., reserved_by_reservations: _Optional[int] = ..., reserved_in_balances: _Optional[int] = ..., ledger_at_stations: _Optional[int] = ..., at_stations: _Optional[int] = ...) -> None: ...
