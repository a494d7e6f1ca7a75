from switchyard.locks.v1 import locks_pb2 as _locks_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseLost(_message.Message):
    __slots__ = ("lock_name", "holder", "owner", "fencing_token", "reason", "comment", "by")
    LOCK_NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    lock_name: str
    holder: str
    owner: str
    fencing_token: int
    reason: _locks_pb2.LossReason
    comment: str
    by: str
    def __init__(self, lock_name: _Optional[str] = ..., holder: _Optional[str] = ..., owner: _Optional[str] = ..., fencing_token: _Optional[int] = ..., reason: _Optional[_Union[_locks_pb2.LossReason, str]] = ..., comment: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...
