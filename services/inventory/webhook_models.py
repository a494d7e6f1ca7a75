"""The tables of webhooks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis import clock
from services.inventory.models import Base, moment

_ABOUT = "webhook_endpoints/{tenant_id}/{site_id}/{provider}"
_SEALED = {"sensitive": True, "about": _ABOUT}


class WebhookEndpoint(Base):
    """Where a provider's webhooks for a site arrive, and what they are checked with."""

    __tablename__ = "webhook_endpoints"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[bytes] = mapped_column(info=_SEALED)
    # Good until `previous_until`.
    previous_secret: Mapped[bytes | None] = mapped_column(info=_SEALED)
    previous_until: Mapped[datetime | None] = moment()
    notification_url: Mapped[str]
    location_id: Mapped[str]
    # The provider's names of things, and our SKUs: thousands, of which the trail is told that they changed.
    skus: Mapped[dict[str, str]] = mapped_column(JSONB, info={"sensitive": True})
    version: Mapped[int]
    created_at: Mapped[datetime] = moment(default=clock.now)
    updated_at: Mapped[datetime] = moment(default=clock.now, onupdate=clock.now)

    @property
    def about(self) -> str:
        """What its secrets are sealed about."""
        return _ABOUT.format(tenant_id=self.tenant_id, site_id=self.site_id, provider=self.provider)


class WebhookDelivery(Base):
    """A webhook that came in, and what became of it: status words and results as the contract's JSON."""

    __tablename__ = "webhook_deliveries"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    provider: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    received_at: Mapped[datetime] = moment()


class WebhookMark(Base):
    """How new the newest count is that was applied to an item at a site."""

    __tablename__ = "webhook_marks"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = moment()
    event_id: Mapped[str]
