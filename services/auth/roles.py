"""The built-in roles: each a name for a set of permissions.

Most are listed one by one, so that a reader sees what is given. The pattern `*` (everything of the tenant) and patterns
such as `*.read` and `audit.*` also cover services that register tomorrow; `Principal.may` says what a pattern covers,
and what acts for the platform is never covered by one.
"""

from chassis.identity import Principal

ADMIN = "admin"
OPERATOR = "operator"

_KIOSK = frozenset({"inventory.catalog.read", "orders.create", "orders.read"})
_POS = frozenset({"inventory.catalog.read", "orders.read"})
_STAFF = frozenset(
    {
        "inventory.batches.read",
        "inventory.catalog.read",
        "inventory.items.read",
        "inventory.menu.read",
        "inventory.movements.read",
        "inventory.movements.write",
        "locks.read",
        "locks.write",
        "orders.create",
        "orders.read",
        "orders.update",
        "tenants.sites.read",
        "tenants.stations.read",
    }
)
_MANAGER = _STAFF | {
    "audit.events.read",
    "auth.users.read",
    "inventory.batches.write",
    "inventory.items.write",
    "inventory.menu.write",
    "orders.override",
    "registry.read",
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

# An operator works for the platform: inside a tenant as its admin, outside of any with these alone.
OPERATOR_PERMISSIONS = frozenset(
    {
        "audit.events.read",
        "platform.keys.read",
        "platform.keys.write",
        "platform.tenants.read",
        "platform.tenants.write",
        "registry.read",
        "registry.write",
    }
)


def permissions(role: str) -> frozenset[str]:
    """What a role allows; nothing, for a role that is no longer there."""
    return ROLES.get(role, frozenset())


def lacking(principal: Principal, role: str) -> list[str]:
    """What the role would give that the principal does not hold. A pattern is held by holding it or a wider one."""
    return sorted(granted for granted in permissions(role) if not principal.may(granted))
