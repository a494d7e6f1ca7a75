"""What is explained is what is decided: against the exchange of real credentials."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from switchyard.auth.v1 import access_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import roles, sessions, tokens
from services.auth.tests.support import Auth, admin, own_role, superuser

HERE, THERE = str(uuid7()), str(uuid7())
PERMISSIONS = (
    "orders.create",
    "orders.read",
    "inventory.catalog.read",
    "audit.events.read",
    "auth.users.write",
    "rockets.flights.book",
    "registry.write",
    "platform.tenants.read",
)
PLATFORM = {"registry.write", "platform.tenants.read"}
PATTERNS = ("orders.*", "*.read", "*.write", "auth.*", "*")
OWN = ("baker", "barista")

grants = st.lists(st.sampled_from((*PERMISSIONS[:5], *PATTERNS)), max_size=3, unique=True)
given_role = st.sampled_from((*roles.ROLES, *OWN))
given_sites = st.sampled_from(([], [HERE], [THERE], [HERE, THERE]))
questions = st.lists(
    st.tuples(st.sampled_from(PERMISSIONS), st.sampled_from(("", HERE, THERE))), min_size=1, max_size=6, unique=True
)
people = st.fixed_dictionaries(
    {
        "defined": st.lists(grants, min_size=2, max_size=2),
        "role": given_role,
        "more": st.lists(given_role, max_size=2, unique=True),
        "sites": given_sites,
        "disabled": st.sampled_from((False, False, False, True)),
    }
)
devices = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(tokens.PREFIXES)),
        "site": st.sampled_from((None, HERE, THERE)),
        "scopes": st.lists(st.sampled_from((*PERMISSIONS, *PATTERNS)), max_size=3, unique=True),
        "expired": st.booleans(),
    }
)
BUDGET = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def decided(auth: Auth, credential: str, tenant: Tenant, permission: str, site: str) -> bool:
    """Whether a call with the credential would go through, as the gateway and a service find it."""
    try:
        principal = await auth.exchange(credential, tenant, site)
    except (errors.Unauthenticated, errors.Denied):
        return False
    return permission in principal.permissions if permission in PLATFORM else principal.may(permission)


async def explained(auth: Auth, by: Principal, permission: str, site: str = "", **who: str) -> access_pb2.Explanation:
    request = access_pb2.ExplainAccessRequest(permission=permission, site_id=site, **who)
    answer: access_pb2.Explanation = await auth.stub(by).ExplainAccess(request)
    return answer


async def put_token(databases: Databases, tenant: Tenant, user_id: str, wanted: dict[str, Any]) -> tuple[str, str]:
    """An API token as the table has it: its id and its secret."""
    token_id, secret = uuid7(), f"{tokens.PREFIXES.get(wanted['kind'], 'pat_')}{uuid7()}"
    personal = wanted["kind"] == "personal"
    async with superuser(databases) as connection:
        await connection.execute(
            "INSERT INTO api_tokens"
            " (tenant_id, id, name, kind, site_id, user_id, scopes, hash, expires_at, created_at) "
            "VALUES ($1, $2, 'a token', $3, $4, $5, $6, $7, $8, now())",
            tenant.id,
            token_id,
            wanted["kind"],
            wanted["site"] if personal else wanted["site"] or HERE,
            user_id if personal else None,
            wanted["scopes"],
            sessions.digest(secret),
            datetime(2020, 1, 1, tzinfo=UTC) if wanted["expired"] else None,
        )
    return str(token_id), secret


async def put_user(
    auth: Auth,
    tenant: Tenant,
    *,
    defined: list[list[str]],
    role: str,
    more: list[str],
    sites: list[str],
    disabled: bool,
) -> tuple[str, str]:
    """A user with roles: their id, and the token of a session."""
    await auth.person(tenant, role="admin")
    for name, granted in zip(OWN, defined, strict=True):
        await own_role(auth, tenant, name, *granted)
    person = await auth.person(tenant, role=role, sites=tuple(sites))
    token = (await auth.sign_in(person)).access_token
    status = users_pb2.USER_STATUS_DISABLED if disabled else users_pb2.USER_STATUS_ACTIVE
    await change(auth, tenant, person.id, additional_roles=more, status=status)
    return person.id, token


async def change(auth: Auth, tenant: Tenant, user_id: str, **fields: Any) -> None:
    request = users_pb2.UpdateUserRequest(id=user_id, user=users_pb2.User(**fields))
    request.update_mask.paths.extend(fields)
    await auth.stub(admin(tenant)).UpdateUser(request)


class TestAgreesWithTheExchange:
    @BUDGET
    @given(who=people, asked=questions)
    async def test_about_users(self, auth: Auth, who: dict[str, Any], asked: list[tuple[str, str]]) -> None:
        tenant = Tenant()
        user_id, credential = await put_user(auth, tenant, **who)

        for permission, site in asked:
            told = await explained(auth, admin(tenant), permission, site, user_id=user_id)
            event(told.rule)
            assert told.allowed == await decided(auth, credential, tenant, permission, site), told

    @BUDGET
    @given(who=people, wanted=devices, asked=questions)
    async def test_about_tokens(
        self,
        auth: Auth,
        databases: Databases,
        who: dict[str, Any],
        wanted: dict[str, Any],
        asked: list[tuple[str, str]],
    ) -> None:
        tenant = Tenant()
        user_id, _ = await put_user(auth, tenant, **who)
        token_id, credential = await put_token(databases, tenant, user_id, wanted)

        for permission, site in asked:
            told = await explained(auth, admin(tenant), permission, site, token_id=token_id)
            event(told.rule)
            assert told.allowed == await decided(auth, credential, tenant, permission, site), told


class TestExplainAccess:
    async def test_each_role_has_its_part(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.*")
        person = await auth.person(tenant, role="auditor")
        await change(auth, tenant, person.id, additional_roles=["barista", "staff"])

        told = await explained(auth, admin(tenant), "orders.create", user_id=person.id)

        assert (told.allowed, told.rule, told.missing_permission) == (True, "granted", "")
        parts = {grant.role: grant.granted_by for grant in told.grants}
        assert parts == {"auditor": "", "barista": "orders.*", "staff": "orders.create"}

    async def test_what_is_missing_is_named(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        told = await explained(auth, admin(tenant), "auth.users.write", user_id=person.id)

        assert (told.allowed, told.rule, told.missing_permission) == (False, "no_role_grants_it", "auth.users.write")

    async def test_another_site(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, sites=(HERE,))

        told = await explained(auth, admin(tenant), "orders.read", THERE, user_id=person.id)

        assert (told.allowed, told.rule, list(told.site_ids)) == (False, "other_site", [HERE])

    async def test_the_platforms_is_nobodys(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, role="admin")

        told = await explained(auth, admin(tenant), "platform.tenants.write", user_id=person.id)

        assert (told.allowed, told.rule) == (False, "platform_only")

    async def test_a_tokens_scopes_have_their_part(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        wanted = {"kind": "personal", "site": None, "scopes": ["orders.*"], "expired": False}
        token_id, _ = await put_token(databases, tenant, (await auth.person(tenant)).id, wanted)

        told = await explained(auth, admin(tenant), "inventory.items.read", token_id=token_id)

        assert (told.allowed, told.rule, told.missing_permission) == (False, "outside_scope", "inventory.items.read")
        assert {grant.role: grant.granted_by for grant in told.grants} == {"staff": "inventory.items.read", "scope": ""}

    async def test_an_expired_token(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        wanted = {"kind": "catalog", "site": HERE, "scopes": [], "expired": True}
        token_id, _ = await put_token(databases, tenant, "", wanted)

        told = await explained(auth, admin(tenant), "orders.create", token_id=token_id)

        assert (told.allowed, told.rule) == (False, "token_expired")

    async def test_a_suspended_tenant(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)
        async with superuser(databases) as connection:
            statement = "INSERT INTO tenant_standing (tenant_id, status) VALUES ($1, 'suspended')"
            await connection.execute(statement, tenant.id)

        told = await explained(auth, admin(tenant), "orders.create", user_id=person.id)

        assert (told.allowed, told.rule) == (False, "tenant_suspended")

    async def test_who_had_an_account_elsewhere_is_not_told(self, auth: Auth, tenant: Tenant) -> None:
        elsewhere = await auth.person(Tenant())
        answers = []
        for email in (elsewhere.email, f"{uuid7()}@north.example"):
            user = users_pb2.User(email=email, name="Mira", role="staff", password="tall ships in the harbour")
            created = await auth.stub(admin(tenant)).CreateUser(users_pb2.CreateUserRequest(user=user))
            answers.append(await explained(auth, admin(tenant), "orders.create", user_id=created.id))

        assert answers[0] == answers[1]

    async def test_others_are_not_found(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant, sites=(HERE,))
        wanted = {"kind": "store", "site": HERE, "scopes": [], "expired": False}
        token_id, _ = await put_token(databases, tenant, person.id, wanted)

        for who in ({"user_id": person.id}, {"token_id": token_id}):
            for by in (admin(Tenant()), admin(tenant, sites=(THERE,))):
                with pytest.raises(errors.NotFound):
                    await explained(auth, by, "orders.read", **who)
