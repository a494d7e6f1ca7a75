"""Telling the world, and the trail, that leases were lost."""

from collections.abc import Iterable
from itertools import groupby
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.locks.v1 import events_pb2

from chassis import audit, call, events, identity
from chassis.identity import Principal
from services.locks import locks, store
from services.locks.locks import Ended


async def tell(session: AsyncSession, name: str, lost: Iterable[Ended]) -> None:
    """Publish each loss and leave it in the trail, unless that was done."""
    tenant = events.of(session).principal.tenant
    for loss in lost:
        if not await store.first_time(session, tenant=tenant, token=loss.token):
            continue
        event = events_pb2.LeaseLost(
            lock_name=name,
            holder=loss.holder,
            owner=loss.owner,
            fencing_token=loss.token,
            reason=loss.reason,
            comment=loss.comment,
            by=loss.by,
        )
        audience = [loss.holder] if loss.holder.startswith("user:") else []
        events.publish(session, event, subject=f"locks/{name}", audience=audience)
        before = {"holder": loss.holder, "owner": loss.owner, "fencing_token": loss.token}
        after = {"holder": None, "reason": "broken", "comment": loss.comment}
        if loss.reason == locks.EXPIRED:
            after = {"holder": None, "reason": "expired"}
        audit.changed(session, f"locks/{name}", before=before, after=after)
    await store.forget(session)


def by_call(tenant: UUID, lost: Iterable[Ended]) -> list[tuple[call.Call, list[Ended]]]:
    """The losses by what brought them about, as far as it is known afterwards."""
    ordered = sorted(lost, key=lambda loss: (loss.reason, loss.by))
    return [
        (_call(tenant, by), list(some)) for (_, by), some in groupby(ordered, key=lambda loss: (loss.reason, loss.by))
    ]


def _call(tenant: UUID, by: str) -> call.Call:
    if not by:
        return call.Call(identity.service_principal("locks", tenant), "locks.ExpireLease", "system")
    kind, _, own_id = by.partition(":")
    return call.Call(Principal(kind, own_id, tenant), "locks.BreakLock", "system")
