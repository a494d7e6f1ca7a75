"""The lines of orders, as the contract orders them."""

from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from google.protobuf.descriptor import ServiceDescriptor
from switchyard.orders.v1 import lines_pb2, orders_pb2

from chassis import errors
from services.orders import lines, messages
from services.orders.rpc.counter import Counter


class LinesRpc:
    """Serves `switchyard.orders.v1.LinesService`."""

    service: ClassVar[ServiceDescriptor] = lines_pb2.DESCRIPTOR.services_by_name["LinesService"]

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    async def UpdateLine(self, request: lines_pb2.UpdateLineRequest) -> orders_pb2.Order:
        order_id, change = UUID(request.id), _change(request)
        act = partial(lines.update, order_id=order_id, line_id=UUID(request.line_id), change=change)
        return await self._counter.once(request, order_id, act)

    async def RemakeLine(self, request: lines_pb2.RemakeLineRequest) -> orders_pb2.Order:
        order_id = UUID(request.id)
        quantity = request.quantity if request.HasField("quantity") else None
        asked: dict[str, Any] = {"line_id": UUID(request.line_id), "reason": request.reason, "quantity": quantity}
        return await self._counter.once(request, order_id, partial(lines.remake, order_id=order_id, **asked))

    async def AddLines(self, request: lines_pb2.AddLinesRequest) -> orders_pb2.Order:
        order_id = UUID(request.id)
        act = partial(lines.add, order_id=order_id, wished=request.lines)
        return await self._counter.once(request, order_id, act)


def _change(request: lines_pb2.UpdateLineRequest) -> lines.Change:
    named = set(request.update_mask.paths)
    status = messages.word("LineStatus", request.line.status) if "status" in named else ""
    if "status" in named and not status:
        raise errors.Invalid(fields={"line.status": ["must be a state"]})
    notes = request.line.notes if "notes" in named else None
    return lines.Change(status=status, notes=notes, reason=request.line.reason if "reason" in named else "")
