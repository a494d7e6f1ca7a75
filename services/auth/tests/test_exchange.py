"""What a principal may do, against a model in plain Python: the union of its roles, within its scopes, at its sites.

The database is changed behind the process's back, so that every mix is reached in one round trip; the answer is the
exchange's own.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from switchyard.auth.v1 import access_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.support import Auth, own_role, superuser

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
REFUSED, SUSPENDED = "refused", "TENANT_SUSPENDED"

PERMISSIONS = (
    "audit.events.read",
    "auth.users.write",
    "inventory.items.read",
    "inventory.items.write",
    "orders.create",
    "orders.read",
    "tenants.sites.read",
)
PATTERNS = ("*", "*.read", "*.write", "inventory.*", "orders.*", *PERMISSIONS)
BUILT_IN = ("staff", "manager", "auditor", "kiosk")
OWN = ("first", "second")
SITES = tuple(str(uuid7()) for _ in range(3))


@dataclass(frozen=True)
class World:
    """A member, what they hold, and what limits the credential that they show."""

    role: str
    additional_roles: frozenset[str]
    own: tuple[frozenset[str], frozenset[str]]
    sites: frozenset[str]
    scopes: frozenset[str] | None
    site: str
    asked: str
    active: bool
    suspended: bool


_rarely = st.sampled_from([False] * 9 + [True])
_site = st.sampled_from(["", *SITES])
_given = st.frozensets(st.sampled_from(PATTERNS), max_size=3)
worlds = st.builds(
    World,
    role=st.sampled_from(BUILT_IN + OWN),
    additional_roles=st.frozensets(st.sampled_from(BUILT_IN + OWN), max_size=2),
    own=st.tuples(_given, _given),
    sites=st.frozensets(st.sampled_from(SITES), max_size=3),
    scopes=st.none() | st.frozensets(st.sampled_from(PATTERNS), min_size=1, max_size=3),
    site=_site,
    asked=_site,
    active=_rarely.map(lambda rare: not rare),
    suspended=_rarely,
)


def covers(pattern: str, permission: str) -> bool:
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return permission.startswith(pattern[:-1])
    if pattern.startswith("*."):
        return permission.endswith(pattern[1:])
    return pattern == permission


def granted(world: World) -> set[str]:
    """The union of all roles, as far as the scopes go."""
    held = dict(zip(OWN, world.own, strict=True))
    named = {world.role, *world.additional_roles}
    patterns = {one for name in named for one in (held[name] if name in held else roles.ROLES[name])}
    return {
        permission
        for permission in PERMISSIONS
        if any(covers(one, permission) for one in patterns)
        and (world.scopes is None or any(covers(one, permission) for one in world.scopes))
    }


def refused(world: World) -> str:
    if not world.active:
        return REFUSED
    return SUSPENDED if world.suspended else ""


def at(among: Collection[str], site: str) -> frozenset[str] | None:
    """Where somebody acts who acts among these and asks for one; None: it is not theirs."""
    if not site:
        return frozenset(among)
    return frozenset({site}) if not among or site in among else None


async def answered(auth: Auth, credential: str, asked: str) -> tuple[set[str], frozenset[str]] | str:
    try:
        principal = await auth.exchange(credential, site=asked)
    except (errors.Denied, errors.Unauthenticated) as refusal:
        return SUSPENDED if refusal.code == SUSPENDED else REFUSED
    return {permission for permission in PERMISSIONS if principal.may(permission)}, principal.sites


@dataclass(frozen=True)
class Stage:
    """A member whom each example makes anew, and what they show."""

    connection: asyncpg.Connection
    tenant: Tenant
    member: Principal
    access_token: str
    token_id: str
    token: str

    async def set(self, world: World) -> None:
        """Make the member what the world says."""
        for name, permissions in zip(OWN, world.own, strict=True):
            statement = "UPDATE roles SET permissions = $3 WHERE tenant_id = $1 AND name = $2"
            await self.connection.execute(statement, self.tenant.id, name, sorted(permissions))
        await self.connection.execute(
            "UPDATE memberships SET role = $2, additional_roles = $3, site_ids = $4, status = $5 WHERE tenant_id = $1",
            self.tenant.id,
            world.role,
            sorted(world.additional_roles),
            [UUID(site) for site in world.sites],
            "active" if world.active else "disabled",
        )
        await self.connection.execute(
            "INSERT INTO tenant_standing (tenant_id, status) VALUES ($1, $2) "
            "ON CONFLICT (tenant_id) DO UPDATE SET status = $2",
            self.tenant.id,
            "suspended" if world.suspended else "active",
        )

    async def set_session(self, world: World) -> None:
        """Let the session be a client's where there are scopes, and act in the site."""
        await self.connection.execute(
            "UPDATE sessions SET client_id = $2, scopes = $3, tenant_id = $4 WHERE id = $1",
            self.member.session_id,
            None if world.scopes is None else uuid7(),
            None if world.scopes is None else sorted(world.scopes),
            None if world.scopes is None else self.tenant.id,
        )
        await self.connection.execute("DELETE FROM session_sites WHERE session_id = $1", self.member.session_id)
        if world.site:
            told = self.member.session_id, self.tenant.id, self.member.id, world.site
            await self.connection.execute("INSERT INTO session_sites VALUES ($1, $2, $3, $4)", *told)

    async def set_token(self, world: World) -> None:
        """Give the personal token the scopes and the site."""
        statement = "UPDATE api_tokens SET scopes = $2, site_id = $3 WHERE id = $1"
        told = sorted(world.scopes or ()), UUID(world.site) if world.site else None
        await self.connection.execute(statement, self.token_id, *told)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(auth: Auth, tenant: Tenant, databases: Databases) -> AsyncIterator[Stage]:
    """A member with a session and a token."""
    for name in OWN:
        await own_role(auth, tenant, name, "orders.read")
    person = await auth.person(tenant, role="admin")
    access_token = (await auth.sign_in(person)).access_token
    member = await auth.exchange(access_token)
    wanted = access_pb2.ApiToken(name="Export", kind=access_pb2.TOKEN_KIND_PERSONAL)
    made = await auth.stub(member).CreateToken(access_pb2.CreateTokenRequest(token=wanted))
    async with superuser(databases) as connection:
        yield Stage(connection, tenant, member, access_token, made.id, made.token)


class TestSession:
    @EXAMPLES
    @given(world=worlds)
    async def test_gives_the_union_of_the_roles_within_scopes_and_sites(
        self, auth: Auth, stage: Stage, world: World
    ) -> None:
        await stage.set(world)
        await stage.set_session(world)

        answer = await answered(auth, stage.access_token, world.asked)

        # The site that was chosen counts where the call names none, and as long as it is the member's.
        sites = at(world.sites, world.asked or world.site)
        if sites is None and not world.asked:
            sites = world.sites
        assert answer == (refused(world) or (REFUSED if sites is None else (granted(world), sites)))


class TestPersonalToken:
    @EXAMPLES
    @given(world=worlds)
    async def test_gives_what_its_person_may_within_its_scopes_and_its_site(
        self, auth: Auth, stage: Stage, world: World
    ) -> None:
        await stage.set(world)
        await stage.set_token(world)

        answer = await answered(auth, stage.token, world.asked)

        own = at(world.sites, world.site)
        sites = None if own is None else at(own, world.asked)
        assert answer == (refused(world) or (REFUSED if sites is None else (granted(world), sites)))
