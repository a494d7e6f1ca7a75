from google.protobuf import struct_pb2 as _struct_pb2
from switchyard.tenants.v1 import sites_pb2 as _sites_pb2
from switchyard.tenants.v1 import tenants_pb2 as _tenants_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TenantCreated(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenants_pb2.Tenant
    def __init__(self, tenant: _Optional[_Union[_tenants_pb2.Tenant, _Mapping]] = ...) -> None: ...

class TenantUpdated(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenants_pb2.Tenant
    def __init__(self, tenant: _Optional[_Union[_tenants_pb2.Tenant, _Mapping]] = ...) -> None: ...

class TenantSuspended(_message.Message):
    __slots__ = ("tenant_id", "reason")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    reason: str
    def __init__(self, tenant_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TenantResumed(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class SiteCreated(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: _sites_pb2.Site
    def __init__(self, site: _Optional[_Union[_sites_pb2.Site, _Mapping]] = ...) -> None: ...

class SiteUpdated(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: _sites_pb2.Site
    def __init__(self, site: _Optional[_Union[_sites_pb2.Site, _Mapping]] = ...) -> None: ...

class SiteDeleted(_message.Message):
    __slots__ = ("site_id",)
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    def __init__(self, site_id: _Optional[str] = ...) -> None: ...

class StationCreated(_message.Message):
    __slots__ = ("station",)
    STATION_FIELD_NUMBER: _ClassVar[int]
    station: _sites_pb2.Station
    def __init__(self, station: _Optional[_Union[_sites_pb2.Station, _Mapping]] = ...) -> None: ...

class StationUpdated(_message.Message):
    __slots__ = ("station",)
    STATION_FIELD_NUMBER: _ClassVar[int]
    station: _sites_pb2.Station
    def __init__(self, station: _Optional[_Union[_sites_pb2.Station, _Mapping]] = ...) -> None: ...

class StationDeleted(_message.Message):
    __slots__ = ("station_id", "site_id")
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    station_id: str
    site_id: str
    def __init__(self, station_id: _Optional[str] = ..., site_id: _Optional[str] = ...) -> None: ...

class SettingsChanged(_message.Message):
    __slots__ = ("key", "station_id", "site_id", "version", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATION_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    station_id: str
    site_id: str
    version: int
    value: _struct_pb2.Struct
    def __init__(self, key: _Optional[str] = ..., station_id: _Optional[str] = ..., site_id: _Optional[str] = ..., version: _Optional[int] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
