import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from switchyard.orders.v1 import orders_pb2 as _orders_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PosProvider(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POS_PROVIDER_UNSPECIFIED: _ClassVar[PosProvider]
    POS_PROVIDER_STANDARD: _ClassVar[PosProvider]

class PosVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POS_VERDICT_UNSPECIFIED: _ClassVar[PosVerdict]
    POS_VERDICT_CONFIRMED: _ClassVar[PosVerdict]
    POS_VERDICT_REJECTED: _ClassVar[PosVerdict]
POS_PROVIDER_UNSPECIFIED: PosProvider
POS_PROVIDER_STANDARD: PosProvider
POS_VERDICT_UNSPECIFIED: PosVerdict
POS_VERDICT_CONFIRMED: PosVerdict
POS_VERDICT_REJECTED: PosVerdict

class PosConnection(_message.Message):
    __slots__ = ("site_id", "provider", "url", "enabled", "secret", "version", "created_at", "updated_at")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: PosProvider
    url: str
    enabled: bool
    secret: str
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[_Union[PosProvider, str]] = ..., url: _Optional[str] = ..., enabled: _Optional[bool] = ..., secret: _Optional[str] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetPosConnectionRequest(_message.Message):
    __slots__ = ("site_id",)
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    def __init__(self, site_id: _Optional[str] = ...) -> None: ...

class PutPosConnectionRequest(_message.Message):
    __slots__ = ("site_id", "provider", "url", "enabled", "rotate_secret")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    ROTATE_SECRET_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    provider: PosProvider
    url: str
    enabled: bool
    rotate_secret: bool
    def __init__(self, site_id: _Optional[str] = ..., provider: _Optional[_Union[PosProvider, str]] = ..., url: _Optional[str] = ..., enabled: _Optional[bool] = ..., rotate_secret: _Optional[bool] = ...) -> None: ...

class DeletePosConnectionRequest(_message.Message):
    __slots__ = ("site_id",)
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    def __init__(self, site_id: _Optional[str] = ...) -> None: ...

class ConfirmPosOrderRequest(_message.Message):
    __slots__ = ("id", "status", "reference")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: PosVerdict
    reference: str
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[PosVerdict, str]] = ..., reference: _Optional[str] = ...) -> None: ...

class ForwardOrderRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...
