"""Acting in somebody's name: never more than oneself may, never for long, never without a trace."""

from datetime import timedelta
from typing import Any

import pytest
from switchyard.auth.v1 import auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth.tests.support import OPERATOR_EMAIL, Auth, Person, admin, outbox

REASON = "ticket 4711: their list is empty"


async def impersonate(auth: Auth, principal: Principal, user_id: str) -> Any:
    request = users_pb2.ImpersonateRequest(id=user_id, reason=REASON)
    return await auth.stub(principal).Impersonate(request)


class TestImpersonate:
    async def test_the_pass_has_both_names(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant), admin(tenant)

        made = await impersonate(auth, actor, person.id)

        principal = await auth.exchange(made.access_token)
        assert (principal.name, principal.actor) == (f"user:{person.id}", actor.name)
        assert (principal.roles, principal.tenant_id) == (("staff",), tenant.id)

    async def test_the_reason_stands_in_the_trail(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, actor = await auth.person(tenant), admin(tenant)

        await impersonate(auth, actor, person.id)

        entry = next(one for one in await outbox(databases, tenant.id, "aud") if one["action"] == "auth.Impersonate")
        assert entry["actor"] == actor.name
        assert entry["changes"][f"users/{person.id}"]["after"]["reason"] == REASON

    async def test_it_ends_by_itself(self, auth: Auth, tenant: Tenant) -> None:
        made = await impersonate(auth, admin(tenant), (await auth.person(tenant)).id)

        with clock.shifted(timedelta(minutes=16)), pytest.raises(errors.Unauthenticated) as refusal:
            await auth.exchange(made.access_token)

        assert refusal.value.code == "TOKEN_EXPIRED"

    async def test_the_person_sees_it_and_ends_it(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant), admin(tenant)
        made = await impersonate(auth, actor, person.id)
        own = auth.stub(await auth.exchange((await auth.sign_in(person)).access_token))

        listed = (await own.ListSessions(auth_pb2.ListSessionsRequest())).sessions
        await own.DeleteSession(auth_pb2.DeleteSessionRequest(id=made.session_id))

        assert {one.id: one.actor for one in listed}[made.session_id] == actor.name
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(made.access_token)

    async def test_another_tenant_is_out_of_reach(self, auth: Auth, tenant: Tenant) -> None:
        other_tenant = Tenant(uuid7())
        made = await impersonate(auth, admin(tenant), (await auth.person(tenant)).id)

        with pytest.raises(errors.Denied):
            await auth.exchange(made.access_token, other_tenant)

    async def test_nobody_acts_for_somebody_who_may_do_more(self, auth: Auth, tenant: Tenant) -> None:
        boss = await auth.person(tenant, role="admin")
        clerk = tenant.user(permissions=["auth.users.impersonate", "orders.read"])

        with pytest.raises(errors.Denied):
            await impersonate(auth, clerk, boss.id)

    async def test_nobody_acts_for_somebody_of_more_sites(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.Denied):
            await impersonate(auth, admin(tenant, sites=(str(uuid7()),)), person.id)

    async def test_nobody_acts_for_an_operator_or_oneself(self, auth: Auth, tenant: Tenant) -> None:
        operator = await auth.exchange((await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token, tenant)
        person = await auth.person(tenant, role="admin")
        own = await auth.exchange((await auth.sign_in(person)).access_token)

        for principal, user_id in ((admin(tenant), operator.id), (own, person.id)):
            with pytest.raises((errors.Denied, errors.NotFound)):
                await impersonate(auth, principal, user_id)

    async def test_another_tenants_user_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        other_tenant = Tenant(uuid7())
        stranger = await auth.person(other_tenant)

        with pytest.raises(errors.NotFound):
            await impersonate(auth, admin(tenant), stranger.id)

    async def test_who_cannot_act_cannot_be_acted_for(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        disabled = users_pb2.User(status=users_pb2.USER_STATUS_DISABLED)
        request = users_pb2.UpdateUserRequest(id=person.id, user=disabled, update_mask={"paths": ["status"]})
        await auth.stub(admin(tenant)).UpdateUser(request)

        with pytest.raises(errors.Conflict):
            await impersonate(auth, admin(tenant), person.id)
