"""Items in bulk, as the contract orders it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import imports_pb2 as pb

from chassis.paging import Pager
from chassis.rpc import server
from services.inventory import imports, imports_batch, imports_messages, imports_store
from services.inventory.imports_models import Import, RowError

_JOB_COLUMNS = {"id": Import.id, "created_at": Import.created_at}
# A row has one error for each of its problems, in their order.
_ERROR_COLUMNS = {"id": RowError.position, "row": RowError.row}


class ImportsRpc:
    """Serves `switchyard.inventory.v1.ImportsService`."""

    service = pb.DESCRIPTOR.services_by_name["ImportsService"]

    def __init__(self, pager: Pager) -> None:
        self._pager = pager

    @server.transactional
    async def BatchItems(self, request: pb.BatchItemsRequest, session: AsyncSession) -> pb.BatchItemsResponse:
        return await imports_batch.apply(session, request)

    @server.transactional
    async def ImportItems(self, request: pb.ImportItemsRequest, session: AsyncSession) -> pb.Import:
        return imports_messages.job(await imports.begin(session, request))

    @server.transactional
    async def PutImportChunk(self, request: pb.PutImportChunkRequest, session: AsyncSession) -> pb.Import:
        return imports_messages.job(await imports.add(session, request))

    @server.transactional
    async def ListImports(self, request: pb.ListImportsRequest, session: AsyncSession) -> pb.ListImportsResponse:
        page = self._pager.page(request, _JOB_COLUMNS, default="-created_at")
        rows, cursor = page.cut((await session.scalars(page.apply(imports_store.jobs()))).all())
        return pb.ListImportsResponse(imports=map(imports_messages.job, rows), next_cursor=cursor)

    @server.transactional
    async def GetImport(self, request: pb.GetImportRequest, session: AsyncSession) -> pb.Import:
        return imports_messages.job(await imports.get(session, request.id))

    @server.transactional
    async def ListImportErrors(
        self, request: pb.ListImportErrorsRequest, session: AsyncSession
    ) -> pb.ListImportErrorsResponse:
        await imports.get(session, request.id)
        page = self._pager.page(request, _ERROR_COLUMNS, default="row")
        found = await session.execute(page.apply(imports_store.errors(UUID(request.id))))
        rows, cursor = page.cut(found.all())
        return pb.ListImportErrorsResponse(errors=map(imports_messages.error, rows), next_cursor=cursor)
