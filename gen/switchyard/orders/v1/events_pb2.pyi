from switchyard.orders.v1 import bulk_pb2 as _bulk_pb2
from switchyard.orders.v1 import groups_pb2 as _groups_pb2
from switchyard.orders.v1 import orders_pb2 as _orders_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderPlaced(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ...) -> None: ...

class OrderStatusChanged(_message.Message):
    __slots__ = ("order", "from_status")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FROM_STATUS_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    from_status: _orders_pb2.OrderStatus
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ..., from_status: _Optional[_Union[_orders_pb2.OrderStatus, str]] = ...) -> None: ...

class OrderAssigned(_message.Message):
    __slots__ = ("order", "from_user_id")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FROM_USER_ID_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    from_user_id: str
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ..., from_user_id: _Optional[str] = ...) -> None: ...

class OrderUpdated(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ...) -> None: ...

class OrderLineChanged(_message.Message):
    __slots__ = ("order", "line_id", "from_status")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_STATUS_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    line_id: str
    from_status: _orders_pb2.LineStatus
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ..., line_id: _Optional[str] = ..., from_status: _Optional[_Union[_orders_pb2.LineStatus, str]] = ...) -> None: ...

class BulkOrderProgressed(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: _bulk_pb2.BulkOrderProgress
    def __init__(self, progress: _Optional[_Union[_bulk_pb2.BulkOrderProgress, _Mapping]] = ...) -> None: ...

class GroupOrderCreated(_message.Message):
    __slots__ = ("group_order",)
    GROUP_ORDER_FIELD_NUMBER: _ClassVar[int]
    group_order: _groups_pb2.GroupOrder
    def __init__(self, group_order: _Optional[_Union[_groups_pb2.GroupOrder, _Mapping]] = ...) -> None: ...

class GroupOrderUpdated(_message.Message):
    __slots__ = ("group_order",)
    GROUP_ORDER_FIELD_NUMBER: _ClassVar[int]
    group_order: _groups_pb2.GroupOrder
    def __init__(self, group_order: _Optional[_Union[_groups_pb2.GroupOrder, _Mapping]] = ...) -> None: ...

class OrderConfirmed(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ...) -> None: ...

class OrderPosStatusChanged(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: _orders_pb2.Order
    def __init__(self, order: _Optional[_Union[_orders_pb2.Order, _Mapping]] = ...) -> None: ...

class PosConnectionChanged(_message.Message):
    __slots__ = ("site_id", "enabled")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    enabled: bool
    def __init__(self, site_id: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class OrdersImported(_message.Message):
    __slots__ = ("site_id", "order_ids")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_IDS_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    order_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, site_id: _Optional[str] = ..., order_ids: _Optional[_Iterable[str]] = ...) -> None: ...
