"""The edge: who may call what, and the answers that need no heart."""

import pytest
from switchyard.auth.v1 import access_pb2, auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.support import OPERATOR_EMAIL, Auth, Person, admin, superuser


class TestPolicy:
    async def test_without_a_pass_nothing_is_shown(self, auth: Auth) -> None:
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().ListUsers(users_pb2.ListUsersRequest())

    async def test_staff_may_not_list_users(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Denied):
            await auth.stub(tenant.user(permissions=roles.permissions("staff"))).ListUsers(users_pb2.ListUsersRequest())

    async def test_a_kiosk_may_not_create_tokens(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Denied):
            await auth.stub(tenant.kiosk(str(uuid7()))).ListTokens(access_pb2.ListTokensRequest())

    async def test_an_operator_names_the_tenant_whose_users_they_list(self, auth: Auth, tenant: Tenant) -> None:
        await auth.person(tenant)
        token = (await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token

        listed = await auth.stub(await auth.exchange(token, tenant)).ListUsers(users_pb2.ListUsersRequest())

        assert len(listed.users) == 1
        with pytest.raises(errors.Denied):
            await auth.stub(await auth.exchange(token)).ListUsers(users_pb2.ListUsersRequest())


class TestGetMe:
    async def test_a_member_sees_themselves(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        principal = await auth.exchange((await auth.sign_in(person)).access_token)

        me = await auth.stub(principal).GetMe(auth_pb2.GetMeRequest())

        assert (me.user.id, me.user.email, me.tenant_id, list(me.roles)) == (
            person.id,
            person.email,
            str(tenant.id),
            ["staff"],
        )

    async def test_an_operator_is_answered_without_a_tenant(self, auth: Auth) -> None:
        principal = await auth.exchange((await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token)

        me = await auth.stub(principal).GetMe(auth_pb2.GetMeRequest())

        assert (me.user.email, me.tenant_id) == (OPERATOR_EMAIL, "")

    async def test_a_program_is_told_what_its_person_lets_it_know(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)
        principal = await auth.exchange((await auth.sign_in(person)).access_token)
        told = []
        for scopes in (["openid"], ["openid", "profile"], ["email", "*"]):
            async with superuser(databases) as connection:
                statement = "UPDATE sessions SET client_id = $2, tenant_id = $3, scopes = $4 WHERE id = $1"
                await connection.execute(statement, principal.session_id, uuid7(), tenant.id, scopes)
            user = (await auth.stub(principal).GetMe(auth_pb2.GetMeRequest())).user
            told.append((bool(user.name), user.email))

        assert told == [(False, ""), (True, ""), (False, person.email)]

    async def test_a_kiosk_has_no_account(self, auth: Auth, tenant: Tenant) -> None:
        me = await auth.stub(tenant.kiosk(str(uuid7()))).GetMe(auth_pb2.GetMeRequest())

        assert me.kind == "kiosk"
        assert not me.HasField("user")


class TestListRoles:
    async def test_the_built_in_ones_are_listed(self, auth: Auth, tenant: Tenant) -> None:
        answer = await auth.stub(admin(tenant)).ListRoles(access_pb2.ListRolesRequest())

        assert {role.name for role in answer.roles} == {"admin", "manager", "staff", "kiosk", "pos", "auditor"}
        assert all(role.built_in and role.permissions for role in answer.roles)


class TestGetJwks:
    async def test_only_public_parts_are_shown(self, auth: Auth) -> None:
        document = await auth.keys()

        assert document["keys"]
        for key in document["keys"]:
            public = {"crv", "x"} if key["kty"] == "OKP" else {"n", "e"}
            assert set(key) == {"kty", "kid", "alg", "use"} | public
