import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.inventory.v1 import inventory_pb2 as _inventory_pb2
from switchyard.inventory.v1 import restock_pb2 as _restock_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ItemCreated(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: _inventory_pb2.Item
    def __init__(self, item: _Optional[_Union[_inventory_pb2.Item, _Mapping]] = ...) -> None: ...

class ItemUpdated(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: _inventory_pb2.Item
    def __init__(self, item: _Optional[_Union[_inventory_pb2.Item, _Mapping]] = ...) -> None: ...

class StockMoved(_message.Message):
    __slots__ = ("item_id", "sku", "site_id", "on_hand", "reserved", "available", "order_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    sku: str
    site_id: str
    on_hand: int
    reserved: int
    available: int
    order_id: str
    def __init__(self, item_id: _Optional[str] = ..., sku: _Optional[str] = ..., site_id: _Optional[str] = ..., on_hand: _Optional[int] = ..., reserved: _Optional[int] = ..., available: _Optional[int] = ..., order_id: _Optional[str] = ...) -> None: ...

class StockDepleted(_message.Message):
    __slots__ = ("item_id", "sku", "site_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    sku: str
    site_id: str
    def __init__(self, item_id: _Optional[str] = ..., sku: _Optional[str] = ..., site_id: _Optional[str] = ...) -> None: ...

class LowStock(_message.Message):
    __slots__ = ("item_id", "sku", "site_id", "available", "threshold")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    sku: str
    site_id: str
    available: int
    threshold: int
    def __init__(self, item_id: _Optional[str] = ..., sku: _Optional[str] = ..., site_id: _Optional[str] = ..., available: _Optional[int] = ..., threshold: _Optional[int] = ...) -> None: ...

class StationStockMoved(_message.Message):
    __slots__ = ("item_id", "sku", "site_id", "station_id", "on_hand")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    sku: str
    site_id: str
    station_id: str
    on_hand: int
    def __init__(self, item_id: _Optional[str] = ..., sku: _Optional[str] = ..., site_id: _Optional[str] = ..., station_id: _Optional[str] = ..., on_hand: _Optional[int] = ...) -> None: ...

class BatchStatusChanged(_message.Message):
    __slots__ = ("batch", "sku")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    batch: _inventory_pb2.Batch
    sku: str
    def __init__(self, batch: _Optional[_Union[_inventory_pb2.Batch, _Mapping]] = ..., sku: _Optional[str] = ...) -> None: ...

class BatchExpiring(_message.Message):
    __slots__ = ("batch_id", "lot", "item_id", "sku", "site_id", "on_hand", "expires_at", "within_days")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ON_HAND_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    WITHIN_DAYS_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    lot: str
    item_id: str
    sku: str
    site_id: str
    on_hand: int
    expires_at: _timestamp_pb2.Timestamp
    within_days: int
    def __init__(self, batch_id: _Optional[str] = ..., lot: _Optional[str] = ..., item_id: _Optional[str] = ..., sku: _Optional[str] = ..., site_id: _Optional[str] = ..., on_hand: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., within_days: _Optional[int] = ...) -> None: ...

class MenuItemSoldOut(_message.Message):
    __slots__ = ("menu_item_id", "sold_out", "site_id", "reason")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    sold_out: bool
    site_id: str
    reason: str
    def __init__(self, menu_item_id: _Optional[str] = ..., sold_out: _Optional[bool] = ..., site_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ReservationExpired(_message.Message):
    __slots__ = ("order_id", "site_id", "line_ids")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_IDS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    site_id: str
    line_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, order_id: _Optional[str] = ..., site_id: _Optional[str] = ..., line_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class MenuItemCreated(_message.Message):
    __slots__ = ("menu_item_id", "name", "version")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    name: str
    version: int
    def __init__(self, menu_item_id: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class MenuItemUpdated(_message.Message):
    __slots__ = ("menu_item_id", "name", "version")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    name: str
    version: int
    def __init__(self, menu_item_id: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class MenuItemDeleted(_message.Message):
    __slots__ = ("menu_item_id",)
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    def __init__(self, menu_item_id: _Optional[str] = ...) -> None: ...

class MenuItemSiteUpdated(_message.Message):
    __slots__ = ("menu_item_id", "site_id", "available", "version")
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    menu_item_id: str
    site_id: str
    available: bool
    version: int
    def __init__(self, menu_item_id: _Optional[str] = ..., site_id: _Optional[str] = ..., available: _Optional[bool] = ..., version: _Optional[int] = ...) -> None: ...

class RestockPlanChanged(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: _restock_pb2.RestockPlan
    def __init__(self, plan: _Optional[_Union[_restock_pb2.RestockPlan, _Mapping]] = ...) -> None: ...

class ItemsImported(_message.Message):
    __slots__ = ("import_id", "created", "updated", "rejected")
    IMPORT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    import_id: str
    created: int
    updated: int
    rejected: int
    def __init__(self, import_id: _Optional[str] = ..., created: _Optional[int] = ..., updated: _Optional[int] = ..., rejected: _Optional[int] = ...) -> None: ...

class WebhookEndpointChanged(_message.Message):
    __slots__ = ("site_id", "provider", "deleted")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: str
    deleted: bool
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[str] = ..., deleted: _Optional[bool] = ...) -> None: ...
