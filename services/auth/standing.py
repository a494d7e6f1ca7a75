"""What auth is told of tenants: whether anybody may act in one, and how many users it may have.

Events come again and out of order. Their ids are UUIDv7: an older one than the last that was heeded changes nothing.
"""

from collections.abc import Mapping
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import events_pb2
from switchyard.tenants.v1 import tenants_pb2

from chassis import audit, call, events
from services.auth.models import TenantStanding

ACTIVE = "active"
SUSPENDED = "suspended"


async def set_status(session: AsyncSession, tenant_id: str, status: str) -> None:
    """Let everybody act in a tenant, or nobody; what was issued before is void within a second."""
    told_by = UUID(call.current().caused_by)
    if not await _heed(session, {"status": status, "status_by": told_by}, TenantStanding.status_by, told_by):
        return
    audit.changed(session, f"tenants/{tenant_id}", after={"status": status})
    changed = events_pb2.TenantStatusChanged(tenant_id=tenant_id, status=status)
    events.publish(session, changed, subject=f"tenants/{tenant_id}", audience=["tenant"])


async def set_limits(session: AsyncSession, tenant: tenants_pb2.Tenant) -> None:
    """Take over a tenant's name and how many users it may have."""
    told_by = UUID(call.current().caused_by)
    users_max = tenant.limits.users_max if tenant.limits.HasField("users_max") else None
    values = {"name": tenant.name, "users_max": users_max, "limits_by": told_by}
    await _heed(session, values, TenantStanding.limits_by, told_by)


async def _heed(
    session: AsyncSession,
    values: Mapping[str, object],
    column: "sa.orm.InstrumentedAttribute[UUID | None]",
    told_by: UUID,
) -> bool:
    statement = (
        postgresql.insert(TenantStanding)
        .values(tenant_id=call.current().principal.tenant, **values)
        .on_conflict_do_update(
            index_elements=["tenant_id"], set_=dict(values), where=sa.or_(column.is_(None), column < told_by)
        )
        .returning(TenantStanding.tenant_id)
    )
    return (await session.execute(statement)).first() is not None
