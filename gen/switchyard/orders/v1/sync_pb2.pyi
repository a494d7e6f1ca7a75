import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.common.v1 import common_pb2 as _common_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from switchyard.orders.v1 import orders_pb2 as _orders_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OperationOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_OUTCOME_UNSPECIFIED: _ClassVar[OperationOutcome]
    OPERATION_OUTCOME_APPLIED: _ClassVar[OperationOutcome]
    OPERATION_OUTCOME_DUPLICATE: _ClassVar[OperationOutcome]
    OPERATION_OUTCOME_REJECTED: _ClassVar[OperationOutcome]
    OPERATION_OUTCOME_DEFERRED: _ClassVar[OperationOutcome]
    OPERATION_OUTCOME_CONFLICT: _ClassVar[OperationOutcome]
OPERATION_OUTCOME_UNSPECIFIED: OperationOutcome
OPERATION_OUTCOME_APPLIED: OperationOutcome
OPERATION_OUTCOME_DUPLICATE: OperationOutcome
OPERATION_OUTCOME_REJECTED: OperationOutcome
OPERATION_OUTCOME_DEFERRED: OperationOutcome
OPERATION_OUTCOME_CONFLICT: OperationOutcome

class Operation(_message.Message):
    __slots__ = ("operation_id", "sequence", "occurred_at", "type", "body", "after")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    sequence: int
    occurred_at: _timestamp_pb2.Timestamp
    type: str
    body: _struct_pb2.Struct
    after: str
    def __init__(self, operation_id: _Optional[str] = ..., sequence: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[str] = ..., body: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., after: _Optional[str] = ...) -> None: ...

class CancelOrderOperation(_message.Message):
    __slots__ = ("order_id", "reason", "expected_version")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    reason: str
    expected_version: int
    def __init__(self, order_id: _Optional[str] = ..., reason: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class UpdateOrderStatusOperation(_message.Message):
    __slots__ = ("order_id", "status", "reason", "expected_version")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    status: _orders_pb2.OrderStatus
    reason: str
    expected_version: int
    def __init__(self, order_id: _Optional[str] = ..., status: _Optional[_Union[_orders_pb2.OrderStatus, str]] = ..., reason: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class ApplyOperationsRequest(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class ApplyOperationsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OperationResult]
    def __init__(self, results: _Optional[_Iterable[_Union[OperationResult, _Mapping]]] = ...) -> None: ...

class OperationResult(_message.Message):
    __slots__ = ("operation_id", "sequence", "outcome", "code", "message", "problems", "order")
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    operation_id: str
    sequence: int
    outcome: OperationOutcome
    code: str
    message: str
    problems: _containers.RepeatedCompositeFieldContainer[OperationProblem]
    order: OperationOrder
    def __init__(self, operation_id: _Optional[str] = ..., sequence: _Optional[int] = ..., outcome: _Optional[_Union[OperationOutcome, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[OperationProblem, _Mapping]]] = ..., order: _Optional[_Union[OperationOrder, _Mapping]] = ...) -> None: ...

class OperationProblem(_message.Message):
    __slots__ = ("field", "message")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    message: str
    def __init__(self, field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class OperationOrder(_message.Message):
    __slots__ = ("id", "number", "status", "rejection", "total", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    number: int
    status: _orders_pb2.OrderStatus
    rejection: str
    total: _common_pb2.Money
    version: int
    def __init__(self, id: _Optional[str] = ..., number: _Optional[int] = ..., status: _Optional[_Union[_orders_pb2.OrderStatus, str]] = ..., rejection: _Optional[str] = ..., total: _Optional[_Union[_common_pb2.Money, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...
