"""The queries about members, roles, invitations and work done; no rules."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, ApiToken, Invitation, Membership, OrderWork, Role, TenantStanding


class Invited(NamedTuple):
    """What a letter's token leads to, before a tenant is known."""

    tenant_id: UUID
    id: UUID
    email: str
    expires_at: datetime


class Work(NamedTuple):
    """What somebody has done."""

    orders: int
    average_preparation_s: float | None


# Members of the transaction's tenant.


def members() -> "sa.Select[Any]":
    """All users of the tenant, as they are answered."""
    columns: Any = sa.select(
        Membership.user_id.label("id"),
        Account.email.label("email"),
        Membership.name,
        Membership.role,
        Membership.additional_roles,
        Membership.site_ids,
        Membership.status,
        Membership.last_login_at,
        Membership.version,
        Membership.created_at,
        Membership.updated_at,
    )
    joined: sa.Select[Any] = columns.join(Account, Account.id == Membership.user_id)
    return joined


async def member(session: AsyncSession, user_id: UUID) -> "sa.Row[Any] | None":
    """One user of the tenant, as it is answered."""
    found: sa.Row[Any] | None = (await session.execute(members().where(Membership.user_id == user_id))).one_or_none()
    return found


async def membership_of(session: AsyncSession, email: str) -> UUID | None:
    """The member with an e-mail address."""
    statement = sa.select(Membership.user_id).join(Account, Account.id == Membership.user_id)
    found: UUID | None = await session.scalar(statement.where(Account.email == email))
    return found


async def lock_with_holders(session: AsyncSession, user_id: UUID, *, role: str) -> Sequence[Membership]:
    """A user and all active holders of a role, locked in the order of their ids until the transaction ends."""
    holders = sa.and_(holding(role), Membership.status == "active")
    statement = (
        sa.select(Membership)
        .where(sa.or_(Membership.user_id == user_id, holders))
        .order_by(Membership.user_id)
        .with_for_update()
    )
    return (await session.scalars(statement)).all()


async def lock_member(session: AsyncSession, user_id: UUID) -> Membership | None:
    """A user, locked until the transaction ends."""
    statement = sa.select(Membership).where(Membership.user_id == user_id).with_for_update()
    return (await session.scalars(statement)).one_or_none()


async def tenant_name(session: AsyncSession) -> str:
    """What the tenant is called, as far as auth has been told."""
    return await session.scalar(sa.select(TenantStanding.name)) or ""


async def is_suspended(session: AsyncSession) -> bool:
    """Whether the tenant is suspended, as far as auth has been told."""
    return await session.scalar(sa.select(TenantStanding.status)) == "suspended"


async def api_token(session: AsyncSession, token_id: UUID) -> ApiToken | None:
    """An API token of the tenant."""
    return (await session.scalars(sa.select(ApiToken).where(ApiToken.id == token_id))).one_or_none()


async def count_seats(session: AsyncSession) -> tuple[int, int | None]:
    """Active users and waiting invitations, and how many users there may be."""
    seats = sa.select(sa.func.count()).select_from(Membership).where(Membership.status == "active").scalar_subquery()
    waiting = sa.select(sa.func.count()).select_from(Invitation).where(Invitation.user_id.is_(None)).scalar_subquery()
    limit = sa.select(TenantStanding.users_max).scalar_subquery()
    taken, at_most = (await session.execute(sa.select(seats + waiting, limit))).one()
    return taken, at_most


def holding(role: str) -> sa.ColumnElement[bool]:
    """Whether a user has a role, as the main or a further one."""
    return sa.or_(Membership.role == role, Membership.additional_roles.contains([role]))


def of_any(sites: Sequence[UUID]) -> sa.ColumnElement[bool]:
    """Whether a user acts in one of the sites."""
    return in_any(Membership.site_ids, sites)


def in_any(column: Any, sites: Sequence[UUID]) -> sa.ColumnElement[bool]:
    """Whether a column's sites, of which none are all, have one of these among them."""
    return sa.or_(sa.func.cardinality(column) == 0, column.overlap(sites))


async def consent(session: AsyncSession, user_id: UUID, now: datetime) -> None:
    """Note that a person wants to be a user of the tenant, unless they have said so."""
    statement = sa.update(Membership).where(Membership.user_id == user_id, Membership.consented_at.is_(None))
    # Not through the ORM: the trail must not tell for whom this was a change.
    await session.execute(statement.values(consented_at=now), execution_options={"synchronize_session": False})


# Roles of the tenant's own.


