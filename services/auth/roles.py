"""The built-in roles: each a name for a set of permissions, listed one by one so that a reader sees what is given."""

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
    "registry.read",
    "tenants.sites.write",
    "tenants.stations.write",
}
_AUDITOR = frozenset(
    {
        "audit.events.read",
        "auth.roles.read",
        "auth.users.read",
        "inventory.batches.read",
        "inventory.catalog.read",
        "inventory.items.read",
        "inventory.menu.read",
        "inventory.movements.read",
        "locks.read",
        "orders.read",
        "registry.read",
        "tenants.sites.read",
        "tenants.stations.read",
    }
)
_ADMIN = _MANAGER | _AUDITOR | {"auth.roles.read", "auth.tokens.write", "auth.users.write"}

# What a member of a tenant can be.
ROLES = {
    ADMIN: _ADMIN,
    "manager": _MANAGER,
    "staff": _STAFF,
    "kiosk": _KIOSK,
    "pos": _POS,
    "auditor": _AUDITOR,
}

# An operator works for the platform: inside a tenant as its admin, outside of any with these alone.
OPERATOR_PERMISSIONS = frozenset({"platform.tenants.read", "platform.tenants.write", "registry.read", "registry.write"})


def permissions(role: str) -> frozenset[str]:
    """What a role allows; nothing, for a role that is no longer there."""
    return ROLES.get(role, frozenset())
