"""Acting in a user's name: a session of theirs that says who it really is, short, in one tenant, and in the trail."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors
from services.auth import access_store, power, sessions, store, users
from services.auth.models import Session
from services.auth.power import Given

# As long as an access token, which nobody can renew.
LIFE = timedelta(seconds=sessions.ACCESS_S)
FORBIDDEN = "IMPERSONATION_FORBIDDEN"


async def begin(session: AsyncSession, user_id: UUID, reason: str) -> Session:
    """A session in a user's name.

    It ends with the session that it is begun from. Raises `Denied` for somebody who may do more than the caller, for an
    operator, and for oneself.
    """
    current = call.current()
    principal = current.principal
    # A program has no business in it, nor somebody who is not themselves already.
    await sessions.require_person(session)
    row = await access_store.lock_member(session, user_id)
    if row is None or not users.sees(principal, row.site_ids):
        raise errors.NotFound
    if str(user_id) == principal.id or await store.is_operator(session, user_id):
        message = "nobody acts in this person's name"
        raise errors.Denied(message, code=FORBIDDEN)
    if row.status != users.ACTIVE or row.consented_at is None:
        message = "the user cannot act, so nobody can in their name"
        raise errors.Conflict(message, code="USER_INACTIVE")
    given = Given(row.role, row.additional_roles, row.site_ids)
    await power.require_over(session, principal, given, about="user")
    now = clock.now()
    made = Session(
        id=uuid7(),
        user_id=user_id,
        life_s=int(LIFE.total_seconds()),
        device_id="",
        address=current.address,
        user_agent=current.user_agent,
        created_at=now,
        last_used_at=now,
        expires_at=now + LIFE,
        method="impersonation",
        actor=principal.name,
        actor_session=UUID(principal.session_id),
        tenant_id=principal.tenant,
        authenticated_at=now,
        renewable=False,
    )
    await store.act_as(session, user_id)
    session.add(made)
    await session.flush()
    audit.changed(session, f"users/{user_id}", after={"impersonated_by": principal.name, "reason": reason})
    return made
