"""The site that a session acts in where a call names none: chosen by its person, for each tenant apart."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import events_pb2

from chassis import audit, call, errors, events
from services.auth import store


async def choosable(session: AsyncSession) -> Collection[str]:
    """The sites among which the caller may choose, whichever they act in now; empty: all of the tenant."""
    principal = call.current().principal
    if principal.kind != "user":
        return principal.sites
    access = await store.access_of(session, UUID(principal.id))
    return [str(site) for one in access if one.tenant_id == principal.tenant for site in one.site_ids]


async def active(session: AsyncSession) -> UUID | None:
    """The one chosen."""
    principal = call.current().principal
    if principal.kind != "user" or not principal.session_id:
        return None
    await store.act_as(session, UUID(principal.id))
    return await store.active_site(session, UUID(principal.session_id), principal.tenant)


async def choose(session: AsyncSession, site_id: UUID | None) -> None:
    """Act in a site from now on, or in all again. Raises `NotFound` for one that is not the caller's."""
    principal = call.current().principal
    among = await choosable(session)
    if site_id is not None and among and str(site_id) not in among:
        raise errors.NotFound
    user_id, session_id = UUID(principal.id), UUID(principal.session_id)
    await store.act_as(session, user_id)
    if await store.lock_session(session, session_id) is None:
        message = "a token has no session that could remember a site"
        raise errors.FailedPrecondition(message, code="NO_SESSION")
    audit.changed(session, f"sessions/{session_id}", after={"active_site": site_id and str(site_id)})
    await store.set_active_site(session, session_id, user_id, principal.tenant, site_id)
    # Passes that were made for the old one are void.
    changed = events_pb2.RoleChanged(user_id=principal.id, role=principal.roles[0] if principal.roles else "")
    events.publish(session, changed, subject=f"users/{principal.id}", audience=[f"user:{principal.id}"])
