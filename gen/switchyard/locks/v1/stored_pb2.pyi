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
    __slots__ = ("permits", "leases", "waiters", "ended", "last_token", "untold")
    PERMITS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    WAITERS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    LAST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNTOLD_FIELD_NUMBER: _ClassVar[int]
    permits: int
    leases: _containers.RepeatedCompositeFieldContainer[StoredLease]
    waiters: _containers.RepeatedCompositeFieldContainer[StoredWaiter]
    ended: _containers.RepeatedCompositeFieldContainer[EndedLease]
    last_token: int
    untold: _containers.RepeatedCompositeFieldContainer[EndedLease]
    def __init__(self, permits: _Optional[int] = ..., leases: _Optional[_Iterable[_Union[StoredLease, _Mapping]]] = ..., waiters: _Optional[_Iterable[_Union[StoredWaiter, _Mapping]]] = ..., ended: _Optional[_Iterable[_Union[EndedLease, _Mapping]]] = ..., last_token: _Optional[int] = ..., untold: _Optional[_Iterable[_Union[EndedLease, _Mapping]]] = ...) -> None: ...

class StoredLease(_message.Message):
    __slots__ = ("id", "holder", "owner", "mode", "token", "timeout", "renewals", "acquired_at", "expires_at", "holds", "again", "host")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RENEWALS_FIELD_NUMBER: _ClassVar[int]
    ACQUIRED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    holder: str
    owner: str
    mode: _locks_pb2.LockMode
    token: int
    timeout: int
    renewals: int
    acquired_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    holds: int
    again: _containers.RepeatedScalarFieldContainer[bytes]
    host: str
    def __init__(self, id: _Optional[bytes] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., mode: _Optional[_Union[_locks_pb2.LockMode, str]] = ..., token: _Optional[int] = ..., timeout: _Optional[int] = ..., renewals: _Optional[int] = ..., acquired_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., holds: _Optional[int] = ..., again: _Optional[_Iterable[bytes]] = ..., host: _Optional[str] = ...) -> None: ...

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

class EndedLease(_message.Message):
    __slots__ = ("id", "reason", "holder", "owner", "token", "comment", "by")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    reason: _locks_pb2.LossReason
    holder: str
    owner: str
    token: int
    comment: str
    by: str
    def __init__(self, id: _Optional[bytes] = ..., reason: _Optional[_Union[_locks_pb2.LossReason, str]] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., token: _Optional[int] = ..., comment: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...
