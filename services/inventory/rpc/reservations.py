"""Reservations, as the contract orders them."""

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import reservations_pb2 as pb

from chassis import audit
from chassis.rpc import server
from services.inventory import reservation_messages, reservations


class ReservationsRpc:
    """Serves the contract. `life_s`: after so many seconds a promise lapses by itself."""

    service = pb.DESCRIPTOR.services_by_name["ReservationsService"]

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s

    @server.transactional
    async def Reserve(self, request: pb.ReserveRequest, session: AsyncSession) -> pb.Reservation:
        audit.about(session, f"orders/{request.order_id}")
        row = await reservations.reserve(session, request, life_s=self._life_s)
        return reservation_messages.reservation(row)

    @server.transactional
    async def PostReservation(self, request: pb.PostReservationRequest, session: AsyncSession) -> pb.Reservation:
        audit.about(session, f"orders/{request.order_id}")
        row = await reservations.post(session, request.order_id, request.line_ids)
        return reservation_messages.reservation(row)

    @server.transactional
    async def ReleaseReservation(self, request: pb.ReleaseReservationRequest, session: AsyncSession) -> pb.Reservation:
        audit.about(session, f"orders/{request.order_id}")
        row = await reservations.release(session, request.order_id, request.line_ids, life_s=self._life_s)
        return reservation_messages.reservation(row)
