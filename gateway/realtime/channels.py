"""The channels a client may join, and who may: the one table of it.

A name is a pattern of parts with colons between; `{...}` stands for any one part. Publishers name channels in the same
way, so nothing here knows who publishes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chassis.identity import PLATFORM, Principal

# What a site, a role or a user can be called.
_PART: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

May = Callable[[Principal, str], bool]


@dataclass(frozen=True, slots=True)
class Channel:
    """A kind of channel. `platform`: its events concern the platform and not the tenant of whoever joins."""

    pattern: str
    may: May
    platform: bool = False

    def matches(self, parts: list[str]) -> bool:
        """Whether a name, in parts, is of this kind."""
        expected = self.pattern.split(":")
        return len(parts) == len(expected) and all(
            _PART.fullmatch(part) if each == "{}" else part == each for each, part in zip(expected, parts, strict=True)
        )


# People, and the programs that act on their own account: those whose roles say what they may.
_MEMBERS: Final = frozenset({"user", "client"})


def _is_member(principal: Principal, _: str) -> bool:
    return principal.kind in _MEMBERS


def _member_everywhere(principal: Principal, _: str) -> bool:
    return principal.kind in _MEMBERS and not principal.sites


def _in_site(principal: Principal, site: str) -> bool:
    return principal.may_see_site(site)


def _member_in_site(principal: Principal, site: str) -> bool:
    return principal.kind in _MEMBERS and principal.may_see_site(site)


def _kiosk_of(principal: Principal, catalog: str) -> bool:
    # A catalog has its site's id, and a kiosk has one site.
    return principal.kind == "kiosk" and catalog in principal.sites


def _holds_role(principal: Principal, role: str) -> bool:
    return role in principal.roles


def _is_self(principal: Principal, user: str) -> bool:
    return principal.kind == "user" and user == principal.id


def _permitted(permission: str) -> May:
    return lambda principal, _: principal.may(permission)


def _permitted_in_site(permission: str) -> May:
    # A kiosk's permissions are for what is its own.
    return lambda principal, site: (
        principal.kind != "kiosk" and principal.may(permission) and principal.may_see_site(site)
    )


CHANNELS: Final = (
    Channel("tenant", _is_member),
    Channel("site:{}", _in_site),
    # Which site a station is in is not known here: whoever is limited to some listens to those, which carry it too.
    Channel("station:{}", _member_everywhere),
    Channel("kiosk:{}", _kiosk_of),
    Channel("orders:queue:{}", _permitted_in_site("orders.read")),
    Channel("role:{}", _holds_role),
    Channel("user:{}", _is_self),
    Channel("service-health", _permitted("registry.read"), platform=True),
    Channel("audit:anomalies", _permitted("audit.anomalies")),
    Channel("presence:{}", _member_in_site),
)

# Connections to one channel alone, whose events come bare; `{}` is the site that the client names.
PATHS: Final = {"/ws/orders/queue": "orders:queue:{}", "/ws/service-health": "service-health"}


def tenant_of(principal: Principal, name: str) -> str | None:
    """The tenant whose channel a principal joins under this name; None when there is none or they may not."""
    parts = name.split(":")
    for channel in CHANNELS:
        if channel.matches(parts):
            if not channel.may(principal, parts[-1]):
                return None
            return str(PLATFORM if channel.platform else principal.tenant)
    return None
