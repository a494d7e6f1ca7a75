"""Where webhooks arrive: the secrets that sign them, and how long an old one is good."""

import base64
import binascii
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import events_pb2, webhooks_pb2

from chassis import audit, call, clock, errors, events
from chassis.encryption import Vault
from services.inventory import webhook_store
from services.inventory.webhook_models import WebhookEndpoint
from services.inventory.webhook_reading import SQUARE, Sent, adapter

# For so long both secrets are good: a provider is given the new one by hand.
PREVIOUS_FOR = timedelta(hours=24)
_PREFIX = "whsec_"
# What Standard Webhooks asks for, and what it recommends.
_SECRET_MIN, _SECRET_MAX, _SECRET_MADE = 24, 64, 32


async def get(session: AsyncSession, site_id: UUID, provider: str, *, lock: bool = False) -> WebhookEndpoint:
    """One endpoint. Raises `NotFound`."""
    row = await webhook_store.endpoint(session, site_id, provider, lock=lock)
    if row is None:
        raise errors.NotFound
    return row


async def put(
    session: AsyncSession, site_id: UUID, told: webhooks_pb2.PutWebhookEndpointRequest, vault: Vault
) -> tuple[WebhookEndpoint, str]:
    """Set an endpoint up, or change it; and its secret where this has made it. Raises `Invalid`, `StaleVersion`."""
    _check(told)
    row = await webhook_store.endpoint(session, site_id, told.provider, lock=True)
    call.current().require_version(row.version if row else 0)
    if row is None:
        return await _create(session, site_id, told, vault)
    for name in ("notification_url", "location_id"):
        setattr(row, name, getattr(told, name))
    row.skus = dict(told.skus)
    made = _replace_secret(row, told, vault)
    if session.is_modified(row):
        row.version += 1
        _tell(session, row)
    audit.about(session, f"webhook_endpoints/{site_id}/{told.provider}")
    await session.flush()
    return row, made


async def remove(session: AsyncSession, site_id: UUID, provider: str) -> None:
    """Take an endpoint away. Raises `NotFound`, `StaleVersion`."""
    row = await get(session, site_id, provider, lock=True)
    call.current().require_version(row.version)
    await session.delete(row)
    _tell(session, row, deleted=True)


def verify(row: WebhookEndpoint, sent: Sent, vault: Vault) -> None:
    """Raise `Unauthenticated` unless one of the endpoint's secrets has signed a webhook, and lately."""
    sealed = [row.secret]
    if row.previous_secret is not None and row.previous_until is not None and row.previous_until > clock.now():
        sealed.append(row.previous_secret)
    refusals = [
        adapter(row.provider).verify(sent, vault.open(each, row.about).decode(), row.notification_url)
        for each in sealed
    ]
    if all(refusals):
        message = f"the webhook is not accepted: {refusals[0]}"
        raise errors.Unauthenticated(message)


async def _create(
    session: AsyncSession, site_id: UUID, told: webhooks_pb2.PutWebhookEndpointRequest, vault: Vault
) -> tuple[WebhookEndpoint, str]:
    made = "" if told.HasField("secret") else _make(told.provider)
    row = WebhookEndpoint(
        tenant_id=call.current().principal.tenant,
        site_id=site_id,
        provider=told.provider,
        notification_url=told.notification_url,
        location_id=told.location_id,
        skus=dict(told.skus),
        version=1,
    )
    row.secret = vault.seal((made or told.secret).encode(), row.about)
    session.add(row)
    await session.flush()
    _tell(session, row)
    return row, made


def _tell(session: AsyncSession, row: WebhookEndpoint, *, deleted: bool = False) -> None:
    """Whoever is at the site hears of it; of the secrets nothing is said."""
    event = events_pb2.WebhookEndpointChanged(site_id=str(row.site_id), provider=row.provider, deleted=deleted)
    events.publish(
        session, event, subject=f"webhook_endpoints/{row.site_id}/{row.provider}", audience=[f"site:{row.site_id}"]
    )


def _replace_secret(row: WebhookEndpoint, told: webhooks_pb2.PutWebhookEndpointRequest, vault: Vault) -> str:
    """Replace the secret where another one is told or wanted; the one that was made, if one was."""
    if told.HasField("secret"):
        if secrets.compare_digest(vault.open(row.secret, row.about), told.secret.encode()):
            return ""
    elif not told.rotate_secret:
        return ""
    made = "" if told.HasField("secret") else _make(row.provider)
    row.previous_secret, row.previous_until = row.secret, clock.now() + PREVIOUS_FOR
    row.secret = vault.seal((made or told.secret).encode(), row.about)
    return made


def _make(provider: str) -> str:
    if provider == SQUARE:
        raise errors.Invalid(fields={"secret": ["is required: Square makes the signature key itself"]})
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_MADE)).decode()


def _check(told: webhooks_pb2.PutWebhookEndpointRequest) -> None:
    wrong = {}
    if told.provider == SQUARE:
        if not told.notification_url:
            wrong["notification_url"] = ["is required: Square signs it"]
    elif told.HasField("secret") and not _is_standard(told.secret):
        wrong["secret"] = [f"must be {_PREFIX} and {_SECRET_MIN} to {_SECRET_MAX} bytes in base64"]
    if told.HasField("secret") and told.rotate_secret:
        wrong["rotate_secret"] = ["makes a secret, and another one is given"]
    if wrong:
        raise errors.Invalid(fields=wrong)


def _is_standard(secret: str) -> bool:
    try:
        found = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(_PREFIX) and _SECRET_MIN <= len(found) <= _SECRET_MAX
