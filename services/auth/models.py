"""The tables of auth, as far as its process may see them: the password hash is not among the columns."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What the tables have in common."""

    type_annotation_map: ClassVar = {
        datetime: sa.DateTime(timezone=True),
        list[UUID]: postgresql.ARRAY(sa.Uuid),
        list[str]: postgresql.ARRAY(sa.Text),
    }


class Account(Base):
    """A person, whatever the tenant. Written by functions of the database only."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(postgresql.CITEXT)
    name: Mapped[str]
    created_at: Mapped[datetime]


class Membership(Base):
    """A person in a tenant: the tenant's own name for them, and what they may do there. No sites: all of them.

    Until they have consented it gives them nothing.
    """

    __tablename__ = "memberships"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "user_id"),)

    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    name: Mapped[str]
    role: Mapped[str]
    additional_roles: Mapped[list[str]] = mapped_column(default=list)
    site_ids: Mapped[list[UUID]]
    status: Mapped[str]
    # Not in the trail: it would tell who had an account before.
    consented_at: Mapped[datetime | None] = mapped_column(info={"untold": True})
    last_login_at: Mapped[datetime | None]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Session(Base):
    """A sign-in. It ends when it is ended, or when it has not been used for `life_s` seconds.

    One in somebody's name, or for an OAuth client, is confined to a tenant. The former ends with the session that its
    actor began it from, and gives no more than that one; a client's is limited to its scopes, and
    may have come of another one (`parent_id`), with which it ends.
    """

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    life_s: Mapped[int]
    device_id: Mapped[str]
    address: Mapped[str]
    user_agent: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    method: Mapped[str]
    actor: Mapped[str] = mapped_column(default="")
    actor_session: Mapped[UUID | None]
    tenant_id: Mapped[UUID | None]
    client_id: Mapped[UUID | None]
    scopes: Mapped[list[str] | None]
    authenticated_at: Mapped[datetime]
    renewable: Mapped[bool] = mapped_column(default=True)
    parent_id: Mapped[UUID | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]


class SessionSite(Base):
    """The site that a session acts in, in one tenant, where a call names none."""

    __tablename__ = "session_sites"
    __table_args__ = (sa.PrimaryKeyConstraint("session_id", "tenant_id"),)

    session_id: Mapped[UUID]
    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    site_id: Mapped[UUID]


class Role(Base):
    """A role of the tenant's own."""

    __tablename__ = "roles"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "name"),)

    tenant_id: Mapped[UUID]
    name: Mapped[str]
    permissions: Mapped[list[str]]
    description: Mapped[str]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TenantStanding(Base):
    """What auth has been told of a tenant, and by which event: ids grow with time, an older one changes nothing."""

    __tablename__ = "tenant_standing"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="active")
    users_max: Mapped[int | None]
    status_by: Mapped[UUID | None]
    limits_by: Mapped[UUID | None]


class RefreshToken(Base):
    """A refresh token, as its hash. `parent` is the token it followed: a token has one successor."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    parent: Mapped[bytes | None]
    session_id: Mapped[UUID]
    user_id: Mapped[UUID]
    created_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]


class ApiToken(Base):
    """A token of one site's kiosk (`catalog`) or POS system (`store`), or of a person's own program, as its hash."""

    __tablename__ = "api_tokens"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "id"),)

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    name: Mapped[str]
    kind: Mapped[str]
    site_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    scopes: Mapped[list[str]] = mapped_column(default=list)
    allowed_networks: Mapped[list[str]] = mapped_column(default=list)
    created_by: Mapped[str] = mapped_column(default="")
    hash: Mapped[bytes] = mapped_column(info={"sensitive": True})
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class SigningKey(Base):
    """A key of the platform's. Generations of an algorithm count up: only one process can make the next one."""

    __tablename__ = "signing_keys"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "alg", "generation"),)

    tenant_id: Mapped[UUID]
    alg: Mapped[str]
    generation: Mapped[int]
    kid: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(info={"sensitive": True, "about": "signing_keys/{alg}/{generation}"})
    created_at: Mapped[datetime]
    used_from: Mapped[datetime]


class LoginFailures(Base):
    """How often sign-in has failed for an account or from an address, each under a hash of its name."""

    __tablename__ = "login_failures"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "key"),)

    tenant_id: Mapped[UUID]
    key: Mapped[bytes]
    failures: Mapped[int]
    last_at: Mapped[datetime]
    blocked_until: Mapped[datetime]


class Invitation(Base):
    """A letter's token, as its hash, and what it gives: one an e-mail address.

    Of a user who was created already (`user_id`) it takes the consent; otherwise it makes one, as `invited_by` may.
    """

    __tablename__ = "invitations"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "id"),)

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    email: Mapped[str] = mapped_column(postgresql.CITEXT)
    role: Mapped[str]
    additional_roles: Mapped[list[str]]
    site_ids: Mapped[list[UUID]]
    invited_by: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    hash: Mapped[bytes] = mapped_column(info={"sensitive": True})
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class OrderWork(Base):
    """Who handled an order, and when: each event of the order's puts in what it alone knows."""

    __tablename__ = "order_work"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "order_id"),)

    tenant_id: Mapped[UUID]
    order_id: Mapped[UUID]
    user_id: Mapped[UUID | None]
    began_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
