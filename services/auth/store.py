"""The queries of auth; no rules. What crosses tenants calls a function of the migration's, for one holder each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from chassis.db import Query
from services.auth.models import (
    Account,
    ApiToken,
    Membership,
    RefreshToken,
    Session,
    SessionSite,
    SigningKey,
)

# More tenants than anyone is a member of; the hot query wants a bound.
TENANTS_MAX = 1000


class Found(NamedTuple):
    """An account as sign-in needs it."""

    id: UUID
    email: str
    name: str
    password_hash: str
    operator: bool


class Access(NamedTuple):
    """What an account may do in one tenant."""

    tenant_id: UUID
    role: str
    site_ids: list[UUID]
    additional_roles: list[str]


# The hot path: a credential's standing in one round trip.

_uuid = postgresql.UUID()
_uuids = postgresql.ARRAY(postgresql.UUID())
_texts = postgresql.ARRAY(sa.Text())
_standing = sa.func.standing_of_session(sa.bindparam("session", type_=_uuid)).table_valued(
    sa.column("user_id", _uuid),
    sa.column("expires_at", sa.DateTime(timezone=True)),
    sa.column("authenticated_at", sa.DateTime(timezone=True)),
    sa.column("actor", sa.Text),
    sa.column("actor_session", _uuid),
    sa.column("confined_to", _uuid),
    sa.column("client_id", _uuid),
    sa.column("scopes", _texts),
    sa.column("operator", sa.Boolean),
    sa.column("tenant_id", _uuid),
    sa.column("role", sa.Text),
    sa.column("additional_roles", _texts),
    sa.column("own_permissions", _texts),
    sa.column("site_ids", _uuids),
    sa.column("suspended", sa.Boolean),
    sa.column("active_site", _uuid),
)
STANDING_OF_SESSION = Query(sa.select(*_standing.c).limit(sa.literal_column(str(TENANTS_MAX))))
_token = sa.func.find_api_token(sa.bindparam("hash", type_=sa.LargeBinary)).table_valued(
    sa.column("id", _uuid),
    sa.column("tenant_id", _uuid),
    sa.column("kind", sa.Text),
    sa.column("site_id", _uuid),
    sa.column("expires_at", sa.DateTime(timezone=True)),
    sa.column("user_id", _uuid),
    sa.column("scopes", _texts),
    sa.column("allowed_networks", _texts),
    sa.column("role", sa.Text),
    sa.column("additional_roles", _texts),
    sa.column("own_permissions", _texts),
    sa.column("site_ids", _uuids),
    sa.column("suspended", sa.Boolean),
)
API_TOKEN = Query(sa.select(*_token.c).limit(sa.literal_column("1")))
_SUSPENDED = sa.func.is_suspended(sa.bindparam("which", type_=_uuid)).label("suspended")
SUSPENDED = Query(sa.select(_SUSPENDED).limit(sa.literal_column("1")))


# Statements that every refresh and sign-in runs are put together once: each time, that costs more than running them.

_tokens: Any = RefreshToken.__table__
_sessions: Any = Session.__table__
_ACT_AS = sa.text("SELECT set_config('app.user_id', :id, true)")
_NOTE_SESSION_USES = sa.text("SELECT note_session_uses(:used, :at, :addresses)").bindparams(
    sa.bindparam("used", type_=postgresql.ARRAY(sa.Uuid)),
    sa.bindparam("at", type_=postgresql.ARRAY(sa.DateTime(timezone=True))),
    sa.bindparam("addresses", type_=postgresql.ARRAY(sa.Text)),
)
_END_SESSIONS_OF_ACTORS = sa.text("SELECT * FROM end_sessions_of_actors(:actors, :at, :why)").bindparams(
    sa.bindparam("actors", type_=postgresql.ARRAY(sa.Uuid)), sa.bindparam("at", type_=sa.DateTime(timezone=True))
)
_NOTE_LOGIN = sa.text("SELECT note_login(:id, :at)").bindparams(sa.bindparam("at", type_=sa.DateTime(timezone=True)))
_ACCESS_OF = sa.text("SELECT * FROM access_of(:id)")
_OWNER_OF_REFRESH_TOKEN = sa.text("SELECT owner_of_refresh_token(:hash)")
_REFRESH_TOKEN = sa.select(RefreshToken).where(RefreshToken.hash == sa.bindparam("hash"))
_LOCK_SESSION = sa.select(Session).where(Session.id == sa.bindparam("id")).with_for_update()
_ADD_REFRESH_TOKEN = sa.insert(_tokens)
_SPEND = (
    sa.update(_tokens)
    .where(_tokens.c.hash == sa.bindparam("digest"), _tokens.c.spent_at.is_(None))
    .values(spent_at=sa.bindparam("now"))
    .returning(_tokens.c.session_id)
)
_PROLONGED = sa.func.least(
    _sessions.c.created_at + sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.bindparam("at_most_s", type_=sa.Float)),
    sa.bindparam("now", type_=sa.DateTime(timezone=True)) + sa.func.make_interval(0, 0, 0, 0, 0, 0, _sessions.c.life_s),
)
_USE = (
    sa.update(_sessions)
    .where(
        _sessions.c.id == sa.bindparam("session"),
        _sessions.c.ended_at.is_(None),
        _sessions.c.expires_at > sa.bindparam("now", type_=sa.DateTime(timezone=True)),
    )
    .values(
        last_used_at=sa.bindparam("now", type_=sa.DateTime(timezone=True)),
        expires_at=sa.case((_sessions.c.renewable, _PROLONGED), else_=_sessions.c.expires_at),
    )
    .returning(_sessions.c.expires_at)
)


# Persons.


async def act_as(session: AsyncSession, user_id: UUID) -> None:
    """Name the person whose sessions and account the transaction sees besides what its tenant sees."""
    await session.execute(_ACT_AS, {"id": str(user_id)})


async def find_account(session: AsyncSession, email: str) -> Found | None:
    """The account of an e-mail address."""
    found = (await session.execute(sa.text("SELECT * FROM find_account(:email)"), {"email": email})).one_or_none()
    return Found(*found) if found else None


async def open_account(session: AsyncSession, found: Found) -> UUID:
    """Open an account unless the e-mail address has one; the id of the one it has then."""
    statement = sa.text("SELECT open_account(:id, :email, :name, :password_hash, :operator)")
    opened: UUID = (await session.execute(statement, found._asdict())).scalar_one()
    return opened


async def access_of(session: AsyncSession, user_id: UUID) -> Sequence[Access]:
    """Where a person may act, oldest membership first."""
    rows = await session.execute(_ACCESS_OF, {"id": user_id})
    return [Access(*row) for row in rows]


async def note_login(session: AsyncSession, user_id: UUID, at: datetime) -> None:
    """Set when a person last signed in, for all their tenants to see."""
    await session.execute(_NOTE_LOGIN, {"id": user_id, "at": at})


async def rehash_password(session: AsyncSession, user_id: UUID, *, was: str, hashed: str) -> None:
    """Keep a password under another hash, unless it has been changed meanwhile."""
    told = {"id": user_id, "was": was, "hashed": hashed}
    await session.execute(sa.text("SELECT rehash_password(:id, :was, :hashed)"), told)


async def is_operator(session: AsyncSession, user_id: UUID) -> bool:
    """Whether the account works for the platform."""
    found: bool = (await session.execute(sa.text("SELECT is_operator(:id)"), {"id": user_id})).scalar_one()
    return found


async def account(session: AsyncSession, user_id: UUID) -> Account | None:
    """An account that the transaction may see."""
    return await session.get(Account, user_id)


# Members of the transaction's tenant.


async def membership(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> Membership | None:
    """A person in a tenant."""
    return await session.get(Membership, (tenant_id, user_id))


# Sessions and refresh tokens of the person the transaction has named.


async def owner_of_refresh_token(session: AsyncSession, digest: bytes) -> UUID | None:
    """Whose refresh token it is, spent or not."""
    found: UUID | None = await session.scalar(_OWNER_OF_REFRESH_TOKEN, {"hash": digest})
    return found


async def refresh_token(session: AsyncSession, digest: bytes) -> RefreshToken | None:
    """A refresh token as it stands now."""
    options = {"populate_existing": True}
    return (await session.scalars(_REFRESH_TOKEN, {"hash": digest}, execution_options=options)).one_or_none()


async def lock_session(session: AsyncSession, session_id: UUID) -> Session | None:
    """A session, locked until the transaction ends: its refreshes take turns."""
    return (await session.scalars(_LOCK_SESSION, {"id": session_id})).one_or_none()


async def add_refresh_token(
    session: AsyncSession, row: Session, digest: bytes, now: datetime, *, parent: bytes | None = None
) -> None:
    """Keep a refresh token's hash. The parent can have one successor only."""
    values = {"hash": digest, "parent": parent, "session_id": row.id, "user_id": row.user_id, "created_at": now}
    await session.execute(_ADD_REFRESH_TOKEN, values)


