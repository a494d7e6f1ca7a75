"""The users of a tenant: who is in it, in which roles, at which sites.

An e-mail address that has an account elsewhere gets a membership here to which the person has not consented yet. All
that the tenant sees of it is as for a new one: it never learns whether another tenant knows the person.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2, events_pb2, users_pb2

from chassis import audit, call, clock, db, errors, events
from chassis.identity import Principal
from services.auth import access_store, oauth_scopes, passwords, power, roles, sessions, sites, store
from services.auth.models import Account, Membership
from services.auth.power import Given
from services.auth.store import Found

ACTIVE = "active"
DISABLED = "disabled"
STATUSES = {users_pb2.USER_STATUS_ACTIVE: ACTIVE, users_pb2.USER_STATUS_DISABLED: DISABLED}
NUMBERS = {word: number for number, word in STATUSES.items()}


def normalised(email: str) -> str:
    """An e-mail address as it is kept and compared."""
    return email.strip().lower()


async def me(session: AsyncSession) -> auth_pb2.Account | None:
    """The caller's account, under the name that the tenant knows; none for kiosks and POS systems.

    A program that acts for them is told as much as they let it be told.
    """
    principal = call.current().principal
    if principal.kind != "user":
        return None
    user_id = UUID(principal.id)
    await store.act_as(session, user_id)
    account = await store.account(session, user_id)
    if account is None:
        raise errors.Unauthenticated
    row = await store.membership(session, principal.tenant, user_id)
    told = auth_pb2.Account(id=principal.id, email=account.email, name=row.name if row else account.name)
    scopes = await sessions.scopes(session)
    if scopes is not None and oauth_scopes.EMAIL not in scopes:
        told.ClearField("email")
    if scopes is not None and oauth_scopes.PROFILE not in scopes:
        told.ClearField("name")
    return told


def check_password(wanted: users_pb2.User) -> None:
    """Raise `Invalid` for a new user whose password cannot be used."""
    found = ["is required"]
    if wanted.password:
        found = passwords.weaknesses(wanted.password, own=(wanted.email, wanted.name))
    if found:
        raise errors.Invalid(fields={"user.password": found})


async def create(session: AsyncSession, wanted: users_pb2.User, password_hash: str) -> users_pb2.User:
    """Add a user to the tenant, with a new account or the one that the e-mail address has."""
    email = normalised(wanted.email)
    given = Given(wanted.role, list(wanted.additional_roles), [UUID(site) for site in wanted.site_ids])
    await power.require_to_give(session, call.current().principal, given, about="user")
    # Not a UUIDv7: the time in it would tell that the account is older than this call.
    opening = Found(uuid4(), email, wanted.name, password_hash, operator=False)
    user_id = await store.open_account(session, opening)
    # Who has an account is asked first; who has none has nobody else to ask.
    return await join(
        session,
        user_id,
        given,
        name=wanted.name,
        status=STATUSES.get(wanted.status, ACTIVE),
        consents=user_id == opening.id,
    )


async def join(
    session: AsyncSession, user_id: UUID, given: Given, *, name: str, status: str = ACTIVE, consents: bool
) -> users_pb2.User:
    """Add an account to the tenant. Raises `AlreadyExists`, or `Conflict` where no seat is left."""
    now = clock.now()
    row = Membership(
        tenant_id=call.current().principal.tenant,
        user_id=user_id,
        name=name,
        role=given.role,
        additional_roles=list(given.additional_roles),
        site_ids=list(given.site_ids),
        status=status,
        consented_at=now if consents else None,
        version=1,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    audit.about(session, f"users/{user_id}")
    await _flush(session)
    created = await _answer(session, user_id)
    _tell(session, events_pb2.UserCreated(user=created), user_id)
    return created


async def get(session: AsyncSession, user_id: UUID) -> users_pb2.User:
    """One user, unless they are none of the caller's business."""
    row = await access_store.member(session, user_id)
    if row is None or not sees(call.current().principal, row.site_ids):
        raise errors.NotFound
    return to_message(row)


