from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from switchyard.orders.v1 import orders_pb2 as _orders_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LineChange(_message.Message):
    __slots__ = ("status", "notes", "reason")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: _orders_pb2.LineStatus
    notes: str
    reason: str
    def __init__(self, status: _Optional[_Union[_orders_pb2.LineStatus, str]] = ..., notes: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class UpdateLineRequest(_message.Message):
    __slots__ = ("id", "line_id", "line", "update_mask")
    ID_FIELD_NUMBER: _ClassVar[int]
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    line_id: str
    line: LineChange
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, id: _Optional[str] = ..., line_id: _Optional[str] = ..., line: _Optional[_Union[LineChange, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class RemakeLineRequest(_message.Message):
    __slots__ = ("id", "line_id", "reason", "quantity")
    ID_FIELD_NUMBER: _ClassVar[int]
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    line_id: str
    reason: str
    quantity: int
    def __init__(self, id: _Optional[str] = ..., line_id: _Optional[str] = ..., reason: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class AddLinesRequest(_message.Message):
    __slots__ = ("id", "lines")
    ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    id: str
    lines: _containers.RepeatedCompositeFieldContainer[_orders_pb2.OrderLine]
    def __init__(self, id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_orders_pb2.OrderLine, _Mapping]]] = ...) -> None: ...
