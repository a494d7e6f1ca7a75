import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.locks.v1 import locks_pb2 as _locks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoredLock(_message.Message):
    __slots__ = ("permits", "leases", "waiters", "losses", "last_token", "released")
    PERMITS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    WAITERS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    LAST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    permits: int
    leases: _containers.RepeatedCompositeFieldContainer[StoredLease]
    waiters: _containers.RepeatedCompositeFieldContainer[StoredWaiter]
    losses: _containers.RepeatedCompositeFieldContainer[StoredLoss]
    last_token: int
    released: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, permits: _Optional[int] = ..., leases: _Optional[_Iterable[_Union[StoredLease, _Mapping]]] = ..., waiters: _Optional[_Iterable[_Union[StoredWaiter, _Mapping]]] = ..., losses: _Optional[_Iterable[_Union[StoredLoss, _Mapping]]] = ..., last_token: _Optional[int] = ..., released: _Optional[_Iterable[bytes]] = ...) -> None: ...

class StoredLease(_message.Message):
    __slots__ = ("token", "holder", "owner", "mode", "timeout", "renewals", "acquired_at", "expires_at", "holds")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RENEWALS_FIELD_NUMBER: _ClassVar[int]
    ACQUIRED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    token: int
    holder: str
    owner: str
    mode: _locks_pb2.LockMode
    timeout: int
    renewals: int
    acquired_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    holds: _containers.RepeatedCompositeFieldContainer[StoredHold]
    def __init__(self, token: _Optional[int] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., mode: _Optional[_Union[_locks_pb2.LockMode, str]] = ..., timeout: _Optional[int] = ..., renewals: _Optional[int] = ..., acquired_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., holds: _Optional[_Iterable[_Union[StoredHold, _Mapping]]] = ...) -> None: ...

class StoredHold(_message.Message):
    __slots__ = ("id", "host")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    host: str
    def __init__(self, id: _Optional[bytes] = ..., host: _Optional[str] = ...) -> None: ...

class StoredWaiter(_message.Message):
    __slots__ = ("id", "holder", "owner", "mode", "timeout", "host", "since")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    holder: str
    owner: str
    mode: _locks_pb2.LockMode
    timeout: int
    host: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[bytes] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., mode: _Optional[_Union[_locks_pb2.LockMode, str]] = ..., timeout: _Optional[int] = ..., host: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StoredLoss(_message.Message):
    __slots__ = ("reason", "comment", "by", "leases")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    reason: _locks_pb2.LossReason
    comment: str
    by: str
    leases: _containers.RepeatedCompositeFieldContainer[LostLease]
    def __init__(self, reason: _Optional[_Union[_locks_pb2.LossReason, str]] = ..., comment: _Optional[str] = ..., by: _Optional[str] = ..., leases: _Optional[_Iterable[_Union[LostLease, _Mapping]]] = ...) -> None: ...

class LostLease(_message.Message):
    __slots__ = ("token", "holder", "owner", "ids", "told")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    token: int
    holder: str
    owner: str
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    told: bool
    def __init__(self, token: _Optional[int] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., ids: _Optional[_Iterable[bytes]] = ..., told: _Optional[bool] = ...) -> None: ...
