import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
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

class GroupOrderStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_ORDER_STATUS_UNSPECIFIED: _ClassVar[GroupOrderStatus]
    GROUP_ORDER_STATUS_OPEN: _ClassVar[GroupOrderStatus]
    GROUP_ORDER_STATUS_LOCKED: _ClassVar[GroupOrderStatus]
    GROUP_ORDER_STATUS_SUBMITTED: _ClassVar[GroupOrderStatus]
    GROUP_ORDER_STATUS_CLOSED: _ClassVar[GroupOrderStatus]

class GroupOrderOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_ORDER_OUTCOME_UNSPECIFIED: _ClassVar[GroupOrderOutcome]
    GROUP_ORDER_OUTCOME_COMPLETED: _ClassVar[GroupOrderOutcome]
    GROUP_ORDER_OUTCOME_ORDER_CANCELLED: _ClassVar[GroupOrderOutcome]
    GROUP_ORDER_OUTCOME_CANCELLED: _ClassVar[GroupOrderOutcome]
    GROUP_ORDER_OUTCOME_EXPIRED: _ClassVar[GroupOrderOutcome]
GROUP_ORDER_STATUS_UNSPECIFIED: GroupOrderStatus
GROUP_ORDER_STATUS_OPEN: GroupOrderStatus
GROUP_ORDER_STATUS_LOCKED: GroupOrderStatus
GROUP_ORDER_STATUS_SUBMITTED: GroupOrderStatus
GROUP_ORDER_STATUS_CLOSED: GroupOrderStatus
GROUP_ORDER_OUTCOME_UNSPECIFIED: GroupOrderOutcome
GROUP_ORDER_OUTCOME_COMPLETED: GroupOrderOutcome
GROUP_ORDER_OUTCOME_ORDER_CANCELLED: GroupOrderOutcome
GROUP_ORDER_OUTCOME_CANCELLED: GroupOrderOutcome
GROUP_ORDER_OUTCOME_EXPIRED: GroupOrderOutcome

class GroupOrder(_message.Message):
    __slots__ = ("id", "site_id", "site_name", "name", "code", "host_name", "created_by", "status", "deadline", "order_id", "rejection", "rejection_message", "outcome", "participant_count", "line_count", "participants", "version", "created_at", "updated_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_NAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    REJECTION_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    site_name: str
    name: str
    code: str
    host_name: str
    created_by: str
    status: GroupOrderStatus
    deadline: _timestamp_pb2.Timestamp
    order_id: str
    rejection: str
    rejection_message: str
    outcome: GroupOrderOutcome
    participant_count: int
    line_count: int
    participants: _containers.RepeatedCompositeFieldContainer[Participant]
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., site_name: _Optional[str] = ..., name: _Optional[str] = ..., code: _Optional[str] = ..., host_name: _Optional[str] = ..., created_by: _Optional[str] = ..., status: _Optional[_Union[GroupOrderStatus, str]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., order_id: _Optional[str] = ..., rejection: _Optional[str] = ..., rejection_message: _Optional[str] = ..., outcome: _Optional[_Union[GroupOrderOutcome, str]] = ..., participant_count: _Optional[int] = ..., line_count: _Optional[int] = ..., participants: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Participant(_message.Message):
    __slots__ = ("id", "name", "lines", "joined_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    lines: _containers.RepeatedCompositeFieldContainer[_orders_pb2.OrderLine]
    joined_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_orders_pb2.OrderLine, _Mapping]]] = ..., joined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateGroupOrderRequest(_message.Message):
    __slots__ = ("id", "site_id", "name", "host_name", "deadline")
    ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    id: str
    site_id: str
    name: str
    host_name: str
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., site_id: _Optional[str] = ..., name: _Optional[str] = ..., host_name: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListGroupOrdersRequest(_message.Message):
    __slots__ = ("page_size", "cursor", "order_by", "status", "site_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    order_by: str
    status: GroupOrderStatus
    site_id: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ..., order_by: _Optional[str] = ..., status: _Optional[_Union[GroupOrderStatus, str]] = ..., site_id: _Optional[str] = ...) -> None: ...

class ListGroupOrdersResponse(_message.Message):
    __slots__ = ("group_orders", "next_cursor")
    GROUP_ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    group_orders: _containers.RepeatedCompositeFieldContainer[GroupOrder]
    next_cursor: str
    def __init__(self, group_orders: _Optional[_Iterable[_Union[GroupOrder, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class ValidateGroupOrderCodeRequest(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: str
    def __init__(self, code: _Optional[str] = ...) -> None: ...

class GroupOrderCode(_message.Message):
    __slots__ = ("valid", "id", "deadline")
    VALID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    id: str
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, valid: _Optional[bool] = ..., id: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetGroupOrderByCodeRequest(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: str
    def __init__(self, code: _Optional[str] = ...) -> None: ...

class GroupOrderInvitation(_message.Message):
    __slots__ = ("id", "name", "host_name", "site_id", "site_name", "deadline", "participant_count")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_NAME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_COUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    host_name: str
    site_id: str
    site_name: str
    deadline: _timestamp_pb2.Timestamp
    participant_count: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., host_name: _Optional[str] = ..., site_id: _Optional[str] = ..., site_name: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., participant_count: _Optional[int] = ...) -> None: ...

class GetGroupOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class JoinGroupOrderRequest(_message.Message):
    __slots__ = ("id", "code", "name", "lines", "token")
    ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    code: str
    name: str
    lines: _containers.RepeatedCompositeFieldContainer[_orders_pb2.OrderLine]
    token: str
    def __init__(self, id: _Optional[str] = ..., code: _Optional[str] = ..., name: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_orders_pb2.OrderLine, _Mapping]]] = ..., token: _Optional[str] = ...) -> None: ...

class Participation(_message.Message):
    __slots__ = ("id", "group_order_id", "name", "lines", "token", "joined_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    group_order_id: str
    name: str
    lines: _containers.RepeatedCompositeFieldContainer[_orders_pb2.OrderLine]
    token: str
    joined_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., group_order_id: _Optional[str] = ..., name: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_orders_pb2.OrderLine, _Mapping]]] = ..., token: _Optional[str] = ..., joined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdateParticipationRequest(_message.Message):
    __slots__ = ("id", "participant_id", "token", "name", "lines")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    id: str
    participant_id: str
    token: str
    name: str
    lines: _containers.RepeatedCompositeFieldContainer[_orders_pb2.OrderLine]
    def __init__(self, id: _Optional[str] = ..., participant_id: _Optional[str] = ..., token: _Optional[str] = ..., name: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[_orders_pb2.OrderLine, _Mapping]]] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("id", "participant_id", "token")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    participant_id: str
    token: str
    def __init__(self, id: _Optional[str] = ..., participant_id: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class RemoveParticipantRequest(_message.Message):
    __slots__ = ("id", "participant_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANT_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    participant_id: str
    def __init__(self, id: _Optional[str] = ..., participant_id: _Optional[str] = ...) -> None: ...

class LockGroupOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class UnlockGroupOrderRequest(_message.Message):
    __slots__ = ("id", "deadline")
    ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    id: str
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubmitGroupOrderRequest(_message.Message):
    __slots__ = ("id", "payment_method", "payment_token")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHOD_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    payment_method: _orders_pb2.PaymentMethod
    payment_token: str
    def __init__(self, id: _Optional[str] = ..., payment_method: _Optional[_Union[_orders_pb2.PaymentMethod, str]] = ..., payment_token: _Optional[str] = ...) -> None: ...

class CancelGroupOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
