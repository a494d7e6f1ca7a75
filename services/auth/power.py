"""What a principal may give to others: nothing that they do not hold, nowhere where they do not act."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chassis import errors
from chassis.identity import Principal
from services.auth import roles


class Given(NamedTuple):
    """What somebody has, or will have. No sites: all of them."""

    role: str
    additional_roles: Sequence[str]
    site_ids: Sequence[UUID]

    @property
    def roles(self) -> list[str]:
        """The main role and the others."""
        return list(dict.fromkeys((self.role, *self.additional_roles)))


async def require_to_give(session: AsyncSession, principal: Principal, given: Given, *, about: str) -> None:
    """Raise `Denied` unless the principal holds all that is given, everywhere where it is; `Invalid` for no such role.

    `about` is the field of the request that the refusal is about, such as `user`.
    """
    allowed = await roles.allowed(session, given.roles)
    for role in given.roles:
        if role not in allowed:
            raise errors.Invalid(fields={_field(given, role, about): [f"there is no role {role}"]})
    await require_over(session, principal, given, about=about)


async def require_over(session: AsyncSession, principal: Principal, given: Given, *, about: str) -> None:
    """Raise `Denied` unless the principal may do all that somebody may who has this, everywhere where they may."""
    for role, permissions in (await roles.allowed(session, given.roles)).items():
        if missing := roles.lacking(principal, permissions):
            raise errors.Denied.missing(missing[0], field=_field(given, role, about))
    if not covers_sites(principal, given.site_ids):
        message = "you act in some sites only"
        raise errors.Denied(message, fields={f"{about}.site_ids": ["must be among your own"]})


def covers_sites(principal: Principal, site_ids: Sequence[UUID]) -> bool:
    """Whether the principal acts wherever somebody with these sites does."""
    return not principal.sites or (bool(site_ids) and all(principal.may_see_site(site) for site in site_ids))


def _field(given: Given, role: str, about: str) -> str:
    return f"{about}.role" if role == given.role else f"{about}.additional_roles"
