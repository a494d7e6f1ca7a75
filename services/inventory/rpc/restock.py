"""Restocking, as the contract orders it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import restock_pb2 as pb

from chassis import call
from chassis.paging import Pager
from chassis.rpc import server
from chassis.sites import Site, Sites
from services.inventory import inventory, restock, restock_messages, restock_store
from services.inventory.restock_models import RestockPlan

_COLUMNS = {"id": RestockPlan.id, "supplier": RestockPlan.supplier, "created_at": RestockPlan.created_at}


class RestockRpc:
    """Serves `switchyard.inventory.v1.RestockService`."""

    service = pb.DESCRIPTOR.services_by_name["RestockService"]

    def __init__(self, sites: Sites, pager: Pager) -> None:
        self._sites = sites
        self._pager = pager

    @server.transactional
    async def ListRestockPlans(
        self, request: pb.ListRestockPlansRequest, session: AsyncSession
    ) -> pb.ListRestockPlansResponse:
        page = self._pager.page(request, _COLUMNS, default="-created_at")
        rows, cursor = page.cut((await session.scalars(page.apply(_plans(request)))).all())
        return pb.ListRestockPlansResponse(plans=await _shown(session, rows), next_cursor=cursor)

    async def _site(self, request: pb.CreateRestockPlanRequest) -> Site:
        return await self._sites.get(request.plan.site_id)

    @server.prepared(_site)
    @server.transactional
    async def CreateRestockPlan(
        self, request: pb.CreateRestockPlanRequest, session: AsyncSession, site: Site
    ) -> pb.RestockPlan:
        return (await _shown(session, [await restock.create(session, request.plan, site)]))[0]

    @server.transactional
    async def GetRestockPlan(self, request: pb.GetRestockPlanRequest, session: AsyncSession) -> pb.RestockPlan:
        return (await _shown(session, [await restock.get(session, request.id)]))[0]

    @server.transactional
    async def UpdateRestockPlan(self, request: pb.UpdateRestockPlanRequest, session: AsyncSession) -> pb.RestockPlan:
        changed = await restock.change(session, request.id, request.plan, request.update_mask.paths)
        return (await _shown(session, [changed]))[0]

    @server.transactional
    async def ReceiveRestockPlan(self, request: pb.ReceiveRestockPlanRequest, session: AsyncSession) -> pb.RestockPlan:
        return (await _shown(session, [await restock.receive(session, request)]))[0]

    async def _asked_site(self, request: pb.ListRestockSuggestionsRequest) -> Site:
        return await self._sites.get(request.site_id)

    @server.prepared(_asked_site)
    @server.transactional
    async def ListRestockSuggestions(
        self, request: pb.ListRestockSuggestionsRequest, session: AsyncSession, _site: Site
    ) -> pb.ListRestockSuggestionsResponse:
        return await restock.suggest(session, request)


async def _shown(session: AsyncSession, rows: Sequence[RestockPlan]) -> list[pb.RestockPlan]:
    await session.flush()
    lines = await restock_store.lines(session, [row.id for row in rows])
    return [restock_messages.plan(row, lines[row.id]) for row in rows]


def _plans(request: pb.ListRestockPlansRequest) -> Any:
    if request.HasField("site_id"):
        inventory.check_site(request.site_id)
    return restock_store.plans(
        sites=[UUID(site) for site in call.current().principal.sites],
        site_id=UUID(request.site_id) if request.HasField("site_id") else None,
        state=restock_messages.state(request.state),
        supplier=request.supplier,
    )
