"""The tables of OAuth."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models import Base


class OauthClient(Base):
    """A program that acts for people of the tenant, or (with a role) on its own account.

    `generation` counts the changes of what it may do: tokens of its own account that were made before are void. After a
    new secret the old one works for a while. No sites: all of them.
    """

    __tablename__ = "oauth_clients"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "id"),)

    tenant_id: Mapped[UUID]
    id: Mapped[UUID]
    name: Mapped[str]
    confidential: Mapped[bool]
    redirect_uris: Mapped[list[str]]
    grant_types: Mapped[list[str]]
    scopes: Mapped[list[str]]
    trusted: Mapped[bool]
    role: Mapped[str]
    site_ids: Mapped[list[UUID]]
    secret_hash: Mapped[bytes | None] = mapped_column(info={"sensitive": True})
    old_secret_hash: Mapped[bytes | None] = mapped_column(info={"sensitive": True})
    old_secret_until: Mapped[datetime | None]
    generation: Mapped[int]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OauthCode(Base):
    """What a client exchanges for tokens, once, as its hash; and the session that came of it."""

    __tablename__ = "oauth_codes"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "hash"),)

    tenant_id: Mapped[UUID]
    hash: Mapped[bytes]
    client_id: Mapped[UUID]
    user_id: Mapped[UUID]
    redirect_uri: Mapped[str]
    scopes: Mapped[list[str]]
    nonce: Mapped[str]
    code_challenge: Mapped[str]
    authenticated_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]
    session_id: Mapped[UUID | None]

    def get_redirect_uri(self) -> str:
        """As authlib asks."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """As authlib asks."""
        return " ".join(self.scopes)


class OauthConsent(Base):
    """What a person has allowed a client, all in all."""

    __tablename__ = "oauth_consents"
    __table_args__ = (sa.PrimaryKeyConstraint("tenant_id", "user_id", "client_id"),)

    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID]
    client_id: Mapped[UUID]
    scopes: Mapped[list[str]]
    given_at: Mapped[datetime]
