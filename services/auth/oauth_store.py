"""The queries of OAuth; no rules."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.db import Query
from services.auth.oauth_models import OauthClient, OauthCode, OauthConsent

_AS_IT_IS = {"synchronize_session": False}
_uuid = postgresql.UUID()
_texts = postgresql.ARRAY(sa.Text())
_standing = sa.func.standing_of_client(sa.bindparam("client", type_=_uuid)).table_valued(
    sa.column("tenant_id", _uuid),
    sa.column("role", sa.Text),
    sa.column("own_permissions", _texts),
    sa.column("site_ids", postgresql.ARRAY(_uuid)),
    sa.column("scopes", _texts),
    sa.column("generation", sa.BigInteger),
    sa.column("suspended", sa.Boolean),
)
# Whose client it is and what it may do, whatever the tenant.
STANDING_OF_CLIENT = Query(sa.select(*_standing.c).limit(sa.literal_column("1")))

_codes: Any = OauthCode.__table__


class Ended(NamedTuple):
    """A session that has been ended."""

    session_id: UUID
    user_id: UUID


# Clients of the transaction's tenant.


async def client(session: AsyncSession, client_id: UUID) -> OauthClient | None:
    """A client, held as it is until the transaction ends: it is changed or deleted after what it is given now."""
    statement = sa.select(OauthClient).where(OauthClient.id == client_id).with_for_update(read=True)
    return (await session.scalars(statement)).one_or_none()


async def lock_client(session: AsyncSession, client_id: UUID) -> OauthClient | None:
    """A client that is about to change."""
    statement = sa.select(OauthClient).where(OauthClient.id == client_id).with_for_update()
    return (await session.scalars(statement)).one_or_none()


async def find_client(session: AsyncSession, client_id: UUID) -> OauthClient | None:
    """A client, to be looked at."""
    return (await session.scalars(sa.select(OauthClient).where(OauthClient.id == client_id))).one_or_none()


async def end_sessions_of_client(session: AsyncSession, client_id: UUID, now: datetime) -> Sequence[Ended]:
    """End all that people have given a client; the sessions that this call ended."""
    statement = sa.text("SELECT session_id, user_id FROM end_sessions_of_client(:client, :now)")
    rows = await session.execute(statement, {"client": client_id, "now": now})
    return [Ended(*row) for row in rows]


async def drop_codes(session: AsyncSession, client_id: UUID) -> None:
    """Delete the client's codes that wait to be exchanged."""
    waiting = OauthCode.client_id == client_id, OauthCode.spent_at.is_(None)
    await session.execute(sa.delete(OauthCode).where(*waiting), execution_options=_AS_IT_IS)


# Codes.


async def add_code(session: AsyncSession, values: dict[str, Any]) -> None:
    """Keep a code's hash."""
    await session.execute(sa.insert(_codes), values)


async def code(session: AsyncSession, digest: bytes) -> OauthCode | None:
    """A code, spent or not."""
    return (await session.scalars(sa.select(OauthCode).where(OauthCode.hash == digest))).one_or_none()


async def spend_code(session: AsyncSession, digest: bytes, session_id: UUID, now: datetime) -> bool:
    """Spend a code for a session; whether it was this call that did."""
    statement = (
        sa.update(OauthCode)
        .where(OauthCode.hash == digest, OauthCode.spent_at.is_(None), OauthCode.expires_at > now)
        .values(spent_at=now, session_id=session_id)
        .returning(OauthCode.hash)
    )
    return (await session.execute(statement, execution_options=_AS_IT_IS)).first() is not None


async def session_of_code(session: AsyncSession, digest: bytes) -> UUID | None:
    """The session that a code was spent for, as it stands now."""
    found: UUID | None = await session.scalar(sa.select(_codes.c.session_id).where(_codes.c.hash == digest))
    return found


async def forget(session: AsyncSession, before: datetime) -> None:
    """Delete codes that expired before a time."""
    await session.execute(sa.text("SELECT forget_oauth_codes(:before)"), {"before": before})


# Consents.


async def consented(session: AsyncSession, user_id: UUID, client_id: UUID) -> list[str]:
    """The scopes that a person has allowed a client."""
    own = OauthConsent.user_id == user_id, OauthConsent.client_id == client_id
    return await session.scalar(sa.select(OauthConsent.scopes).where(*own)) or []


async def remember_consent(session: AsyncSession, values: dict[str, Any]) -> None:
    """Add to what a person has allowed a client."""
    statement = postgresql.insert(OauthConsent).values(values)
    both = sa.func.array_cat(OauthConsent.scopes, statement.excluded.scopes)
    union = sa.select(sa.func.array_agg(sa.distinct(sa.column("scope")))).select_from(
        sa.func.unnest(both).alias("scope")
    )
    statement = statement.on_conflict_do_update(
        index_elements=["tenant_id", "user_id", "client_id"],
        set_={"scopes": union.scalar_subquery(), "given_at": statement.excluded.given_at},
    )
    await session.execute(statement)


async def withdraw_consent(session: AsyncSession, tenant_id: UUID, client_id: UUID) -> None:
    """Forget what the person whom the transaction names has allowed a client."""
    await session.execute(
        sa.text("SELECT withdraw_consent(:tenant, :client)"), {"tenant": tenant_id, "client": client_id}
    )


async def tenant_name(session: AsyncSession, tenant_id: UUID) -> str:
    """What the transaction's tenant is called, as far as auth has been told."""
    statement = sa.text("SELECT name FROM tenant_standing WHERE tenant_id = :id")
    return str(await session.scalar(statement, {"id": tenant_id}) or "")
