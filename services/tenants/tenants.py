"""The heart of tenants: companies, whether they may work, how much they may have, and how they are set up."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.tenants.v1 import events_pb2
from switchyard.tenants.v1 import tenants_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import call, errors, events
from services.tenants import checks, messages, store
from services.tenants.models import CURRENCY_DEFAULT, LOCALE_DEFAULT, TIME_ZONE_DEFAULT, Tenant

ACTIVE, SUSPENDED = pb.TENANT_STATUS_ACTIVE, pb.TENANT_STATUS_SUSPENDED
_WORDS: Mapping[int, str] = {ACTIVE: "active", SUSPENDED: "suspended"}
# The columns in which the fields of a configuration's branding stand.
_BRANDING = {"name": "brand_name", "primary_color": "primary_color", "logo_url": "logo_url"}
_LIMITS = {name: name for name in messages.LIMITS}


async def create(session: AsyncSession, told: pb.Tenant) -> Tenant:
    """Create a tenant. Raises `AlreadyExists` when the slug is taken, `Invalid`."""
    currency = checks.currency(told.currency or CURRENCY_DEFAULT, "tenant.currency")
    row = Tenant(id=uuid7(), name=told.name, slug=told.slug, currency=currency, status=ACTIVE, version=1)
    _set_limits(row, told.limits, messages.LIMITS)
    session.add(row)
    await session.flush()
    _tell(session, row, events_pb2.TenantCreated(tenant=messages.tenant(row)))
    return row


async def get(session: AsyncSession, tenant_id: str, *, lock: bool = False) -> Tenant:
    """One tenant. Raises `NotFound`."""
    return _found(await store.tenant(session, UUID(tenant_id), lock=lock))


async def own(session: AsyncSession, *, lock: bool = False) -> Tenant:
    """The tenant in which the caller acts. Raises `NotFound`."""
    return _found(await store.tenant(session, call.current().principal.tenant, lock=lock))


async def change(session: AsyncSession, tenant_id: str, told: pb.Tenant, paths: Sequence[str]) -> Tenant:
    """Change a tenant's named fields. Raises `NotFound`, `StaleVersion`, `Invalid`."""
    row = await get(session, tenant_id, lock=True)
    call.current().require_version(row.version)
    for path in paths:
        name, inner = _split(path, "tenant", {"limits": _LIMITS})
        if name == "limits":
            _set_limits(row, told.limits, inner)
        elif name == "currency":
            row.currency = checks.currency(told.currency or CURRENCY_DEFAULT, "tenant.currency")
        else:
            row.name = told.name
    await _changed(session, row)
    return row


async def configure(session: AsyncSession, told: pb.TenantConfig, paths: Sequence[str]) -> Tenant:
    """Change the named fields of the current tenant's configuration. Raises `StaleVersion`, `Invalid`, `Denied`."""
    checks.whole_tenant(call.current().principal)
    row = await own(session, lock=True)
    call.current().require_version(row.version)
    for path in paths:
        name, inner = _split(path, "config", {"branding": _BRANDING})
        if name == "branding":
            for each in inner:
                setattr(row, _BRANDING[each], getattr(told.branding, each))
        elif name == "features":
            row.features = dict(told.features)
        elif name == "locale":
            row.locale = checks.locale(told.locale or LOCALE_DEFAULT, "config.locale")
        elif name == "currency":
            row.currency = checks.currency(told.currency or CURRENCY_DEFAULT, "config.currency")
        else:
            row.time_zone = checks.time_zone(told.time_zone or TIME_ZONE_DEFAULT, "config.time_zone")
    await _changed(session, row)
    return row


async def suspend(session: AsyncSession, tenant_id: str, reason: str) -> Tenant:
    """Suspend a tenant. Raises `NotFound`, `StaleVersion`, `InvalidTransition`."""
    row = await _moved(session, tenant_id, SUSPENDED, reason)
    _tell(session, row, events_pb2.TenantSuspended(tenant_id=str(row.id), reason=reason))
    return row


async def resume(session: AsyncSession, tenant_id: str) -> Tenant:
    """Let a tenant work again. Raises `NotFound`, `StaleVersion`, `InvalidTransition`."""
    row = await _moved(session, tenant_id, ACTIVE, "")
    _tell(session, row, events_pb2.TenantResumed(tenant_id=str(row.id)))
    return row


async def _moved(session: AsyncSession, tenant_id: str, status: pb.TenantStatus, reason: str) -> Tenant:
    row = await get(session, tenant_id, lock=True)
    call.current().require_version(row.version)
    if row.status == status:
        allowed = [word for number, word in _WORDS.items() if number != row.status]
        raise errors.InvalidTransition.between(_WORDS[row.status], _WORDS[status], allowed)
    row.status, row.suspend_reason = status, reason
    row.version += 1
    await session.flush()
    return row


async def _changed(session: AsyncSession, row: Tenant) -> None:
    """Count and tell of a change, if there is one."""
    if session.is_modified(row):
        row.version += 1
        await session.flush()
        _tell(session, row, events_pb2.TenantUpdated(tenant=messages.tenant(row)))


def _tell(
    session: AsyncSession,
    row: Tenant,
    event: events_pb2.TenantCreated | events_pb2.TenantUpdated | events_pb2.TenantSuspended | events_pb2.TenantResumed,
) -> None:
    """Whoever acts, it is the tenant's event: operators act from outside of it."""
    events.publish(session, event, subject=f"tenants/{row.id}", audience=["tenant"], tenant=row.id)


def _split(path: str, of: str, nested: Mapping[str, Mapping[str, str]]) -> tuple[str, Sequence[str]]:
    """A field of a mask and which of its inner fields are meant. Raises `Invalid` for one that is not there."""
    name, _, below = path.partition(".")
    inner = nested.get(name, {})
    if below and below not in inner:
        raise errors.Invalid(fields={f"{of}.{path}": ["is not a field"]})
    return name, [below] if below else list(inner)


def _set_limits(row: Tenant, told: pb.Limits, names: Sequence[str]) -> None:
    """A limit that is not given is none."""
    for name in names:
        setattr(row, name, getattr(told, name) if told.HasField(name) else None)


def _found(row: Tenant | None) -> Tenant:
    if row is None:
        raise errors.NotFound
    return row
