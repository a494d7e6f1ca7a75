"""Roles: each a name for a set of permissions, built-in or a tenant's own.

Most of the built-in ones are listed one by one, so that a reader sees what is given. The pattern `*` (everything of the
tenant) and patterns such as `*.read` and `audit.*` also cover services that register tomorrow; `Principal.may` says
what a pattern covers, and what acts for the platform is never covered by one.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import access_pb2, events_pb2

from chassis import call, clock, db, errors, events, identity
from chassis.identity import Principal
from services.auth import access_store
from services.auth.models import Role
from services.auth.permissions import Permissions

ADMIN = "admin"
OPERATOR = identity.OPERATOR

_KIOSK = frozenset({"inventory.catalog.read", "orders.create", "orders.read", "tenants.settings.read"})
_POS = frozenset(
    {
        "inventory.catalog.read",
        "inventory.stock.read",
        "inventory.stock.write",
        "orders.pos.confirm",
        "orders.read",
        "tenants.settings.read",
    }
)
_STAFF = frozenset(
    {
        "inventory.batches.read",
        "inventory.catalog.read",
        "inventory.items.read",
        "inventory.menu.read",
        "inventory.movements.read",
        "inventory.movements.write",
        "inventory.restock.read",
        "inventory.stock.read",
        "inventory.stock.write",
        "locks.read",
        "locks.write",
        "orders.assign",
        "orders.create",
        "orders.read",
        "orders.update",
        "tenants.settings.read",
        "tenants.sites.read",
        "tenants.stations.read",
    }
)
_MANAGER = _STAFF | {
    "audit.events.read",
    "auth.biometric.enroll",
    "auth.users.read",
    "inventory.batches.write",
    "inventory.items.write",
    "inventory.menu.write",
    "inventory.restock.approve",
    "inventory.restock.write",
    "inventory.webhooks.read",
    "orders.import",
    "orders.override",
    "orders.pos.read",
    "registry.read",
    "tenants.settings.write",
    "tenants.sites.write",
    "tenants.stations.write",
}

# What a member of a tenant can be.
ROLES = {
    ADMIN: frozenset({"*"}),
    "manager": _MANAGER,
    "staff": _STAFF,
    "kiosk": _KIOSK,
    "pos": _POS,
    "auditor": frozenset({"*.read", "audit.*"}),
}

# What the methods that act for the platform ask for. It is held by its name or not at all, and by operators alone.
PLATFORM_PERMISSIONS = frozenset(
    {"platform.keys.read", "platform.keys.write", "platform.tenants.read", "platform.tenants.write", "registry.write"}
)
# An operator works for the platform: inside a tenant as its admin, outside of any with these alone.
OPERATOR_PERMISSIONS = PLATFORM_PERMISSIONS | {"audit.events.read", "registry.read"}

# Names that a tenant cannot use: these mean something else where roles are told.
RESERVED = frozenset({*ROLES, OPERATOR, "service", "scope"})
# There are never many; lists show them all.
OWN_MAX = 200


class Change(NamedTuple):
    """What changes about a role; `None`: it stays."""

    permissions: Sequence[str] | None
    description: str | None


def permissions(role: str) -> frozenset[str]:
    """What a built-in role allows; nothing, for a role that is none."""
    return ROLES.get(role, frozenset())


def lacking(principal: Principal, wanted: Iterable[str]) -> list[str]:
    """What of it the principal does not hold. A pattern is held by holding it or a wider one."""
    return sorted(granted for granted in wanted if not principal.may(granted))


def granting(held: Collection[str], permission: str) -> str:
    """Which of a role's permissions and patterns gives a permission, the narrowest first; empty: none does."""
    service, verb = permission.split(".", 1)[0], permission.rpartition(".")[2]
    candidates = (permission, f"{service}.*.{verb}", f"{service}.*", f"*.{verb}", "*")
    return next((candidate for candidate in candidates if candidate in held), "")


async def allowed(session: AsyncSession, names: Collection[str]) -> dict[str, frozenset[str]]:
    """What each of these roles allows; those that the tenant does not have are left out."""
    own = await access_store.own_roles(session, [name for name in names if name not in ROLES])
    found = {name: ROLES[name] for name in names if name in ROLES}
    return found | {role.name: frozenset(role.permissions) for role in own}


async def every(session: AsyncSession) -> dict[str, frozenset[str]]:
    """What each role of the tenant allows, the built-in ones first."""
    return ROLES | {role.name: frozenset(role.permissions) for role in await access_store.own_roles(session)}