async def spend(session: AsyncSession, digest: bytes, now: datetime) -> bool:
    """Spend a refresh token; whether it was this call that did."""
    return (await session.execute(_SPEND, {"digest": digest, "now": now})).first() is not None


async def use(session: AsyncSession, session_id: UUID, now: datetime, *, at_most_s: int) -> datetime | None:
    """Mark a live session used, which prolongs a renewable one up to an age of `at_most_s`; when it ends now."""
    told = {"session": session_id, "now": now, "at_most_s": float(at_most_s)}
    ends: datetime | None = await session.scalar(_USE, told)
    return ends


async def end_sessions(
    session: AsyncSession,
    user_id: UUID,
    now: datetime,
    *,
    reason: str,
    only: UUID | None = None,
    but: UUID | None = None,
) -> Sequence[UUID]:
    """End a person's live sessions, or only one, or all but one; those that this call ended.

    With each go those that came of it. They are locked first: one that is coming of another just now is there then.
    """
    live: list[Any] = [Session.user_id == user_id, Session.ended_at.is_(None)]
    if only is not None:
        live.append(sa.or_(Session.id == only, Session.parent_id == only))
    if but is not None:
        live.append(sa.and_(Session.id != but, Session.parent_id.is_distinct_from(but)))
    await session.execute(sa.select(Session.id).where(*live).order_by(Session.id).with_for_update())
    statement = sa.update(Session).where(*live).values(ended_at=now, end_reason=reason).returning(Session.id)
    return (await session.scalars(statement, execution_options={"synchronize_session": False})).all()