async def update(
    session: AsyncSession, user_id: UUID, changes: Mapping[str, Any], *, unknown_sites: Collection[str] = ()
) -> users_pb2.User:
    """Change name, roles, sites or status. Raises `Conflict` where the tenant would lose its last admin."""
    row, admins = await _lock(session, user_id)
    call.current().require_version(row.version)
    # A site that has been closed may stay.
    news = unknown_sites and set(unknown_sites) - {str(site) for site in row.site_ids}
    sites.refuse([str(site) for site in changes.get("site_ids", ())], news, field="user.site_ids")
    if all(getattr(row, name) == value for name, value in changes.items()):
        return await _answer(session, user_id)
    await _require_changeable(session, row, admins, changes)
    before = _access(row)
    for name, value in changes.items():
        setattr(row, name, value)
    await _note_change(session, row)
    if before != _access(row):
        await _take_effect(session, row.user_id, row.role if row.status == ACTIVE else "", reason="user_disabled")
    changed = await _answer(session, user_id)
    _tell(session, events_pb2.UserUpdated(user=changed), user_id)
    return changed


async def rename_me(session: AsyncSession, name: str) -> users_pb2.User:
    """Change the name by which the tenant knows the caller, which nobody has to allow."""
    user_id = UUID(call.current().principal.id)
    await sessions.require_person(session, also_in_their_name=True)
    row = await access_store.lock_member(session, user_id)
    if row is None:
        # An operator is in no tenant.
        raise errors.NotFound
    call.current().require_version(row.version)
    if row.name == name:
        return await _answer(session, user_id)
    row.name = name
    await _note_change(session, row)
    changed = await _answer(session, user_id)
    _tell(session, events_pb2.UserUpdated(user=changed), user_id)
    return changed


async def delete(session: AsyncSession, user_id: UUID) -> None:
    """Remove a user from the tenant. The account stays the person's."""
    row, admins = await _lock(session, user_id)
    call.current().require_version(row.version)
    await _require_changeable(session, row, admins, {"status": DISABLED})
    audit.about(session, f"users/{user_id}")
    await session.delete(row)
    await session.flush()
    await _take_effect(session, user_id, "", reason="user_removed")


def matching(request: users_pb2.ListUsersRequest) -> "sa.Select[Any]":
    """The users a list asks for, among those that the caller may see."""
    statement = access_store.members()
    if sites := [UUID(site) for site in call.current().principal.sites]:
        statement = statement.where(access_store.of_any(sites))
    if request.HasField("site_id"):
        statement = statement.where(access_store.of_any([UUID(request.site_id)]))
    if request.role:
        statement = statement.where(access_store.holding(request.role))
    if request.status:
        statement = statement.where(Membership.status == STATUSES[request.status])
    if request.q:
        email = sa.cast(Account.email, sa.Text)
        found = (Membership.name.icontains(request.q, autoescape=True), email.icontains(request.q, autoescape=True))
        statement = statement.where(sa.or_(*found))
    return statement


def of_site(site_id: UUID) -> "sa.Select[Any]":
    """The active users of a site. Raises `NotFound` for one where the caller does not act."""
    if not call.current().principal.may_see_site(site_id):
        raise errors.NotFound
    return access_store.members().where(access_store.of_any([site_id]), Membership.status == ACTIVE)


def to_message(row: "sa.Row[Any]") -> users_pb2.User:
    """A user as answered."""
    user = users_pb2.User(
        id=str(row.id),
        email=row.email,
        name=row.name,
        role=row.role,
        additional_roles=row.additional_roles,
        site_ids=[str(site) for site in row.site_ids],
        status=NUMBERS[row.status],
        version=row.version,
    )
    user.created_at.FromDatetime(row.created_at)
    user.updated_at.FromDatetime(row.updated_at)
    if row.last_login_at is not None:
        user.last_login_at.FromDatetime(row.last_login_at)
    return user