async def own_roles(session: AsyncSession, names: Collection[str] | None = None) -> Sequence[Role]:
    """The tenant's own roles by name, or those of these names."""
    if names is not None and not names:
        return ()
    statement = sa.select(Role).order_by(Role.name)
    if names is not None:
        statement = statement.where(Role.name.in_(names))
    return (await session.scalars(statement)).all()


async def count_own_roles(session: AsyncSession, tenant_id: UUID) -> int:
    """How many there are; until the transaction ends only it makes one."""
    await session.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"roles/{tenant_id}"}
    )
    return await session.scalar(sa.select(sa.func.count()).select_from(Role)) or 0


async def lock_role(session: AsyncSession, name: str) -> Role | None:
    """A role, locked until the transaction ends against changes, though not against being given."""
    statement = sa.select(Role).where(Role.name == name).with_for_update(key_share=True)
    return (await session.scalars(statement)).one_or_none()


# Invitations.


async def find_invitation(session: AsyncSession, digest: bytes) -> Invited | None:
    """What a token leads to, in whichever tenant."""
    found = (await session.execute(sa.text("SELECT * FROM find_invitation(:hash)"), {"hash": digest})).one_or_none()
    return Invited(*found) if found else None


async def put_invitation(session: AsyncSession, row: dict[str, Any]) -> None:
    """Keep an invitation; the one that its e-mail address had before is no more."""
    statement = postgresql.insert(Invitation).values(row)
    replaced = {name: statement.excluded[name] for name in row if name not in {"tenant_id", "email"}}
    await session.execute(statement.on_conflict_do_update(constraint="invitations_email", set_=replaced))


async def take_invitation(session: AsyncSession, invitation_id: UUID, digest: bytes, now: datetime) -> Any:
    """Take a good invitation out; none, if another call was faster or it has been replaced."""
    statement = (
        sa.delete(Invitation)
        .where(Invitation.id == invitation_id, Invitation.hash == digest, Invitation.expires_at > now)
        .returning(Invitation)
    )
    return (await session.scalars(statement, execution_options={"synchronize_session": False})).one_or_none()


def invitations() -> "sa.Select[Any]":
    """Those that wait for an answer, without those of users who were created."""
    return sa.select(Invitation).where(Invitation.user_id.is_(None))


async def lock_invitation(session: AsyncSession, invitation_id: UUID) -> Invitation | None:
    """An invitation that waits, locked."""
    statement = invitations().where(Invitation.id == invitation_id).with_for_update()
    found: Invitation | None = (await session.scalars(statement)).one_or_none()
    return found


async def lock_invitation_to(session: AsyncSession, email: str) -> Invitation | None:
    """The invitation of an e-mail address, locked."""
    statement = invitations().where(Invitation.email == email).with_for_update()
    found: Invitation | None = (await session.scalars(statement)).one_or_none()
    return found


async def forget_invitations(session: AsyncSession, before: datetime) -> None:
    """Delete invitations that ended before a time."""
    await session.execute(sa.text("SELECT forget_invitations(:before)"), {"before": before})


# Accounts.


async def prove_account(session: AsyncSession, user_id: UUID, *, name: str, password_hash: str) -> bool:
    """Let the first to show that the address is theirs choose name and password; whether they were the first."""
    values = {"id": user_id, "name": name, "hash": password_hash}
    proven = await session.scalar(sa.text("SELECT prove_account(:id, :name, :hash)"), values)
    return bool(proven)


async def is_proven(session: AsyncSession, email: str) -> bool:
    """Whether the e-mail address has an account whose owner has shown that it is theirs."""
    return bool(await session.scalar(sa.text("SELECT is_proven(:email)"), {"email": email}))


# Work done.


async def note_work(session: AsyncSession, row: dict[str, Any]) -> None:
    """Note what is known of an order; what was noted before stays."""
    statement = postgresql.insert(OrderWork).values(row)
    told = {
        name: sa.func.coalesce(OrderWork.__table__.c[name], statement.excluded[name])
        for name in row
        if name not in {"tenant_id", "order_id"}
    }
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant_id", "order_id"], set_=told))


async def work_of(session: AsyncSession, user_id: UUID) -> Work:
    """What somebody has done in the tenant."""
    took = sa.func.extract("epoch", OrderWork.ready_at - OrderWork.began_at)
    statement = sa.select(sa.func.count(), sa.cast(sa.func.avg(took), sa.Float)).where(
        OrderWork.user_id == user_id, OrderWork.completed_at.is_not(None)
    )
    return Work(*(await session.execute(statement)).one())
