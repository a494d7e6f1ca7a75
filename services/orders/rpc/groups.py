"""Group orders, as the contract orders them.

Whoever shows a code or a participant's token acts as nobody in the tenant whose it is. For a code that may not be used
the database is asked the same one question, and the answer is the same, whatever is wrong with it.
"""

from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import groups_pb2

from chassis import call, clock, errors, identity, paging
from chassis.db import Database
from chassis.rpc import server
from chassis.sites import Site, Sites
from services.orders import group_joining, group_messages, group_store, groups, messages
from services.orders.group_models import GroupOrder
from services.orders.rpc.group_keeping import GroupKeeping

_NOBODY = identity.service_principal("orders", None)


class GroupsRpc:
    """Serves `switchyard.orders.v1.GroupOrdersService`."""

    service: ClassVar[ServiceDescriptor] = groups_pb2.DESCRIPTOR.services_by_name["GroupOrdersService"]

    def __init__(self, database: Database, keeping: GroupKeeping, sites: Sites, pager: paging.Pager) -> None:
        self._database = database
        self._keeping = keeping
        self._sites = sites
        self._pager = pager

    async def _site(self, request: groups_pb2.CreateGroupOrderRequest) -> Site:
        return await self._sites.get(request.site_id)

    @server.transactional
    @server.prepared(_site)
    async def CreateGroupOrder(
        self, request: groups_pb2.CreateGroupOrderRequest, session: AsyncSession, site: Site
    ) -> groups_pb2.GroupOrder:
        return group_messages.group(await groups.create(session, request, site))

    @server.transactional
    async def ListGroupOrders(
        self, request: groups_pb2.ListGroupOrdersRequest, session: AsyncSession
    ) -> groups_pb2.ListGroupOrdersResponse:
        columns = {"created_at": GroupOrder.created_at, "deadline": GroupOrder.deadline, "id": GroupOrder.id}
        page = self._pager.page(request, columns, default="-created_at")
        select = sa.select(GroupOrder).where(*_filters(request))
        rows, next_cursor = page.cut((await session.scalars(page.apply(select))).all())
        return groups_pb2.ListGroupOrdersResponse(group_orders=map(group_messages.group, rows), next_cursor=next_cursor)

    async def ValidateGroupOrderCode(
        self, request: groups_pb2.ValidateGroupOrderCodeRequest
    ) -> groups_pb2.GroupOrderCode:
        found = await self._invitation(request.code)
        return groups_pb2.GroupOrderCode(valid=True, id=str(found.id), deadline=messages.time(found.deadline))

    async def GetGroupOrderByCode(
        self, request: groups_pb2.GetGroupOrderByCodeRequest
    ) -> groups_pb2.GroupOrderInvitation:
        return group_messages.invitation(await self._invitation(request.code))

    @server.transactional
    async def GetGroupOrder(
        self, request: groups_pb2.GetGroupOrderRequest, session: AsyncSession
    ) -> groups_pb2.GroupOrder:
        group = await groups.get(session, UUID(request.id))
        return group_messages.group(group, await group_store.participants(session, group.id))

    async def _invited(self, request: groups_pb2.JoinGroupOrderRequest) -> None:
        code = group_joining.normalised(request.code)
        async with self._database.transaction(_NOBODY) as session:
            _act_in(await group_store.tenant_of_code(session, code, UUID(request.id)))

    @server.transactional
    @server.prepared(_invited)
    async def JoinGroupOrder(
        self, request: groups_pb2.JoinGroupOrderRequest, session: AsyncSession, _invited: None
    ) -> groups_pb2.Participation:
        return group_messages.participation(*await group_joining.join(session, request))

    async def _joined(self, request: groups_pb2.UpdateParticipationRequest | groups_pb2.WithdrawRequest) -> None:
        digest, participant_id = group_joining.digest(request.token), UUID(request.participant_id)
        async with self._database.transaction(_NOBODY) as session:
            found = await group_store.tenant_of_participant(session, UUID(request.id), participant_id, digest)
            _act_in(found, participant_id)

    @server.transactional
    @server.prepared(_joined)
    async def UpdateParticipation(
        self, request: groups_pb2.UpdateParticipationRequest, session: AsyncSession, _joined: None
    ) -> groups_pb2.Participation:
        return group_messages.participation(await group_joining.change(session, request))

    @server.transactional
    @server.prepared(_joined)
    async def Withdraw(self, request: groups_pb2.WithdrawRequest, session: AsyncSession, _joined: None) -> Empty:
        await group_joining.withdraw(session, UUID(request.id), UUID(request.participant_id))
        return Empty()

    @server.transactional
    async def RemoveParticipant(self, request: groups_pb2.RemoveParticipantRequest, session: AsyncSession) -> Empty:
        await groups.remove(session, UUID(request.id), UUID(request.participant_id))
        return Empty()

    @server.transactional
    async def LockGroupOrder(
        self, request: groups_pb2.LockGroupOrderRequest, session: AsyncSession
    ) -> groups_pb2.GroupOrder:
        return group_messages.group(await groups.lock(session, UUID(request.id)))

    @server.transactional
    async def UnlockGroupOrder(
        self, request: groups_pb2.UnlockGroupOrderRequest, session: AsyncSession
    ) -> groups_pb2.GroupOrder:
        return group_messages.group(await groups.unlock(session, request))

    async def SubmitGroupOrder(self, request: groups_pb2.SubmitGroupOrderRequest) -> groups_pb2.GroupOrder:
        group_id = UUID(request.id)
        terms = await self._keeping.terms(request)
        async with self._database.transaction() as session:
            order_id = await groups.submit(session, group_id, terms)
        await self._keeping.place(group_id, order_id)
        async with self._database.transaction() as session:
            return group_messages.group(await groups.get(session, group_id))

    @server.transactional
    async def CancelGroupOrder(
        self, request: groups_pb2.CancelGroupOrderRequest, session: AsyncSession
    ) -> groups_pb2.GroupOrder:
        return group_messages.group(await groups.cancel(session, UUID(request.id)))

    async def _invitation(self, code: str) -> Any:
        async with self._database.transaction(_NOBODY) as session:
            found = await group_store.invitation(session, group_joining.normalised(code), at=clock.now())
        if found is None:
            raise errors.NotFound
        return found


def _act_in(tenant_id: UUID | None, participant_id: UUID | str = "") -> None:
    """Let whoever calls act as nobody in a tenant. Raises `NotFound` where there is none."""
    if tenant_id is None:
        raise errors.NotFound
    call.current().principal = identity.Principal("anonymous", str(participant_id), tenant_id)


def _filters(request: groups_pb2.ListGroupOrdersRequest) -> list[Any]:
    principal = call.current().principal
    asked: list[tuple[bool, Any]] = [
        (bool(principal.sites), GroupOrder.site_id.in_([UUID(site) for site in principal.sites])),
        (request.status != 0, GroupOrder.status == group_messages.word(request.status) if request.status else None),
        (bool(request.site_id), GroupOrder.site_id == (UUID(request.site_id) if request.site_id else None)),
    ]
    return [condition for applies, condition in asked if applies]
