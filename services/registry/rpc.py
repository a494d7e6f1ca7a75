"""The edge of registry: one method an RPC, in the contract's order."""

import functools
from collections.abc import AsyncIterator
from datetime import UTC

from google.protobuf.empty_pb2 import Empty
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import call, errors, identity
from chassis.db import Database
from chassis.paging import Pager
from services.registry import registry, store
from services.registry.keeper import Keeper, superseded
from services.registry.models import HistoryEntry
from services.registry.peers import Peers
from services.registry.roster import Roster, key_of
from services.registry.work import Work


class RegistryRpc:
    """Serves the contract."""

    service = pb.DESCRIPTOR.services_by_name["RegistryService"]

    def __init__(
        self, database: Database, roster: Roster, keeper: Keeper, work: Work, processes: Peers, pager: Pager
    ) -> None:
        self._database = database
        self._roster = roster
        self._keeper = keeper
        self._work = work
        self._peers = processes
        self._pager = pager
        # Contracts that are known to be stored.
        self._stored: set[str] = set()

    async def ListServices(self, _request: pb.ListServicesRequest) -> pb.ListServicesResponse:
        await self._keeper.began()
        names = self._roster.services()
        summaries = [registry.summary(name, self._roster.of(name), self._peers.id) for name in names]
        return pb.ListServicesResponse(services=summaries, preserving=self._roster.preserved > 0)

    async def GetService(self, request: pb.GetServiceRequest) -> pb.ServiceSummary:
        await self._keeper.began()
        return registry.summary(request.name, self._roster.of(request.name), self._peers.id)

    async def ListInstances(self, request: pb.ListInstancesRequest) -> pb.ListInstancesResponse:
        await self._keeper.began()
        if request.HasField("at"):
            found = await self._at(request)
        else:
            found = self._instances(request.name)
        return pb.ListInstancesResponse(instances=registry.wanted(found, request))

    async def ListHistory(self, request: pb.ListHistoryRequest) -> pb.ListHistoryResponse:
        columns = {"id": HistoryEntry.id, "occurred_at": HistoryEntry.occurred_at}
        page = self._pager.page(request, columns, default="-occurred_at")
        # The rows are the platform's; whoever may read the registry sees them.
        async with self._database.transaction(identity.service_principal("registry", None)) as session:
            query = page.apply(store.history_of(request.name, request.instance_id))
            rows, cursor = page.cut((await session.scalars(query)).all())
        if not rows and not request.cursor:
            self._roster.of(request.name)
        return pb.ListHistoryResponse(entries=[_entry(row) for row in rows], next_cursor=cursor)

    async def Register(self, request: pb.RegisterRequest) -> pb.Registration:
        registry.check_owner(call.current().principal, request.name)
        await self._keeper.began()
        registry.check_address(request.instance.address)
        self._check_place(request)
        contract = await self._keep_contract(request.contract)
        key, trail = key_of(request.name, request.instance.id), registry.trail(request.instance.id)
        made = functools.partial(registry.registered, request=request, contract_digest=contract)
        instance = await self._keeper.change(key, made, audit=trail, renews=request.epoch)
        assert instance is not None
        await self._work.take_in(await self._keeper.known(request.name, instance.id))
        return pb.Registration(instance=instance, heartbeat_interval_s=self._roster.interval_s)

    async def Heartbeat(self, request: pb.HeartbeatRequest) -> Empty:
        registry.check_owner(call.current().principal, request.name)
        entry = await self._keeper.owned(request.name, request.instance_id, request.epoch)
        await self._work.beat(entry, ready=request.ready)
        return Empty()

    async def Attend(self, request: pb.AttendRequest) -> AsyncIterator[pb.AttendResponse]:
        registry.check_owner(call.current().principal, request.name)
        entry = await self._keeper.owned(request.name, request.instance_id, request.epoch)
        async for interval_s in self._work.attend(entry):
            yield pb.AttendResponse(heartbeat_interval_s=interval_s)

    async def Deregister(self, request: pb.DeregisterRequest) -> Empty:
        await self._leave(request, pb.INSTANCE_STATE_GONE, "deregistered")
        return Empty()

    async def Drain(self, request: pb.DrainRequest) -> Empty:
        await self._leave(request, pb.INSTANCE_STATE_DRAINING, "drained")
        return Empty()

    async def Watch(self, request: pb.WatchRequest) -> AsyncIterator[pb.WatchResponse]:
        await self._keeper.began()
        if request.after_revision > self._roster.feed.revision:
            await self._keeper.fresh()
        async for change in self._roster.feed.follow(request.after_revision, frozenset(request.services)):
            yield change

    async def GetContract(self, request: pb.GetContractRequest) -> pb.Contract:
        async with self._database.transaction(identity.service_principal("registry", None)) as session:
            found = await store.contract(session, request.digest)
        if found is None:
            raise errors.NotFound
        return pb.Contract(descriptor_set=found)

    def _instances(self, service: str) -> list[pb.Instance]:
        now = self._roster.now()
        return [registry.now_seen(entry, now, self._peers.id) for entry in self._roster.of(service)]

    async def _at(self, request: pb.ListInstancesRequest) -> list[pb.Instance]:
        moment = request.at.ToDatetime(UTC)
        registry.check_moment(moment)
        async with self._database.transaction(identity.service_principal("registry", None)) as session:
            rows = await store.instances_at(session, request.name, moment)
        if not rows:
            self._roster.of(request.name)
        return [pb.Instance.FromString(row) for row in rows]

    def _check_place(self, request: pb.RegisterRequest) -> None:
        if other := self._roster.elsewhere(request.name, request.instance.id):
            raise errors.AlreadyExists(f"the instance is one of {other}")
        before = self._roster.find(request.name, request.instance.id)
        asking = pb.Instance(
            id=request.instance.id, service=request.name, address=request.instance.address, epoch=request.epoch
        )
        ended = request.epoch > 0 and (before is None or before.gone)
        if ended and self._roster.successor(asking) is not None:
            raise superseded()

    async def _keep_contract(self, contract: bytes) -> str:
        digest = registry.digest(contract)
        if digest and digest not in self._stored:
            async with self._database.transaction(identity.service_principal("registry", None)) as session:
                await store.keep_contract(session, digest, contract)
            self._stored.add(digest)
        return digest

    async def _leave(
        self, request: pb.DeregisterRequest | pb.DrainRequest, state: pb.InstanceState, reason: str
    ) -> None:
        registry.check_owner(call.current().principal, request.name)
        try:
            entry = await self._keeper.known(request.name, request.instance_id)
        except errors.NotFound:
            # Taken out before: that it is asked again is no mistake.
            found = self._roster.find(request.name, request.instance_id)
            if found is None or state != pb.INSTANCE_STATE_GONE:
                raise
            return
        trail = registry.trail(request.instance_id)
        await self._keeper.change(entry.key, lambda known: registry.left(known, state, reason), audit=trail)


def _entry(row: HistoryEntry) -> pb.HistoryEntry:
    entry = pb.HistoryEntry(
        id=str(row.id),
        instance_id=str(row.instance_id),
        from_state=registry.state_of(row.from_state),
        to_state=registry.state_of(row.to_state),
        reason=row.reason,
        health_score=row.health_score,
        revision=row.revision,
    )
    entry.occurred_at.FromDatetime(row.occurred_at)
    return entry