def sees(principal: Principal, site_ids: list[UUID]) -> bool:
    """Whether somebody with these sites is the principal's business."""
    return not site_ids or not principal.sites or any(principal.may_see_site(site) for site in site_ids)


async def _flush(session: AsyncSession) -> None:
    """Flush, and say which rule of the database stood in the way."""
    try:
        await session.flush()
    except IntegrityError as failure:
        violated = db.violated(failure)
        if violated == "memberships_pkey":
            message = "the tenant has a user with this e-mail address"
            raise errors.AlreadyExists(message, fields={"user.email": ["is taken"]}) from failure
        if violated == "memberships_seats":
            raise no_seat() from failure
        if violated == "memberships_roles_exist":
            # It was there a moment ago.
            raise errors.Invalid(fields={"user.role": ["there is no such role"]}) from failure
        raise


def no_seat() -> errors.Conflict:
    """The refusal of one user more than the tenant may have."""
    return errors.Conflict("the tenant has as many users as it may have", code="LIMIT_EXCEEDED")


async def _lock(session: AsyncSession, user_id: UUID) -> tuple[Membership, list[Membership]]:
    """The user, and the active admins, whose number cannot change before the transaction ends."""
    locked = await access_store.lock_with_holders(session, user_id, role=roles.ADMIN)
    row = next((member for member in locked if member.user_id == user_id), None)
    if row is None or not sees(call.current().principal, row.site_ids):
        raise errors.NotFound
    return row, [member for member in locked if _is_active_admin(_given(member, {}), member.status)]


async def _require_changeable(
    session: AsyncSession, row: Membership, admins: list[Membership], changes: Mapping[str, Any]
) -> None:
    principal = call.current().principal
    status = changes.get("status", row.status)
    # Neither somebody more powerful can be changed, nor somebody made so.
    await power.require_over(session, principal, _given(row, {}), about="user")
    await power.require_to_give(session, principal, _given(row, changes), about="user")
    if status == DISABLED and row.user_id == UUID(principal.id):
        message = "nobody removes or disables themselves"
        raise errors.Conflict(message, code="SELF_REMOVAL")
    if admins == [row] and not _is_active_admin(_given(row, changes), status):
        message = "this is the tenant's last active admin"
        raise errors.Conflict(message, code="LAST_ADMIN")


async def _note_change(session: AsyncSession, row: Membership) -> None:
    row.version += 1
    row.updated_at = clock.now()
    await _flush(session)


async def _take_effect(session: AsyncSession, user_id: UUID, role: str, *, reason: str) -> None:
    """Make what was issued before void: passes of this tenant, and sessions when no tenant is left to the person."""
    changed = events_pb2.RoleChanged(user_id=str(user_id), role=role)
    _tell(session, changed, user_id)
    left = await store.access_of(session, user_id)
    if not role and not left and not await store.is_operator(session, user_id):
        await sessions.end(session, user_id, reason=reason)


def _tell(session: AsyncSession, event: Any, user_id: UUID) -> None:
    # Those who administer people see them change; the person does too.
    audience = [f"user:{user_id}", "role:admin", "role:manager"]
    events.publish(session, event, subject=f"users/{user_id}", audience=audience)


async def _answer(session: AsyncSession, user_id: UUID) -> users_pb2.User:
    row = await access_store.member(session, user_id)
    assert row is not None
    return to_message(row)


def _given(row: Membership, changes: Mapping[str, Any]) -> Given:
    return Given(*(changes.get(name, getattr(row, name)) for name in Given._fields))


def _access(row: Membership) -> tuple[object, ...]:
    return (row.role, list(row.additional_roles), list(row.site_ids), row.status)


def _is_active_admin(given: Given, status: str) -> bool:
    return roles.ADMIN in (given.role, *given.additional_roles) and status == ACTIVE
