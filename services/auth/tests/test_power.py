"""Whatever anybody of any power does, nobody gains what the one who did it does not hold."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from switchyard.auth.v1 import access_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Tenant
from services.auth import roles
from services.auth.tests.support import PASSWORD, Auth, admin

HERE, THERE, ELSEWHERE = (str(uuid7()) for _ in range(3))
# What is in the universe; the last ones are asked for by services that come tomorrow.
PERMISSIONS = (
    "orders.create",
    "orders.read",
    "locks.write",
    "auth.users.write",
    "auth.roles.write",
    "audit.events.read",
)
TOMORROW = ("orders.flights.book", "rockets.flights.read", "rockets.flights.book")
PATTERNS = ("orders.*", "auth.*", "*.read", "*.write", "*")
OWN = ("baker", "barista", "runner")
ACTIVE, DISABLED = users_pb2.USER_STATUS_ACTIVE, users_pb2.USER_STATUS_DISABLED

Reach = frozenset[tuple[str, str]]

grants = st.lists(st.sampled_from((*PERMISSIONS, *PATTERNS)), max_size=2, unique=True)
given_sites = st.sampled_from(([], [HERE], [THERE], [HERE, THERE]))
# Those that may often be given come often.
given_role = st.sampled_from(("admin", "staff", "auditor", *OWN, *OWN))
further = st.lists(given_role, max_size=2, unique=True)
somebody = st.integers(0, 3)
people = st.tuples(given_role, further, given_sites)
steps = st.one_of(
    st.tuples(st.just("create"), somebody, given_role, further, given_sites),
    st.tuples(st.just("invite"), somebody, given_role, further, given_sites),
    st.tuples(st.just("accept")),
    st.tuples(st.just("roles"), somebody, somebody, given_role, further),
    st.tuples(st.just("sites"), somebody, somebody, given_sites),
    st.tuples(st.just("status"), somebody, somebody, st.sampled_from((ACTIVE, DISABLED))),
    st.tuples(st.just("remove"), somebody, somebody),
    st.tuples(st.just("define"), somebody, st.sampled_from(OWN), grants),
    st.tuples(st.just("redefine"), somebody, st.sampled_from(OWN), grants),
    st.tuples(st.just("forget"), somebody, st.sampled_from(OWN)),
)


@dataclass
class Company:
    """A tenant, who is in it, and the letters that are under way."""

    auth: Auth
    tenant: Tenant = field(default_factory=Tenant)
    ids: list[str] = field(default_factory=list)
    letters: list[tuple[str, str]] = field(default_factory=list)

    def stub(self, principal: Principal) -> Any:
        return self.auth.stub(principal)

    async def everybody(self) -> dict[str, Principal]:
        """Who may do what now, as the tables say; in this test nobody trusts the code that is tested."""
        by = self.stub(admin(self.tenant))
        defined = {role.name: role.permissions for role in (await by.ListRoles(access_pb2.ListRolesRequest())).roles}
        listed = (await by.ListUsers(users_pb2.ListUsersRequest(page_size=100))).users
        return {
            user.id: Principal(
                "user",
                user.id,
                self.tenant.id,
                permissions=frozenset(
                    granted for role in (user.role, *user.additional_roles) for granted in defined[role]
                )
                if user.status == ACTIVE
                else frozenset(),
                sites=frozenset(user.site_ids),
            )
            for user in listed
        }

    async def create(self, by: Principal, role: str, more: list[str], sites: list[str]) -> None:
        user = users_pb2.User(
            email=f"{uuid7()}@north.example",
            name="Mira",
            role=role,
            password=PASSWORD,
            additional_roles=more,
            site_ids=sites,
        )
        created = await self.stub(by).CreateUser(users_pb2.CreateUserRequest(user=user))
        self.ids.append(created.id)

    async def invite(self, by: Principal, role: str, more: list[str], sites: list[str]) -> None:
        wanted = users_pb2.Invitation(
            email=f"{uuid7()}@north.example", role=role, additional_roles=more, site_ids=sites
        )
        sent = await self.stub(by).CreateInvitation(users_pb2.CreateInvitationRequest(invitation=wanted))
        self.letters.append((by.id, await self.auth.letter(sent.email)))

    async def roles(self, by: Principal, whom: str, role: str, more: list[str]) -> None:
        await self._change(by, whom, role=role, additional_roles=more)

    async def sites(self, by: Principal, whom: str, sites: list[str]) -> None:
        await self._change(by, whom, site_ids=sites)

    async def status(self, by: Principal, whom: str, status: users_pb2.UserStatus) -> None:
        await self._change(by, whom, status=status)

    async def remove(self, by: Principal, whom: str) -> None:
        await self.stub(by).DeleteUser(users_pb2.DeleteUserRequest(id=whom))

    async def define(self, by: Principal, name: str, granted: list[str]) -> None:
        role = access_pb2.Role(name=name, permissions=granted)
        await self.stub(by).CreateRole(access_pb2.CreateRoleRequest(role=role))

    async def redefine(self, by: Principal, name: str, granted: list[str]) -> None:
        request = access_pb2.UpdateRoleRequest(name=name, role=access_pb2.Role(permissions=granted))
        request.update_mask.paths.append("permissions")
        await self.stub(by).UpdateRole(request)

    async def forget(self, by: Principal, name: str) -> None:
        await self.stub(by).DeleteRole(access_pb2.DeleteRoleRequest(name=name))

    async def _change(self, by: Principal, whom: str, **fields: Any) -> None:
        request = users_pb2.UpdateUserRequest(id=whom, user=users_pb2.User(**fields))
        request.update_mask.paths.extend(fields)
        await self.stub(by).UpdateUser(request)


def reach(principal: Principal) -> Reach:
    """Each thing that somebody may do, with each place where they may."""
    return frozenset(
        (permission, site)
        for permission in (*PERMISSIONS, *TOMORROW)
        if principal.may(permission)
        for site in (HERE, THERE, ELSEWHERE)
        if principal.may_see_site(site)
    )


async def open_company(auth: Auth, defined: list[list[str]], members: list[Any]) -> Company:
    """An admin, a baker who administers everywhere, one who does so at one site, and somebody."""
    company = Company(auth)
    root = admin(company.tenant)
    baker, barista = defined
    deputies = ("auth.users.write", "auth.roles.write", "orders.*")
    await company.define(root, "baker", [*dict.fromkeys((*deputies, *baker))])
    await company.define(root, "barista", barista)
    await company.define(root, "runner", [])
    for role, more, sites in (("admin", [], []), ("baker", [], []), ("baker", ["barista"], [HERE]), *members):
        await company.create(root, role, more, sites)
    return company


async def act(company: Company, step: tuple[Any, ...], before: dict[str, Principal]) -> Principal:
    """Do a step; who did it, as they were before."""
    name, *told = step
    if name == "accept":
        by, token = company.letters.pop() if company.letters else ("", "inv_none")
        actor = before.get(by, Principal("user", by, company.tenant.id))
        await company.auth.accept(token)
        return actor
    actor = before.get(company.ids[told[0]], Principal("user", company.ids[told[0]], company.tenant.id))
    if name in {"roles", "sites", "status", "remove"}:
        told[1] = company.ids[told[1]]
    await getattr(company, name)(actor, *told[1:])
    return actor


class TestPower:
    @settings(
        max_examples=40,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        defined=st.lists(grants, min_size=2, max_size=2),
        members=st.lists(people, min_size=1, max_size=1),
        done=st.lists(steps, min_size=10, max_size=30),
    )
    async def test_nobody_gives_what_they_do_not_hold(
        self, auth: Auth, defined: list[list[str]], members: list[Any], done: list[Any]
    ) -> None:
        company = await open_company(auth, defined, members)
        before = await company.everybody()

        for step in done:
            try:
                actor = await act(company, step, before)
            except (errors.Denied, errors.Conflict, errors.NotFound, errors.AlreadyExists, errors.Invalid):
                continue
            except errors.Unauthenticated:
                continue
            event(f"{step[0]} is done")
            after = await company.everybody()
            for user_id, now in after.items():
                was = reach(before[user_id]) if user_id in before else frozenset()
                assert reach(now) - was <= reach(actor), (step, actor, now)
            before = after


class TestRolesBuiltIn:
    def test_the_universe_is_in_the_reach_of_an_admin(self) -> None:
        everything = Principal("user", "", None, permissions=roles.permissions(roles.ADMIN))

        assert len(reach(everything)) == 3 * len((*PERMISSIONS, *TOMORROW))
