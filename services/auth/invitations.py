"""Invitations: a letter's token that makes somebody a user of the tenant, or lets them consent to being one.

Every user who is created gets one too, whether or not the e-mail address had an account before: consent for who had
one, and for everybody the proof that the address is theirs. A token is used up by a single statement; its hash alone is
kept. An invitation gives no more than its inviter could give at the moment it is accepted.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import events_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events
from chassis.identity import Principal
from services.auth import access_store, letters, passwords, power, roles, sessions, store, users
from services.auth.access_store import Invited
from services.auth.letters import Letters
from services.auth.models import Invitation
from services.auth.power import Given
from services.auth.store import Found

PREFIX = "inv_"
LIFE = timedelta(days=7)
# Until then its token is told that it has ended.
FORGOTTEN_AFTER = timedelta(days=30)
PERMISSION = "auth.users.write"
# Why the sessions end of an account whose owner has chosen another password.
_PROVEN = "password_changed"


class Guest(NamedTuple):
    """Somebody with a good token. `account` is the one that the address has, or will have."""

    invited: Invited
    account: UUID
    # Whose password is theirs already.
    proven: bool


async def create(session: AsyncSession, wanted: users_pb2.Invitation, post: Letters) -> users_pb2.Invitation:
    """Invite somebody, and send the letter; an invitation that they had is no more."""
    principal = call.current().principal
    email = users.normalised(wanted.email)
    given = Given(wanted.role, list(wanted.additional_roles), [UUID(site) for site in wanted.site_ids])
    await power.require_to_give(session, principal, given, about="invitation")
    if await access_store.membership_of(session, email) is not None:
        message = "the tenant has a user with this e-mail address"
        raise errors.AlreadyExists(message, fields={"invitation.email": ["is taken"]})
    if (known := await access_store.lock_invitation_to(session, email)) is not None:
        await _withdraw(session, known)
    taken, at_most = await access_store.count_seats(session)
    if at_most is not None and taken >= at_most:
        raise users.no_seat()
    row = await _send(session, post, email, given, invited_by=UUID(principal.id))
    return to_message(Invitation(**row))


async def confirm(session: AsyncSession, created: users_pb2.User, post: Letters) -> None:
    """Send a user who was created the letter with which they show that the address is theirs, and consent."""
    given = Given(created.role, list(created.additional_roles), [UUID(site) for site in created.site_ids])
    if (known := await access_store.lock_invitation_to(session, created.email)) is not None:
        await _withdraw(session, known)
    await _send(session, post, created.email, given, user_id=UUID(created.id))


def matching() -> Any:
    """The invitations that the caller may see."""
    statement = access_store.invitations()
    if sites := [UUID(site) for site in call.current().principal.sites]:
        statement = statement.where(access_store.in_any(Invitation.site_ids, sites))
    return statement


async def delete(session: AsyncSession, invitation_id: UUID) -> None:
    """Withdraw an invitation."""
    row = await access_store.lock_invitation(session, invitation_id)
    if row is None or not users.sees(call.current().principal, row.site_ids):
        raise errors.NotFound
    await _withdraw(session, row)


async def find(session: AsyncSession, token: str) -> Guest:
    """Who comes with a token. Raises `Unauthenticated`; what was good and has ended is told so."""
    invited = await access_store.find_invitation(session, sessions.digest(token))
    if invited is None:
        raise refused()
    if invited.expires_at <= clock.now():
        raise sessions.expired()
    found = await store.find_account(session, invited.email)
    proven = await access_store.is_proven(session, invited.email)
    return Guest(invited, found.id if found else uuid4(), proven)


def check(guest: Guest, *, name: str, password: str) -> None:
    """Raise `Invalid` for a name or password that an account cannot have."""
    weak = ["is required"]
    if password:
        weak = passwords.weaknesses(password, own=(guest.invited.email, name))
    found = {"name": [] if name else ["is required"], "password": weak}
    if any(found.values()):
        raise errors.Invalid(fields={field: messages for field, messages in found.items() if messages})


def acting(guest: Guest) -> Principal:
    """The guest in the tenant that invites them, whose trail tells of it."""
    return Principal("user", str(guest.account), guest.invited.tenant_id)


async def accept(session: AsyncSession, guest: Guest, token: str, *, name: str, password_hash: str) -> None:
    """Use a token up: the guest is a user of the tenant. Raises `Unauthenticated` if another call was faster."""
    taken = await access_store.take_invitation(session, guest.invited.id, sessions.digest(token), clock.now())
    if taken is None:
        raise refused()
    audit.changed(session, f"invitations/{taken.id}", before={"email": taken.email, "role": taken.role})
    await store.act_as(session, guest.account)
    if not guest.proven:
        await _prove(session, guest, name=name, password_hash=password_hash)
    if taken.user_id is not None:
        await access_store.consent(session, taken.user_id, clock.now())
        audit.about(session, f"users/{taken.user_id}")
        return
    given = Given(taken.role, taken.additional_roles, taken.site_ids)
    await _require_good(session, given, taken.invited_by)
    account = await store.account(session, guest.account)
    assert account is not None
    await users.join(session, guest.account, given, name=account.name, consents=True)


async def forget(session: AsyncSession) -> None:
    """Delete invitations that ended long ago."""
    await access_store.forget_invitations(session, clock.now() - FORGOTTEN_AFTER)


def refused() -> errors.Unauthenticated:
    """The one refusal of a token, whatever is wrong with it."""
    return errors.Unauthenticated("the invitation is not valid")


def to_message(row: Invitation) -> users_pb2.Invitation:
    """An invitation as answered: without what its letter holds."""
    answer = users_pb2.Invitation(
        id=str(row.id),
        email=row.email,
        role=row.role,
        additional_roles=row.additional_roles,
        site_ids=[str(site) for site in row.site_ids],
    )
    answer.expires_at.FromDatetime(row.expires_at)
    answer.created_at.FromDatetime(row.created_at)
    return answer


async def _send(session: AsyncSession, post: Letters, email: str, given: Given, **whose: UUID) -> dict[str, Any]:
    """Keep an invitation and write its letter."""
    now = clock.now()
    token = PREFIX + secrets.token_urlsafe(32)
    tenant = call.current().principal.tenant
    row = {
        "tenant_id": tenant,
        "id": uuid7(),
        "email": email,
        **given._asdict(),
        "invited_by": None,
        "user_id": None,
        "hash": sessions.digest(token),
        "created_at": now,
        "expires_at": now + LIFE,
        **whose,
    }
    await access_store.put_invitation(session, row)
    audit.changed(session, f"invitations/{row['id']}", after={"email": email, **given._asdict()})
    # Who has a password of their own is not asked for one.
    proven = await access_store.is_proven(session, email)
    told = {"tenant": await access_store.tenant_name(session), "expires_at": f"{row['expires_at']:%Y-%m-%d %H:%M} UTC"}
    kind = letters.MEMBERSHIP_CONSENT if proven else letters.INVITATION
    await post.write(session, to=email, kind=kind, token=token, told=told)
    return row


async def _withdraw(session: AsyncSession, row: Invitation) -> None:
    given = Given(row.role, row.additional_roles, row.site_ids)
    await power.require_over(session, call.current().principal, given, about="invitation")
    await session.delete(row)
    await session.flush()


async def _prove(session: AsyncSession, guest: Guest, *, name: str, password_hash: str) -> None:
    """Open the account, or hand it to the one who has shown that its address is theirs."""
    opening = Found(guest.account, guest.invited.email, name, password_hash, operator=False)
    if await store.open_account(session, opening) != guest.account:
        message = "the account was opened at the same time; try again"
        raise errors.Conflict(message, code="CONTENTION", retry_after_s=0.1)
    if not await access_store.prove_account(session, guest.account, name=name, password_hash=password_hash):
        return
    # Whoever chose the password before may have signed in with it. The tenant's trail does not tell that they had.
    for ended in await store.end_sessions(session, guest.account, clock.now(), reason=_PROVEN):
        event = events_pb2.SessionRevoked(session_id=str(ended), user_id=str(guest.account), reason=_PROVEN)
        events.publish(session, event, subject=f"sessions/{ended}", audience=[f"user:{guest.account}"])


async def _require_good(session: AsyncSession, given: Given, invited_by: UUID) -> None:
    """Refuse what its inviter could not give now."""
    inviter = await _inviter(session, invited_by)
    try:
        await power.require_to_give(session, inviter, given, about="invitation")
    except (errors.Denied, errors.Invalid) as failure:
        raise refused() from failure
    if not inviter.may(PERMISSION):
        raise refused()


async def _inviter(session: AsyncSession, user_id: UUID) -> Principal:
    """What the inviter may do now; nothing, for one who is no longer there."""
    nobody = Principal("user", str(user_id), call.current().principal.tenant)
    if await store.is_operator(session, user_id):
        return _with(nobody, roles.permissions(roles.ADMIN))
    row = await store.membership(session, nobody.tenant, user_id)
    if row is None or row.status != users.ACTIVE or row.consented_at is None:
        return nobody
    held = await roles.allowed(session, [row.role, *row.additional_roles])
    return _with(nobody, frozenset().union(*held.values()), row.site_ids)


def _with(principal: Principal, permissions: frozenset[str], sites: Sequence[UUID] = ()) -> Principal:
    return Principal(
        principal.kind,
        principal.id,
        principal.tenant_id,
        permissions=permissions,
        sites=frozenset(str(site) for site in sites),
    )
