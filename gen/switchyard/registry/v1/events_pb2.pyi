from switchyard.registry.v1 import registry_pb2 as _registry_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InstanceHealthChanged(_message.Message):
    __slots__ = ("service_name", "instance_id", "status", "health_score", "reason", "previous_status", "zone", "revision")
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_SCORE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_STATUS_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    service_name: str
    instance_id: str
    status: _registry_pb2.InstanceState
    health_score: int
    reason: str
    previous_status: _registry_pb2.InstanceState
    zone: str
    revision: int
    def __init__(self, service_name: _Optional[str] = ..., instance_id: _Optional[str] = ..., status: _Optional[_Union[_registry_pb2.InstanceState, str]] = ..., health_score: _Optional[int] = ..., reason: _Optional[str] = ..., previous_status: _Optional[_Union[_registry_pb2.InstanceState, str]] = ..., zone: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...