async def listed(session: AsyncSession) -> list[access_pb2.Role]:
    """All roles of the tenant, the built-in ones first."""
    own = await access_store.own_roles(session)
    return [_built_in(name) for name in ROLES] + [_to_message(role) for role in own]


async def get(session: AsyncSession, name: str) -> access_pb2.Role:
    """One role. Raises `NotFound`."""
    if name in ROLES:
        return _built_in(name)
    found = await access_store.own_roles(session, [name])
    if not found:
        raise errors.NotFound
    return _to_message(found[0])


async def create(session: AsyncSession, wanted: access_pb2.Role, there: Permissions) -> access_pb2.Role:
    """A new role of the tenant's own."""
    principal = call.current().principal
    _require_whole_tenant(principal)
    if wanted.name in RESERVED:
        raise _taken()
    _require_known(wanted.permissions, there)
    _require_held(principal, wanted.permissions)
    if await access_store.count_own_roles(session, principal.tenant) >= OWN_MAX:
        message = f"a tenant has {OWN_MAX} roles of its own at most"
        raise errors.Conflict(message, code="LIMIT_EXCEEDED")
    now = clock.now()
    row = Role(
        tenant_id=principal.tenant,
        name=wanted.name,
        permissions=list(wanted.permissions),
        description=wanted.description,
        version=1,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as failure:
        if db.violated(failure) != "roles_pkey":
            raise
        raise _taken() from failure
    return _to_message(row)


async def update(session: AsyncSession, name: str, change: Change, there: Permissions) -> access_pb2.Role:
    """Change a role of the tenant's own; what its holders may do changes at once."""
    row = await _lock(session, name)
    call.current().require_version(row.version)
    wanted = row.permissions if change.permissions is None else list(change.permissions)
    description = row.description if change.description is None else change.description
    if (wanted, description) == (row.permissions, row.description):
        return _to_message(row)
    _require_known(wanted, there, besides=row.permissions)
    _require_held(call.current().principal, wanted)
    differs = set(wanted) != set(row.permissions)
    row.permissions, row.description = wanted, description
    row.version += 1
    row.updated_at = clock.now()
    await session.flush()
    if differs:
        _tell(session, name)
    return _to_message(row)


async def delete(session: AsyncSession, name: str) -> None:
    """Delete a role of the tenant's own. Raises `Conflict` while a user has it."""
    row = await _lock(session, name)
    call.current().require_version(row.version)
    await session.delete(row)
    try:
        await session.flush()
    except IntegrityError as failure:
        if db.violated(failure) != "roles_in_use":
            raise
        message = "users have this role"
        raise errors.Conflict(message, code="ROLE_IN_USE") from failure
    _tell(session, name)


async def _lock(session: AsyncSession, name: str) -> Role:
    """A role of the tenant's own that the caller may change."""
    if name in ROLES:
        message = "built-in roles stay as they are"
        raise errors.Conflict(message, code="ROLE_BUILT_IN")
    row = await access_store.lock_role(session, name)
    if row is None:
        raise errors.NotFound
    principal = call.current().principal
    _require_whole_tenant(principal)
    _require_held(principal, row.permissions)
    return row


def _require_whole_tenant(principal: Principal) -> None:
    if principal.sites:
        message = "roles are the whole tenant's, and you act in some sites only"
        raise errors.Denied(message)


def _require_held(principal: Principal, wanted: Iterable[str]) -> None:
    if missing := lacking(principal, wanted):
        raise errors.Denied.missing(missing[0], field="role.permissions")


def _require_known(wanted: Sequence[str], there: Permissions, *, besides: Collection[str] = ()) -> None:
    unknown = {
        f"role.permissions.{place}": ["is asked for by no service"]
        for place, name in enumerate(wanted)
        if name not in besides and (there.of_platform(name) or not there.covered(name))
    }
    if unknown:
        raise errors.Invalid(fields=unknown)


def _taken() -> errors.AlreadyExists:
    return errors.AlreadyExists("there is a role of this name", fields={"role.name": ["is taken"]})


def _tell(session: AsyncSession, name: str) -> None:
    changed = events_pb2.RoleDefinitionChanged(role=name)
    events.publish(session, changed, subject=f"roles/{name}", audience=["role:admin"])


def _built_in(name: str) -> access_pb2.Role:
    return access_pb2.Role(name=name, permissions=sorted(ROLES[name]), built_in=True)


def _to_message(row: Role) -> access_pb2.Role:
    return access_pb2.Role(name=row.name, permissions=row.permissions, description=row.description, version=row.version)
