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

class ReservationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESERVATION_STATE_UNSPECIFIED: _ClassVar[ReservationState]
    RESERVATION_STATE_ACTIVE: _ClassVar[ReservationState]
    RESERVATION_STATE_PARTIALLY_POSTED: _ClassVar[ReservationState]
    RESERVATION_STATE_POSTED: _ClassVar[ReservationState]
    RESERVATION_STATE_RELEASED: _ClassVar[ReservationState]
    RESERVATION_STATE_EXPIRED: _ClassVar[ReservationState]
RESERVATION_STATE_UNSPECIFIED: ReservationState
RESERVATION_STATE_ACTIVE: ReservationState
RESERVATION_STATE_PARTIALLY_POSTED: ReservationState
RESERVATION_STATE_POSTED: ReservationState
RESERVATION_STATE_RELEASED: ReservationState
RESERVATION_STATE_EXPIRED: ReservationState

class ChosenModifier(_message.Message):
    __slots__ = ("option_id", "quantity")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    quantity: int
    def __init__(self, option_id: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class ReserveLine(_message.Message):
    __slots__ = ("line_id", "menu_item_id", "quantity", "modifiers")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    MODIFIERS_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    menu_item_id: str
    quantity: int
    modifiers: _containers.RepeatedCompositeFieldContainer[ChosenModifier]
    def __init__(self, line_id: _Optional[str] = ..., menu_item_id: _Optional[str] = ..., quantity: _Optional[int] = ..., modifiers: _Optional[_Iterable[_Union[ChosenModifier, _Mapping]]] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("order_id", "site_id", "lines", "station_id", "renews")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    RENEWS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    site_id: str
    lines: _containers.RepeatedCompositeFieldContainer[ReserveLine]
    station_id: str
    renews: bool
    def __init__(self, order_id: _Optional[str] = ..., site_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ReserveLine, _Mapping]]] = ..., station_id: _Optional[str] = ..., renews: _Optional[bool] = ...) -> None: ...

class PricedLine(_message.Message):
    __slots__ = ("line_id", "menu_item_id", "name", "quantity", "unit_price", "modifiers", "state")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    MENU_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    MODIFIERS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    menu_item_id: str
    name: str
    quantity: int
    unit_price: _common_pb2.Money
    modifiers: _containers.RepeatedCompositeFieldContainer[PricedModifier]
    state: ReservationState
    def __init__(self, line_id: _Optional[str] = ..., menu_item_id: _Optional[str] = ..., name: _Optional[str] = ..., quantity: _Optional[int] = ..., unit_price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., modifiers: _Optional[_Iterable[_Union[PricedModifier, _Mapping]]] = ..., state: _Optional[_Union[ReservationState, str]] = ...) -> None: ...

class PricedModifier(_message.Message):
    __slots__ = ("option_id", "name", "quantity", "price")
    OPTION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    option_id: str
    name: str
    quantity: int
    price: _common_pb2.Money
    def __init__(self, option_id: _Optional[str] = ..., name: _Optional[str] = ..., quantity: _Optional[int] = ..., price: _Optional[_Union[_common_pb2.Money, _Mapping]] = ...) -> None: ...

class Pick(_message.Message):
    __slots__ = ("item_id", "batch_id", "quantity", "reason", "line_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    batch_id: str
    quantity: int
    reason: str
    line_id: str
    def __init__(self, item_id: _Optional[str] = ..., batch_id: _Optional[str] = ..., quantity: _Optional[int] = ..., reason: _Optional[str] = ..., line_id: _Optional[str] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("order_id", "site_id", "state", "lines", "picks", "expires_at")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    PICKS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    site_id: str
    state: ReservationState
    lines: _containers.RepeatedCompositeFieldContainer[PricedLine]
    picks: _containers.RepeatedCompositeFieldContainer[Pick]
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, order_id: _Optional[str] = ..., site_id: _Optional[str] = ..., state: _Optional[_Union[ReservationState, str]] = ..., lines: _Optional[_Iterable[_Union[PricedLine, _Mapping]]] = ..., picks: _Optional[_Iterable[_Union[Pick, _Mapping]]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PostReservationRequest(_message.Message):
    __slots__ = ("order_id", "line_ids")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_IDS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    line_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, order_id: _Optional[str] = ..., line_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseReservationRequest(_message.Message):
    __slots__ = ("order_id", "line_ids")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_IDS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    line_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, order_id: _Optional[str] = ..., line_ids: _Optional[_Iterable[str]] = ...) -> None: ...
