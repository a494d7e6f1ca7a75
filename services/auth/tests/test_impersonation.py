"""Acting in somebody's name: never more than oneself may, never for long, never without a trace."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from switchyard.auth.v1 import auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth.tests.support import OPERATOR_EMAIL, Auth, Person, admin, outbox, own_role, superuser

REASON = "ticket 4711: their list is empty"


async def impersonate(auth: Auth, principal: Principal, user_id: str) -> Any:
    request = users_pb2.ImpersonateRequest(id=user_id, reason=REASON)
    return await auth.stub(principal).Impersonate(request)


async def boss(auth: Auth, tenant: Tenant, *, role: str = "admin", sites: tuple[str, ...] = ()) -> Principal:
    """Somebody who has signed in, with the permissions of an admin."""
    person = await auth.person(tenant, role=role, sites=sites)
    return await auth.exchange((await auth.sign_in(person)).access_token, tenant)


async def change(auth: Auth, tenant: Tenant, user_id: str, **fields: Any) -> None:
    request = users_pb2.UpdateUserRequest(
        id=user_id, user=users_pb2.User(**fields), update_mask={"paths": list(fields)}
    )
    await auth.stub(admin(tenant)).UpdateUser(request)


class TestImpersonate:
    async def test_the_pass_has_both_names(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant), await boss(auth, tenant)

        made = await impersonate(auth, actor, person.id)

        principal = await auth.exchange(made.access_token)
        assert (principal.name, principal.actor) == (f"user:{person.id}", actor.name)
        assert (principal.roles, principal.tenant_id) == (("staff",), tenant.id)

    async def test_the_reason_stands_in_the_trail(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, actor = await auth.person(tenant), await boss(auth, tenant)

        await impersonate(auth, actor, person.id)

        entry = next(one for one in await outbox(databases, tenant.id, "aud") if one["action"] == "auth.Impersonate")
        assert entry["actor"] == actor.name
        assert entry["changes"][f"users/{person.id}"]["after"]["reason"] == REASON

    async def test_it_ends_by_itself(self, auth: Auth, tenant: Tenant) -> None:
        made = await impersonate(auth, await boss(auth, tenant), (await auth.person(tenant)).id)

        with clock.shifted(timedelta(minutes=16)), pytest.raises(errors.Unauthenticated) as refusal:
            await auth.exchange(made.access_token)

        assert refusal.value.code == "TOKEN_EXPIRED"

    async def test_the_person_sees_it_and_ends_it(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant), await boss(auth, tenant)
        made = await impersonate(auth, actor, person.id)
        own = auth.stub(await auth.exchange((await auth.sign_in(person)).access_token))

        listed = (await own.ListSessions(auth_pb2.ListSessionsRequest())).sessions
        await own.DeleteSession(auth_pb2.DeleteSessionRequest(id=made.session_id))

        assert {one.id: one.actor for one in listed}[made.session_id] == actor.name
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(made.access_token)

    async def test_another_tenant_is_out_of_reach(self, auth: Auth, tenant: Tenant) -> None:
        other_tenant = Tenant(uuid7())
        made = await impersonate(auth, await boss(auth, tenant), (await auth.person(tenant)).id)

        with pytest.raises(errors.Denied):
            await auth.exchange(made.access_token, other_tenant)

    async def test_nobody_acts_for_somebody_who_may_do_more(self, auth: Auth, tenant: Tenant) -> None:
        chief = await auth.person(tenant, role="admin")
        clerk = replace(await boss(auth, tenant), permissions=frozenset({"auth.users.impersonate", "orders.read"}))

        with pytest.raises(errors.Denied):
            await impersonate(auth, clerk, chief.id)

    async def test_nobody_acts_for_somebody_of_more_sites(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.Denied):
            await impersonate(auth, await boss(auth, tenant, sites=(str(uuid7()),)), person.id)

    async def test_nobody_acts_for_an_operator_or_oneself(self, auth: Auth, tenant: Tenant) -> None:
        operator = await auth.exchange((await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token, tenant)
        person = await auth.person(tenant, role="admin")
        own = await auth.exchange((await auth.sign_in(person)).access_token)

        for principal, user_id in ((await boss(auth, tenant), operator.id), (own, person.id)):
            with pytest.raises((errors.Denied, errors.NotFound)):
                await impersonate(auth, principal, user_id)

    async def test_another_tenants_user_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        other_tenant = Tenant(uuid7())
        stranger = await auth.person(other_tenant)

        with pytest.raises(errors.NotFound):
            await impersonate(auth, await boss(auth, tenant), stranger.id)

    async def test_who_cannot_act_cannot_be_acted_for(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await change(auth, tenant, person.id, status=users_pb2.USER_STATUS_DISABLED)

        with pytest.raises(errors.Conflict):
            await impersonate(auth, await boss(auth, tenant), person.id)


class TestTheActor:
    """What becomes of an impersonation when its actor changes."""

    async def test_who_signs_out_ends_it(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, actor = await auth.person(tenant), await boss(auth, tenant)
        made = await impersonate(auth, actor, person.id)

        await auth.stub(actor).Logout(auth_pb2.LogoutRequest())

        told = [one["data"] for one in await outbox(databases, tenant.id, "SessionRevoked")]
        assert {one["session_id"]: one["user_id"] for one in told} == {
            actor.session_id: actor.id,
            made.session_id: person.id,
        }
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(made.access_token)

    async def test_who_may_less_from_now_on_does_less(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant), await boss(auth, tenant)
        made = await impersonate(auth, actor, person.id)
        await own_role(auth, tenant, "reader", "orders.read", "auth.users.impersonate")
        await auth.person(tenant, role="admin")

        await change(auth, tenant, actor.id, role="reader")

        assert (await auth.exchange(made.access_token)).permissions == {"orders.read"}

    async def test_who_acts_in_some_sites_from_now_on_acts_there(self, auth: Auth, tenant: Tenant) -> None:
        site, other = str(uuid7()), str(uuid7())
        person, actor = await auth.person(tenant, sites=(site, other)), await boss(auth, tenant)
        made = await impersonate(auth, actor, person.id)

        await change(auth, tenant, actor.id, site_ids=[site])

        assert (await auth.exchange(made.access_token)).sites == {site}

    async def test_who_acts_elsewhere_from_now_on_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant, sites=(str(uuid7()),)), await boss(auth, tenant)
        made = await impersonate(auth, actor, person.id)

        await change(auth, tenant, actor.id, site_ids=[str(uuid7())])

        with pytest.raises(errors.Denied):
            await auth.exchange(made.access_token)

    async def test_who_is_removed_does_nothing_more(self, auth: Auth, tenant: Tenant) -> None:
        person, actor = await auth.person(tenant), await boss(auth, tenant)
        made = await impersonate(auth, actor, person.id)
        await auth.person(tenant, role="admin")

        await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=actor.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(made.access_token)

    async def test_an_operator_acts_from_inside_the_tenant(self, auth: Auth, tenant: Tenant) -> None:
        operator = await auth.exchange((await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token, tenant)
        made = await impersonate(auth, operator, (await auth.person(tenant)).id)

        principal = await auth.exchange(made.access_token)

        assert (principal.actor, principal.tenant_id, principal.roles) == (operator.name, tenant.id, ("staff",))

    async def test_nothing_prolongs_it(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        made = await impersonate(auth, await boss(auth, tenant), (await auth.person(tenant)).id)
        principal = await auth.exchange(made.access_token)
        async with superuser(databases) as connection:
            ends = clock.now() + timedelta(minutes=5)
            await connection.execute("UPDATE sessions SET expires_at = $2 WHERE id = $1", made.session_id, ends)

        left = await auth.stub(principal).Heartbeat(auth_pb2.HeartbeatRequest())

        assert left.expires_in <= 5 * 60

    async def test_what_is_the_persons_own_stays_theirs(self, auth: Auth, tenant: Tenant) -> None:
        made = await impersonate(auth, await boss(auth, tenant), (await auth.person(tenant)).id)
        stub = auth.stub(await auth.exchange(made.access_token))

        for method, request in (
            (stub.ListSessions, auth_pb2.ListSessionsRequest()),
            (stub.DeleteSession, auth_pb2.DeleteSessionRequest(id=made.session_id)),
            (stub.DeleteOtherSessions, auth_pb2.DeleteOtherSessionsRequest()),
            (stub.StepUp, auth_pb2.StepUpRequest(password="a guess of theirs")),
        ):
            with pytest.raises(errors.Denied):
                await method(request)
