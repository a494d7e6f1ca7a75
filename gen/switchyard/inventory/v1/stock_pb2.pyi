from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from switchyard.inventory.v1 import inventory_pb2 as _inventory_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SyncStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SYNC_STATUS_UNSPECIFIED: _ClassVar[SyncStatus]
    SYNC_STATUS_APPLIED: _ClassVar[SyncStatus]
    SYNC_STATUS_UNCHANGED: _ClassVar[SyncStatus]
    SYNC_STATUS_STALE: _ClassVar[SyncStatus]
    SYNC_STATUS_REJECTED: _ClassVar[SyncStatus]
SYNC_STATUS_UNSPECIFIED: SyncStatus
SYNC_STATUS_APPLIED: SyncStatus
SYNC_STATUS_UNCHANGED: SyncStatus
SYNC_STATUS_STALE: SyncStatus
SYNC_STATUS_REJECTED: SyncStatus

class GetStationStockRequest(_message.Message):
    __slots__ = ("station_id", "page_size", "cursor")
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    station_id: str
    page_size: int
    cursor: str
    def __init__(self, station_id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class StationStock(_message.Message):
    __slots__ = ("station_id", "site_id", "items", "next_cursor")
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    station_id: str
    site_id: str
    items: _containers.RepeatedCompositeFieldContainer[StationItem]
    next_cursor: str
    def __init__(self, station_id: _Optional[str] = ..., site_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[StationItem, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class StationItem(_message.Message):
    __slots__ = ("item_id", "sku", "name", "unit", "on_hand", "quarantined", "expired", "available", "site_on_hand", "site_reserved", "site_available", "site_incoming")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SITE_ON_HAND_FIELD_NUMBER: _ClassVar[int]
    SITE_RESERVED_FIELD_NUMBER: _ClassVar[int]
    SITE_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SITE_INCOMING_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    sku: str
    name: str
    unit: _inventory_pb2.Unit
    on_hand: int
    quarantined: int
    expired: int
    available: int
    site_on_hand: int
    site_reserved: int
    site_available: int
    site_incoming: int
    def __init__(self, item_id: _Optional[str] = ..., sku: _Optional[str] = ..., name: _Optional[str] = ..., unit: _Optional[_Union[_inventory_pb2.Unit, str]] = ..., on_hand: _Optional[int] = ..., quarantined: _Optional[int] = ..., expired: _Optional[int] = ..., available: _Optional[int] = ..., site_on_hand: _Optional[int] = ..., site_reserved: _Optional[int] = ..., site_available: _Optional[int] = ..., site_incoming: _Optional[int] = ...) -> None: ...

class SetStationStockRequest(_message.Message):
    __slots__ = ("station_id", "items")
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    station_id: str
    items: _containers.RepeatedCompositeFieldContainer[StationCount]
    def __init__(self, station_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[StationCount, _Mapping]]] = ...) -> None: ...

class StationCount(_message.Message):
    __slots__ = ("item_id", "quantity", "change_from_quantity", "reason")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FROM_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    quantity: int
    change_from_quantity: int
    reason: str
    def __init__(self, item_id: _Optional[str] = ..., quantity: _Optional[int] = ..., change_from_quantity: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class DepleteRequest(_message.Message):
    __slots__ = ("id", "station_id", "order_id", "menu_items", "items", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    MENU_ITEMS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    station_id: str
    order_id: str
    menu_items: _containers.RepeatedCompositeFieldContainer[DepletedMenuItem]
    items: _containers.RepeatedCompositeFieldContainer[DepletedItem]
    reason: str
    def __init__(self, id: _Optional[str] = ..., station_id: _Optional[str] = ..., order_id: _Optional[str] = ..., menu_items: _Optional[_Iterable[_Union[DepletedMenuItem, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[DepletedItem, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class DepletedMenuItem(_message.Message):
    __slots__ = ("menu_item_id", "quantity")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    quantity: int
    def __init__(self, menu_item_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class DepletedItem(_message.Message):
    __slots__ = ("item_id", "quantity")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    quantity: int
    def __init__(self, item_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class Depletion(_message.Message):
    __slots__ = ("id", "station_id", "site_id", "order_id", "movements")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    MOVEMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    station_id: str
    site_id: str
    order_id: str
    movements: _containers.RepeatedCompositeFieldContainer[_inventory_pb2.Movement]
    def __init__(self, id: _Optional[str] = ..., station_id: _Optional[str] = ..., site_id: _Optional[str] = ..., order_id: _Optional[str] = ..., movements: _Optional[_Iterable[_Union[_inventory_pb2.Movement, _Mapping]]] = ...) -> None: ...

class SyncStockRequest(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[SyncRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[SyncRow, _Mapping]]] = ...) -> None: ...

class SyncRow(_message.Message):
    __slots__ = ("station_id", "item_id", "quantity", "change_from_quantity")
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FROM_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    station_id: str
    item_id: str
    quantity: int
    change_from_quantity: int
    def __init__(self, station_id: _Optional[str] = ..., item_id: _Optional[str] = ..., quantity: _Optional[int] = ..., change_from_quantity: _Optional[int] = ...) -> None: ...

class SyncStockResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SyncResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SyncResult, _Mapping]]] = ...) -> None: ...

class SyncResult(_message.Message):
    __slots__ = ("station_id", "item_id", "status", "on_hand", "code")
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    station_id: str
    item_id: str
    status: SyncStatus
    on_hand: int
    code: str
    def __init__(self, station_id: _Optional[str] = ..., item_id: _Optional[str] = ..., status: _Optional[_Union[SyncStatus, str]] = ..., on_hand: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...
