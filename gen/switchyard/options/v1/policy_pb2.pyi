from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Audience(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIENCE_UNSPECIFIED: _ClassVar[Audience]
    AUDIENCE_USER: _ClassVar[Audience]
    AUDIENCE_KIOSK: _ClassVar[Audience]
    AUDIENCE_POS: _ClassVar[Audience]
    AUDIENCE_SERVICE: _ClassVar[Audience]
    AUDIENCE_CLIENT: _ClassVar[Audience]

class RateClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RATE_CLASS_UNSPECIFIED: _ClassVar[RateClass]
    RATE_CLASS_READ: _ClassVar[RateClass]
    RATE_CLASS_WRITE: _ClassVar[RateClass]
    RATE_CLASS_LOGIN: _ClassVar[RateClass]
    RATE_CLASS_PAYMENT: _ClassVar[RateClass]
    RATE_CLASS_ADMIN: _ClassVar[RateClass]

class AuditCategory(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_CATEGORY_UNSPECIFIED: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_AUTHENTICATION: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_ACCESS: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_DATA: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_FINANCIAL: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_CONFIGURATION: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_SYSTEM: _ClassVar[AuditCategory]
    AUDIT_CATEGORY_NONE: _ClassVar[AuditCategory]

class Success(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUCCESS_UNSPECIFIED: _ClassVar[Success]
    SUCCESS_CREATED: _ClassVar[Success]
    SUCCESS_ACCEPTED: _ClassVar[Success]

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEW_UNSPECIFIED: _ClassVar[View]
    VIEW_MINIMAL: _ClassVar[View]
    VIEW_COMPACT: _ClassVar[View]
    VIEW_FULL: _ClassVar[View]
AUDIENCE_UNSPECIFIED: Audience
AUDIENCE_USER: Audience
AUDIENCE_KIOSK: Audience
AUDIENCE_POS: Audience
AUDIENCE_SERVICE: Audience
AUDIENCE_CLIENT: Audience
RATE_CLASS_UNSPECIFIED: RateClass
RATE_CLASS_READ: RateClass
RATE_CLASS_WRITE: RateClass
RATE_CLASS_LOGIN: RateClass
RATE_CLASS_PAYMENT: RateClass
RATE_CLASS_ADMIN: RateClass
AUDIT_CATEGORY_UNSPECIFIED: AuditCategory
AUDIT_CATEGORY_AUTHENTICATION: AuditCategory
AUDIT_CATEGORY_ACCESS: AuditCategory
AUDIT_CATEGORY_DATA: AuditCategory
AUDIT_CATEGORY_FINANCIAL: AuditCategory
AUDIT_CATEGORY_CONFIGURATION: AuditCategory
AUDIT_CATEGORY_SYSTEM: AuditCategory
AUDIT_CATEGORY_NONE: AuditCategory
SUCCESS_UNSPECIFIED: Success
SUCCESS_CREATED: Success
SUCCESS_ACCEPTED: Success
VIEW_UNSPECIFIED: View
VIEW_MINIMAL: View
VIEW_COMPACT: View
VIEW_FULL: View
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor
FIELD_FIELD_NUMBER: _ClassVar[int]
field: _descriptor.FieldDescriptor

class MethodPolicy(_message.Message):
    __slots__ = ("permission", "public", "audience", "rate_class", "audit", "cache_seconds", "success", "idempotency_key_required", "if_match_required", "errors", "idempotent", "platform", "tenant_optional", "step_up", "raw", "further_permissions", "snapshot_of", "content_etag", "deadline_s")
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    RATE_CLASS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    CACHE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    IF_MATCH_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    TENANT_OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    STEP_UP_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    FURTHER_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_OF_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ETAG_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    permission: str
    public: bool
    audience: _containers.RepeatedScalarFieldContainer[Audience]
    rate_class: RateClass
    audit: AuditCategory
    cache_seconds: int
    success: Success
    idempotency_key_required: bool
    if_match_required: bool
    errors: _containers.RepeatedScalarFieldContainer[str]
    idempotent: bool
    platform: bool
    tenant_optional: bool
    step_up: bool
    raw: RawHttp
    further_permissions: _containers.RepeatedScalarFieldContainer[str]
    snapshot_of: str
    content_etag: bool
    deadline_s: int
    def __init__(self, permission: _Optional[str] = ..., public: _Optional[bool] = ..., audience: _Optional[_Iterable[_Union[Audience, str]]] = ..., rate_class: _Optional[_Union[RateClass, str]] = ..., audit: _Optional[_Union[AuditCategory, str]] = ..., cache_seconds: _Optional[int] = ..., success: _Optional[_Union[Success, str]] = ..., idempotency_key_required: _Optional[bool] = ..., if_match_required: _Optional[bool] = ..., errors: _Optional[_Iterable[str]] = ..., idempotent: _Optional[bool] = ..., platform: _Optional[bool] = ..., tenant_optional: _Optional[bool] = ..., step_up: _Optional[bool] = ..., raw: _Optional[_Union[RawHttp, _Mapping]] = ..., further_permissions: _Optional[_Iterable[str]] = ..., snapshot_of: _Optional[str] = ..., content_etag: _Optional[bool] = ..., deadline_s: _Optional[int] = ...) -> None: ...

class RawHttp(_message.Message):
    __slots__ = ("consumes", "request", "produces", "response", "statuses")
    CONSUMES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRODUCES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    consumes: str
    request: str
    produces: str
    response: str
    statuses: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, consumes: _Optional[str] = ..., request: _Optional[str] = ..., produces: _Optional[str] = ..., response: _Optional[str] = ..., statuses: _Optional[_Iterable[int]] = ...) -> None: ...

class FieldPolicy(_message.Message):
    __slots__ = ("read_permission", "write_permission", "sensitive", "immutable", "output_only", "example", "view")
    READ_PERMISSION_FIELD_NUMBER: _ClassVar[int]
    WRITE_PERMISSION_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    IMMUTABLE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_ONLY_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    read_permission: str
    write_permission: str
    sensitive: bool
    immutable: bool
    output_only: bool
    example: str
    view: View
    def __init__(self, read_permission: _Optional[str] = ..., write_permission: _Optional[str] = ..., sensitive: _Optional[bool] = ..., immutable: _Optional[bool] = ..., output_only: _Optional[bool] = ..., example: _Optional[str] = ..., view: _Optional[_Union[View, str]] = ...) -> None: ...
