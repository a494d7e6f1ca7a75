"""The users of a tenant: who is in it, in which role, at which sites.

An e-mail address that has an account elsewhere gets a membership here, and the answer looks as for a new one: a tenant
never learns whether another knows the person.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import auth_pb2, events_pb2, users_pb2

from chassis import audit, call, clock, db, errors, events
from chassis.identity import Principal
from services.auth import passwords, roles, sessions, store
from services.auth.models import Account, Membership
from services.auth.store import Found

ACTIVE = "active"
DISABLED = "disabled"
STATUSES = {users_pb2.USER_STATUS_ACTIVE: ACTIVE, users_pb2.USER_STATUS_DISABLED: DISABLED}
NUMBERS = {word: number for number, word in STATUSES.items()}


def normalised(email: str) -> str:
    """An e-mail address as it is kept and compared."""
    return email.strip().lower()


async def me(session: AsyncSession) -> auth_pb2.Account | None:
    """The caller's account, under the name that the tenant knows; none for kiosks and POS systems."""
    principal = call.current().principal
    if principal.kind != "user":
        return None
    user_id = UUID(principal.id)
    await store.act_as(session, user_id)
    account = await store.account(session, user_id)
    if account is None:
        raise errors.Unauthenticated
    row = await store.membership(session, principal.tenant, user_id)
    return auth_pb2.Account(id=principal.id, email=account.email, name=row.name if row else account.name)


async def create(session: AsyncSession, wanted: users_pb2.User, hasher: passwords.Hasher) -> users_pb2.User:
    """Add a user to the tenant, with a new account or the one that the e-mail address has."""
    principal = call.current().principal
    email = normalised(wanted.email)
    sites = [UUID(site) for site in wanted.site_ids]
    _check_password(wanted)
    _require_role(wanted.role)
    _require_power_over(principal, wanted.role, sites)
    hashed = await hasher.hash(wanted.password)
    # Not a UUIDv7: the time in it would tell that the account is older than this call.
    opening = Found(uuid4(), email, wanted.name, hashed, operator=False)
    now = clock.now()
    row = Membership(
        tenant_id=principal.tenant,
        user_id=await store.open_account(session, opening),
        name=wanted.name,
        role=wanted.role,
        site_ids=sites,
        status=STATUSES.get(wanted.status, ACTIVE),
        consented_at=now,
        version=1,
        created_at=now,
        updated_at=now,
    )
    await _insert(session, row)
    created = await _answer(session, row.user_id)
    _tell(session, events_pb2.UserCreated(user=created), row.user_id)
    return created


async def get(session: AsyncSession, user_id: UUID) -> users_pb2.User:
    """One user, unless they are none of the caller's business."""
    row = await store.member(session, user_id)
    if row is None or not _sees(call.current().principal, row.site_ids):
        raise errors.NotFound
    return to_message(row)


async def update(session: AsyncSession, user_id: UUID, changes: Mapping[str, Any]) -> users_pb2.User:
    """Change name, role, sites or status. Raises `Conflict` where the tenant would lose its last admin."""
    row, admins = await _lock(session, user_id)
    call.current().require_version(row.version)
    before = (row.role, row.status, list(row.site_ids))
    if all(getattr(row, name) == value for name, value in changes.items()):
        return await _answer(session, user_id)
    _require_changeable(row, admins, changes)
    for name, value in changes.items():
        setattr(row, name, value)
    row.version += 1
    row.updated_at = clock.now()
    await session.flush()
    if before != (row.role, row.status, list(row.site_ids)):
        await _take_effect(session, row.user_id, row.role if row.status == ACTIVE else "", reason="user_disabled")
    changed = await _answer(session, user_id)
    _tell(session, events_pb2.UserUpdated(user=changed), user_id)
    return changed


async def delete(session: AsyncSession, user_id: UUID) -> None:
    """Remove a user from the tenant. The account stays the person's."""
    row, admins = await _lock(session, user_id)
    call.current().require_version(row.version)
    _require_changeable(row, admins, {"status": DISABLED})
    audit.about(session, f"users/{user_id}")
    await session.delete(row)
    await session.flush()
    await _take_effect(session, user_id, "", reason="user_removed")


