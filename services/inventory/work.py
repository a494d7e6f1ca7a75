"""What inventory does by itself: it gives back what was promised for too long, and warns of what expires."""

import structlog

from chassis import call, clock, identity
from chassis.db import Database
from services.inventory import lots, reservation_store, reservations, store

BATCH = 100

log = structlog.get_logger()


async def expire(database: Database) -> None:
    """Expire the reservations whose time is over, each in its own tenant."""
    async with database.transaction(identity.service_principal("inventory", None)) as session:
        lapsed = await reservation_store.lapsed(session, at=clock.now(), most=BATCH)
    for due in lapsed:
        tenant_id, order_id = due[0], due[1]
        principal = identity.service_principal("inventory", tenant_id)
        with call.answering(call.Call(principal=principal, action="inventory.ExpireReservation", category="data")):
            try:
                async with database.transaction() as session:
                    await reservations.expire(session, order_id)
            except Exception:
                # Whatever it is, the others do not wait for it; the next round takes it up again.
                log.exception("reservation_not_expired", order_id=str(order_id))


async def warn(database: Database) -> None:
    """Tell of the batches that expire soon or have, each in its own tenant."""
    async with database.transaction(identity.service_principal("inventory", None)) as session:
        crossed = await store.expiring(session, at=clock.now(), days=lots.WARN_DAYS, most=BATCH)
    for tenant_id, batch_id in crossed:
        principal = identity.service_principal("inventory", tenant_id)
        with call.answering(call.Call(principal=principal, action="inventory.WarnOfExpiry", category="data")):
            try:
                async with database.transaction() as session:
                    await lots.warn(session, batch_id)
            except Exception:
                log.exception("batch_not_warned_of", batch_id=str(batch_id))
