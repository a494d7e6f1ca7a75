"""The edge of settings documents: one method an RPC, in the contract's order."""

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import settings_pb2 as pb

from chassis import call
from chassis.db import Database
from chassis.paging import Pager
from chassis.rpc import server
from services.tenants import documents, kinds, messages, setting_store
from services.tenants.models import SettingVersion

_COLUMNS = {"id": SettingVersion.version}


class SettingsRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["SettingsService"]

    def __init__(self, database: Database, pager: Pager) -> None:
        self._database = database
        self._pager = pager

    async def ListSettingKinds(self, _request: pb.ListSettingKindsRequest) -> pb.ListSettingKindsResponse:
        return pb.ListSettingKindsResponse(kinds=[_kind(kind) for kind in kinds.KINDS.values()])

    async def GetSetting(self, request: pb.GetSettingRequest) -> pb.Setting:
        place, tenant = documents.of_tenant(request.key), call.current().principal.tenant
        rows = await self._database.read(setting_store.CURRENT, tenant, name=place.name)
        return documents.told(place, messages.read(rows, documents=["value"]))

    @server.transactional
    async def PutSetting(self, request: pb.PutSettingRequest, session: AsyncSession) -> pb.Setting:
        return await documents.write(session, documents.of_tenant(request.key), request.value)

    @server.transactional
    async def ListSettingVersions(
        self, request: pb.ListSettingVersionsRequest, session: AsyncSession
    ) -> pb.ListSettingVersionsResponse:
        return await self._history(session, documents.of_tenant(request.key), request)

    @server.transactional
    async def GetSettingVersion(self, request: pb.GetSettingVersionRequest, session: AsyncSession) -> pb.Setting:
        return await documents.read_version(session, documents.of_tenant(request.key), request.version)

    @server.transactional
    async def GetStationSetting(self, request: pb.GetStationSettingRequest, session: AsyncSession) -> pb.Setting:
        return await documents.read(session, await documents.of_station(session, request.station_id))

    @server.transactional
    async def PutStationSetting(self, request: pb.PutStationSettingRequest, session: AsyncSession) -> pb.Setting:
        place = await documents.of_station(session, request.station_id, lock=True)
        return await documents.write(session, place, request.value)

    @server.transactional
    async def ListStationSettingVersions(
        self, request: pb.ListStationSettingVersionsRequest, session: AsyncSession
    ) -> pb.ListSettingVersionsResponse:
        return await self._history(session, await documents.of_station(session, request.station_id), request)

    @server.transactional
    async def GetStationSettingVersion(
        self, request: pb.GetStationSettingVersionRequest, session: AsyncSession
    ) -> pb.Setting:
        place = await documents.of_station(session, request.station_id)
        return await documents.read_version(session, place, request.version)

    async def _history(
        self, session: AsyncSession, place: documents.Place, request: Message
    ) -> pb.ListSettingVersionsResponse:
        page = self._pager.page(request, _COLUMNS, default="-id")
        select = setting_store.versions(call.current().principal.tenant, place.name)
        rows, cursor = page.cut((await session.execute(page.apply(select))).all())
        versions = [
            messages.signed(pb.SettingVersion(version=row.id), updated_at=row.updated_at, updated_by=row.updated_by)
            for row in rows
        ]
        return pb.ListSettingVersionsResponse(versions=versions, next_cursor=cursor)


def _kind(kind: kinds.Kind) -> pb.SettingKind:
    message = pb.SettingKind(key=kind.key, per_station=kind.per_station, description=kind.description)
    message.schema.CopyFrom(messages.struct(kind.schema))
    message.default.CopyFrom(messages.struct(kind.default))
    return message