async def end_sessions_of_actors(
    session: AsyncSession, actors: Sequence[UUID], now: datetime, *, reason: str
) -> Sequence[tuple[UUID, UUID]]:
    """End the sessions in others' names that were begun from these; each that this call ended, and whose it was."""
    told = {"actors": list(actors), "at": now, "why": reason}
    return [(row.session_id, row.user_id) for row in await session.execute(_END_SESSIONS_OF_ACTORS, told)]


async def active_site(session: AsyncSession, session_id: UUID, tenant_id: UUID) -> UUID | None:
    """The site that a session of the person named acts in, in a tenant."""
    found = await session.get(SessionSite, (session_id, tenant_id))
    return found.site_id if found else None


async def set_active_site(
    session: AsyncSession, session_id: UUID, user_id: UUID, tenant_id: UUID, site_id: UUID | None
) -> None:
    """Set or lift the site that a session acts in."""
    key = {"session_id": session_id, "tenant_id": tenant_id}
    if site_id is None:
        statement: Any = sa.delete(SessionSite).filter_by(**key)
    else:
        statement = postgresql.insert(SessionSite).values(**key, user_id=user_id, site_id=site_id)
        statement = statement.on_conflict_do_update(index_elements=list(key), set_={"site_id": site_id})
    await session.execute(statement, execution_options={"synchronize_session": False})


async def forget_sessions(session: AsyncSession, before: datetime) -> None:
    """Delete sessions that ended before a time, and their refresh tokens."""
    await session.execute(sa.text("SELECT forget_sessions(:before)"), {"before": before})


# API tokens.


async def api_token(session: AsyncSession, token_id: UUID) -> ApiToken | None:
    """A token of the tenant, locked."""
    return (await session.scalars(sa.select(ApiToken).where(ApiToken.id == token_id).with_for_update())).one_or_none()


async def note_session_uses(session: AsyncSession, used: Mapping[UUID, tuple[datetime, str]]) -> None:
    """Set when and from which address sessions were last used."""
    at, addresses = zip(*used.values(), strict=True)
    told = {"used": list(used), "at": list(at), "addresses": list(addresses)}
    await session.execute(_NOTE_SESSION_USES, told)


async def note_uses(session: AsyncSession, used: dict[UUID, datetime]) -> None:
    """Set when tokens were last used, where that is later than what is known."""
    for token_id, at in sorted(used.items()):
        later = sa.or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < at)
        statement = sa.update(ApiToken).where(ApiToken.id == token_id, later).values(last_used_at=at)
        await session.execute(statement, execution_options={"synchronize_session": False})


# Signing keys: rows of the platform.


async def signing_keys(session: AsyncSession) -> Sequence[SigningKey]:
    """All keys, newest first."""
    return (await session.scalars(sa.select(SigningKey).order_by(SigningKey.generation.desc()))).all()


async def add_signing_key(session: AsyncSession, row: dict[str, Any]) -> None:
    """Add the key of a generation unless another process has."""
    await session.execute(postgresql.insert(SigningKey).values(row).on_conflict_do_nothing())


async def drop_signing_keys(session: AsyncSession, *, succeeded_before: datetime) -> None:
    """Delete the keys whose successors came into use before a time."""
    successor = aliased(SigningKey)
    succeeded = sa.exists().where(
        successor.alg == SigningKey.alg,
        successor.generation > SigningKey.generation,
        successor.used_from < succeeded_before,
    )
    await session.execute(sa.delete(SigningKey).where(succeeded))


async def drop_signing_keys_before(session: AsyncSession, alg: str, generation: int) -> None:
    """Delete the keys of older generations."""
    older = SigningKey.alg == alg, SigningKey.generation < generation
    await session.execute(sa.delete(SigningKey).where(*older))
