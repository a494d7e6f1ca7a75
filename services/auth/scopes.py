"""Scopes: what a credential may do at most, whatever its holder may.

A scope is a permission or a pattern, as in a role. Where a role's pattern and a scope's cross, what is left is one verb
of one service (`orders.*.read`), which `Principal.may` understands.
"""

from collections.abc import Collection

from services.auth import roles


def limited(granted: Collection[str], scopes: Collection[str]) -> frozenset[str]:
    """What is granted and within the scopes."""
    pairs = ((grant, scope) for grant in granted for scope in scopes)
    return frozenset(both for one, other in pairs if (both := _overlap(one, other) or _overlap(other, one)))


def _overlap(wide: str, narrow: str) -> str:
    """What both patterns cover, where the first is the wider or they cross; empty: nothing."""
    if wide == narrow:
        return narrow
    if narrow in roles.PLATFORM_PERMISSIONS or narrow.startswith("platform."):
        # What acts for the platform is held by its name or not at all.
        return ""
    if wide == "*":
        return narrow
    service, _, rest = wide.partition(".")
    if rest == "*" and narrow.startswith("*."):
        return f"{service}.{narrow}"
    if rest == "*":
        return narrow if narrow.startswith(f"{service}.") else ""
    if service == "*" and not narrow.endswith(".*"):
        return narrow if narrow.endswith(f".{rest}") else ""
    return ""
