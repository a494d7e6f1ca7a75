"""A company in a tenants process, the people in it, and what the process has said about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from google.protobuf import json_format
from switchyard.tenants.v1 import (
    settings_pb2,
    settings_pb2_grpc,
    sites_pb2,
    sites_pb2_grpc,
    tenants_pb2,
    tenants_pb2_grpc,
)
from uuid_utils.compat import uuid7

from chassis import identity
from chassis.identity import Principal
from chassis.testing import Databases, Running, Tenant

OPERATOR = Principal(
    "user",
    str(uuid7()),
    None,
    roles=(identity.OPERATOR,),
    permissions=frozenset({"platform.tenants.read", "platform.tenants.write"}),
)
BAR = sites_pb2.STATION_KIND_BAR


class Stubs:
    """The methods of all of the service's contracts."""

    def __init__(self, channel: Any) -> None:
        self.trailers = channel.trailers
        for stub in (tenants_pb2_grpc.TenantsServiceStub, sites_pb2_grpc.SitesServiceStub):
            vars(self).update(vars(stub(channel)))
        vars(self).update(vars(settings_pb2_grpc.SettingsServiceStub(channel)))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@dataclass(frozen=True)
class Company:
    """A tenant that is there. Its people may do everything unless told otherwise."""

    running: Running
    databases: Databases
    tenant: Tenant

    @classmethod
    async def founded(cls, running: Running, databases: Databases, **told: Any) -> "Company":
        limits = tenants_pb2.Limits(**told)
        wanted = tenants_pb2.Tenant(name="Northern Coffee", slug=f"t-{uuid7()}", limits=limits)
        stub = Stubs(running.channel(OPERATOR))
        created = await stub.CreateTenant(tenants_pb2.CreateTenantRequest(tenant=wanted))
        return cls(running, databases, Tenant(UUID(created.id)))

    @property
    def id(self) -> str:
        return str(self.tenant.id)

    def by(self, principal: Principal, **told: str) -> Stubs:
        return Stubs(self.running.channel(principal, **told))

    def user(self, *, sites: Iterable[str] = (), permissions: Iterable[str] | None = None, **told: str) -> Stubs:
        return self.by(self.tenant.user(sites=sites, permissions=permissions), **told)

    def operator(self, **told: str) -> Stubs:
        return self.by(OPERATOR, **told)

    async def site(self, name: str = "Harbour Street", **more: Any) -> sites_pb2.Site:
        told = sites_pb2.Site(name=name, **more)
        created: sites_pb2.Site = await self.user().CreateSite(sites_pb2.CreateSiteRequest(site=told))
        return created

    async def station(self, site_id: str, name: str = "Bar 1", **more: Any) -> sites_pb2.Station:
        told = sites_pb2.Station(name=name, **{"kind": BAR, **more})
        request = sites_pb2.CreateStationRequest(site_id=site_id, station=told)
        created: sites_pb2.Station = await self.user().CreateStation(request)
        return created

    async def put(self, key: str, value: dict[str, Any], **told: str) -> settings_pb2.Setting:
        written: settings_pb2.Setting = await self.user(**told).PutSetting(document(key, value))
        return written

    async def events(self) -> list[tuple[str, str]]:
        """What was said of this tenant, with the audience."""
        sql = "SELECT subject, audience FROM outbox WHERE subject LIKE $1 ORDER BY seq"
        rows = await self.rows(sql, f"evt.{self.id}.tenants.%")
        return [(row["subject"].rsplit(".", 1)[1], row["audience"]) for row in rows]

    async def trail(self, tenant_id: str, containing: str) -> list[dict[str, Any]]:
        """The audit events of a tenant (or of the platform) that name something."""
        sql = "SELECT envelope FROM outbox WHERE subject = $1 AND envelope LIKE $2 ORDER BY seq"
        return [orjson.loads(row["envelope"]) for row in await self.rows(sql, f"aud.{tenant_id}.tenants", containing)]

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.databases.admin("tenants"))
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return rows
        finally:
            await connection.close()


def document(key: str, value: dict[str, Any]) -> settings_pb2.PutSettingRequest:
    request = settings_pb2.PutSettingRequest(key=key)
    request.value.SetInParent()
    request.value.update(value)
    return request


def for_station(station_id: str, value: dict[str, Any]) -> settings_pb2.PutStationSettingRequest:
    request = settings_pb2.PutStationSettingRequest(station_id=station_id)
    request.value.SetInParent()
    request.value.update(value)
    return request


def plain(setting: settings_pb2.Setting) -> dict[str, Any]:
    return dict(json_format.MessageToDict(setting.value))


def masked(request: Any, *paths: str) -> Any:
    request.update_mask.paths.extend(paths)
    return request
