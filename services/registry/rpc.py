"""The edge of registry: one method an RPC, in the contract's order."""

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import call, errors, identity
from chassis.db import Database
from chassis.paging import Pager
from chassis.rpc import server
from services.registry import registry, store
from services.registry.models import HistoryEntry
from services.registry.roster import HEARTBEAT_INTERVAL_S, Roster


class RegistryRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["RegistryService"]

    def __init__(self, database: Database, roster: Roster, pager: Pager) -> None:
        self._database = database
        self._roster = roster
        self._pager = pager

    async def ListServices(self, _request: pb.ListServicesRequest) -> pb.ListServicesResponse:
        names = self._roster.services()
        return pb.ListServicesResponse(services=[registry.summary(name, self._roster.of(name)) for name in names])

    async def GetService(self, request: pb.GetServiceRequest) -> pb.ServiceSummary:
        return registry.summary(request.name, self._roster.of(request.name))

    async def ListInstances(self, request: pb.ListInstancesRequest) -> pb.ListInstancesResponse:
        return pb.ListInstancesResponse(instances=self._roster.of(request.name))

    async def ListHistory(self, request: pb.ListHistoryRequest) -> pb.ListHistoryResponse:
        columns = {"id": HistoryEntry.id, "occurred_at": HistoryEntry.occurred_at}
        page = self._pager.page(request, columns, default="-occurred_at")
        # The rows are the platform's; whoever may read the registry sees them.
        async with self._database.transaction(identity.service_principal("registry", None)) as session:
            rows, cursor = page.cut((await session.scalars(page.apply(store.history_of(request.name)))).all())
        if not rows and not request.cursor:
            self._roster.of(request.name)
        return pb.ListHistoryResponse(entries=[_entry(row) for row in rows], next_cursor=cursor)

    async def Register(self, request: pb.RegisterRequest) -> pb.Registration:
        registry.check_owner(call.current().principal, request.name)
        async with self._database.transaction() as session:
            instance = await registry.register(session, request.name, request.instance, request.contract)
        self._roster.take(instance)
        return pb.Registration(instance=instance, heartbeat_interval_s=HEARTBEAT_INTERVAL_S)

    async def Heartbeat(self, request: pb.HeartbeatRequest) -> Empty:
        registry.check_owner(call.current().principal, request.name)
        self._roster.beat(request.name, request.instance_id, request.epoch, ready=request.ready)
        return Empty()

    @server.transactional
    async def Deregister(self, request: pb.DeregisterRequest, session: AsyncSession) -> Empty:
        registry.check_owner(call.current().principal, request.name)
        entry = self._roster.find(request.name, request.instance_id)
        registry.concerning(session, entry.instance)
        self._roster.leave(entry, "deregistered")
        return Empty()

    @server.transactional
    async def Drain(self, request: pb.DrainRequest, session: AsyncSession) -> Empty:
        registry.check_owner(call.current().principal, request.name)
        entry = self._roster.find(request.name, request.instance_id)
        registry.concerning(session, entry.instance)
        self._roster.drain(entry)
        return Empty()

    async def Watch(self, _request: pb.WatchRequest) -> AsyncIterator[pb.WatchResponse]:
        async for change in self._roster.watch():
            yield change

    async def GetContract(self, request: pb.GetContractRequest) -> pb.Contract:
        async with self._database.transaction(identity.service_principal("registry", None)) as session:
            found = await store.contract(session, request.digest)
        if found is None:
            raise errors.NotFound
        return pb.Contract(descriptor_set=found)


def _entry(row: HistoryEntry) -> pb.HistoryEntry:
    entry = pb.HistoryEntry(
        id=str(row.id),
        instance_id=str(row.instance_id),
        from_state=registry.state_of(row.from_state),
        to_state=registry.state_of(row.to_state),
        reason=row.reason,
    )
    entry.occurred_at.FromDatetime(row.occurred_at)
    return entry