def matching(request: users_pb2.ListUsersRequest) -> "sa.Select[Any]":
    """The users a list asks for, among those that the caller may see."""
    statement = store.members()
    if sites := [UUID(site) for site in call.current().principal.sites]:
        statement = statement.where(_of_any(sites))
    if request.HasField("site_id"):
        statement = statement.where(_of_any([UUID(request.site_id)]))
    if request.role:
        statement = statement.where(Membership.role == request.role)
    if request.status:
        statement = statement.where(Membership.status == STATUSES[request.status])
    if request.q:
        email = sa.cast(Account.email, sa.Text)
        found = (Membership.name.icontains(request.q, autoescape=True), email.icontains(request.q, autoescape=True))
        statement = statement.where(sa.or_(*found))
    return statement


def to_message(row: "sa.Row[Any]") -> users_pb2.User:
    """A user as answered."""
    user = users_pb2.User(
        id=str(row.id),
        email=row.email,
        name=row.name,
        role=row.role,
        site_ids=[str(site) for site in row.site_ids],
        status=NUMBERS[row.status],
        version=row.version,
    )
    user.created_at.FromDatetime(row.created_at)
    user.updated_at.FromDatetime(row.updated_at)
    return user


async def _insert(session: AsyncSession, row: Membership) -> None:
    session.add(row)
    audit.about(session, f"users/{row.user_id}")
    try:
        await session.flush()
    except IntegrityError as failure:
        if db.violated(failure) != "memberships_pkey":
            raise
        message = "the tenant has a user with this e-mail address"
        raise errors.AlreadyExists(message, fields={"user.email": ["is taken"]}) from failure


async def _lock(session: AsyncSession, user_id: UUID) -> tuple[Membership, list[Membership]]:
    """The user, and the active admins, whose number cannot change before the transaction ends."""
    locked = await store.lock_with_holders(session, user_id, role=roles.ADMIN)
    row = next((member for member in locked if member.user_id == user_id), None)
    if row is None or not _sees(call.current().principal, row.site_ids):
        raise errors.NotFound
    return row, [member for member in locked if _is_active_admin(member.role, member.status)]


def _require_changeable(row: Membership, admins: list[Membership], changes: Mapping[str, Any]) -> None:
    principal = call.current().principal
    role, status = changes.get("role", row.role), changes.get("status", row.status)
    _require_role(role)
    # Neither somebody more powerful can be changed, nor somebody made so.
    _require_power_over(principal, row.role, row.site_ids)
    _require_power_over(principal, role, changes.get("site_ids", row.site_ids))
    if status == DISABLED and row.user_id == UUID(principal.id):
        message = "nobody removes or disables themselves"
        raise errors.Conflict(message, code="SELF_REMOVAL")
    if admins == [row] and not _is_active_admin(role, status):
        message = "this is the tenant's last active admin"
        raise errors.Conflict(message, code="LAST_ADMIN")


def _require_role(role: str) -> None:
    if role not in roles.ROLES:
        raise errors.Invalid(fields={"user.role": [f"must be one of: {', '.join(roles.ROLES)}"]})


def _require_power_over(principal: Principal, role: str, site_ids: list[UUID]) -> None:
    if lacking := roles.lacking(principal, role):
        raise errors.Denied.missing(lacking[0], field="user.role")
    if principal.sites and not (site_ids and all(principal.may_see_site(site) for site in site_ids)):
        message = "you act in some sites only"
        raise errors.Denied(message, fields={"user.site_ids": ["must be among your own"]})


def _check_password(wanted: users_pb2.User) -> None:
    found = ["is required"]
    if wanted.password:
        found = passwords.weaknesses(wanted.password, own=(wanted.email, wanted.name))
    if found:
        raise errors.Invalid(fields={"user.password": found})


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
    row = await store.member(session, user_id)
    assert row is not None
    return to_message(row)


def _sees(principal: Principal, site_ids: list[UUID]) -> bool:
    return not site_ids or not principal.sites or any(principal.may_see_site(site) for site in site_ids)


def _of_any(sites: list[UUID]) -> sa.ColumnElement[bool]:
    return sa.or_(sa.func.cardinality(Membership.site_ids) == 0, Membership.site_ids.overlap(sites))


def _is_active_admin(role: str, status: str) -> bool:
    return role == roles.ADMIN and status == ACTIVE
