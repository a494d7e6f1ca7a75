"""What a member may change of themselves, further roles, sites, seats, and what a tenant may not learn."""

import asyncio
import time
from statistics import median
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from switchyard.auth.v1 import users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.support import NOWHERE, PASSWORD, Auth, Person, admin, outbox, own_role, superuser

DISABLED, ACTIVE = users_pb2.USER_STATUS_DISABLED, users_pb2.USER_STATUS_ACTIVE


def new_user(**more: Any) -> users_pb2.CreateUserRequest:
    fields = {"email": f"{uuid7()}@north.example", "name": "Mira", "role": "staff", "password": PASSWORD, **more}
    return users_pb2.CreateUserRequest(user=users_pb2.User(**fields))


def change(user_id: str, **fields: Any) -> users_pb2.UpdateUserRequest:
    return users_pb2.UpdateUserRequest(
        id=user_id, user=users_pb2.User(**fields), update_mask=FieldMask(paths=list(fields))
    )


async def signed_in(auth: Auth, tenant: Tenant, person: Person) -> Principal:
    return await auth.exchange((await auth.sign_in(person)).access_token, tenant)


async def limit(databases: Databases, tenant: Tenant, users_max: int | None) -> None:
    """Tell auth how many users the tenant may have."""
    async with superuser(databases) as connection:
        await connection.execute(
            "INSERT INTO tenant_standing (tenant_id, users_max) VALUES ($1, $2)"
            " ON CONFLICT (tenant_id) DO UPDATE SET users_max = excluded.users_max",
            tenant.id,
            users_max,
        )


class TestUpdateMe:
    async def test_the_name_changes_here_and_nowhere_else(self, auth: Auth, tenant: Tenant) -> None:
        person, other = await auth.person(tenant), Tenant()
        await auth.stub(admin(other)).CreateUser(new_user(email=person.email, name="As they know her"))

        request = users_pb2.UpdateMeRequest(user=users_pb2.User(name="Mira L."), update_mask=FieldMask(paths=["name"]))
        answer = await auth.stub(await signed_in(auth, tenant, person)).UpdateMe(request)

        assert (answer.name, answer.version) == ("Mira L.", 2)
        elsewhere = await auth.stub(admin(other)).GetUser(users_pb2.GetUserRequest(id=person.id))
        assert elsewhere.name == "As they know her"

    @pytest.mark.parametrize(
        "more",
        [
            {"role": "admin"},
            {"additional_roles": ["admin"]},
            {"status": ACTIVE},
            {"site_ids": []},
            {"email": "other@north.example"},
            {"password": PASSWORD},
            {"id": "x"},
            {"version": 7},
        ],
    )
    async def test_nothing_else_does(self, auth: Auth, tenant: Tenant, more: dict[str, Any]) -> None:
        person = await auth.person(tenant)
        fields = {"name": "Mira L.", **more}
        request = users_pb2.UpdateMeRequest(user=users_pb2.User(**fields), update_mask=FieldMask(paths=list(fields)))

        with pytest.raises(errors.Invalid) as refusal:
            await auth.stub(await signed_in(auth, tenant, person)).UpdateMe(request)

        assert set(refusal.value.fields) == {f"user.{name}" for name in more}
        user = await auth.stub(admin(tenant)).GetUser(users_pb2.GetUserRequest(id=person.id))
        assert (user.name, user.role, user.version) == ("Mira Lindqvist", "staff", 1)

    async def test_what_the_mask_does_not_name_is_ignored(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        user = users_pb2.User(name="Mira L.", role="admin", additional_roles=["admin"])
        request = users_pb2.UpdateMeRequest(user=user, update_mask=FieldMask(paths=["name"]))

        answer = await auth.stub(await signed_in(auth, tenant, person)).UpdateMe(request)

        assert (answer.role, list(answer.additional_roles)) == ("staff", [])


class TestFurtherRoles:
    async def test_a_member_may_do_what_any_of_them_allows(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        await own_role(auth, tenant, "locksmith", "locks.*")
        person = await auth.person(tenant)
        token = (await auth.sign_in(person)).access_token

        await auth.stub(admin(tenant)).UpdateUser(change(person.id, additional_roles=["locksmith", "auditor"]))

        principal = await auth.exchange(token, tenant)
        assert set(principal.roles) == {"staff", "locksmith", "auditor"}
        held = roles.permissions("staff") | roles.permissions("auditor") | {"locks.*"}
        assert principal.permissions == held
        assert len(await outbox(databases, tenant.id, "RoleChanged")) == 1

    async def test_the_last_admin_by_a_further_role_stays(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await auth.stub(admin(tenant)).UpdateUser(change(person.id, additional_roles=["admin"]))

        with pytest.raises(errors.Conflict) as refusal:
            await auth.stub(admin(tenant)).UpdateUser(change(person.id, additional_roles=[]))

        assert refusal.value.code == "LAST_ADMIN"
        await auth.stub(admin(tenant)).UpdateUser(change(person.id, role="admin", additional_roles=[]))

    async def test_somebody_with_more_power_by_one_cannot_be_touched(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await auth.stub(admin(tenant)).UpdateUser(change(person.id, additional_roles=["admin"]))
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})

        for answer in (
            auth.stub(manager).UpdateUser(change(person.id, name="Fool")),
            auth.stub(manager).DeleteUser(users_pb2.DeleteUserRequest(id=person.id)),
        ):
            with pytest.raises(errors.Denied):
                await answer


class TestSites:
    async def test_a_site_that_tenants_does_not_know_is_invalid(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.Invalid) as refusal:
            await auth.stub(admin(tenant)).UpdateUser(change(person.id, site_ids=[NOWHERE]))

        assert set(refusal.value.fields) == {"user.site_ids.0"}

    async def test_one_that_has_been_closed_since_may_stay(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person, open_one = await auth.person(tenant, sites=(str(uuid7()),)), str(uuid7())
        async with superuser(databases) as connection:
            statement = "UPDATE memberships SET site_ids = ARRAY[$2::uuid] WHERE tenant_id = $1"
            await connection.execute(statement, tenant.id, NOWHERE)

        answer = await auth.stub(admin(tenant)).UpdateUser(change(person.id, site_ids=[NOWHERE, open_one]))

        assert list(answer.site_ids) == [NOWHERE, open_one]


class TestListSiteUsers:
    async def listed(self, auth: Auth, by: Principal, site: str) -> list[users_pb2.SiteUser]:
        answer = await auth.stub(by).ListSiteUsers(users_pb2.ListSiteUsersRequest(site_id=site))
        return list(answer.users)

    async def test_the_active_ones_who_act_there_are_listed(self, auth: Auth, tenant: Tenant) -> None:
        site = str(uuid7())
        here, everywhere = await auth.person(tenant, sites=(site,)), await auth.person(tenant)
        await auth.person(tenant, sites=(str(uuid7()),))
        gone = await auth.person(tenant, sites=(site,))
        await auth.stub(admin(tenant)).UpdateUser(change(gone.id, status=DISABLED))

        found = await self.listed(auth, tenant.user(permissions={"tenants.sites.read"}), site)

        assert {user.id for user in found} == {here.id, everywhere.id}
        assert {(user.name, user.role) for user in found} == {("Mira Lindqvist", "staff")}

    async def test_a_site_that_is_not_there_or_not_the_callers_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        for by, site in ((admin(tenant), NOWHERE), (admin(tenant, sites=(str(uuid7()),)), str(uuid7()))):
            with pytest.raises(errors.NotFound):
                await self.listed(auth, by, site)


class TestSeats:
    async def test_one_more_than_there_may_be_is_refused(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        await limit(databases, tenant, 2)
        people = [await auth.person(tenant) for _ in range(2)]
        stub = auth.stub(admin(tenant))

        wanted = users_pb2.Invitation(email="new@north.example", role="staff")
        for answer in (
            stub.CreateUser(new_user()),
            stub.CreateInvitation(users_pb2.CreateInvitationRequest(invitation=wanted)),
        ):
            with pytest.raises(errors.Conflict) as refusal:
                await answer
            assert refusal.value.code == "LIMIT_EXCEEDED"

        await stub.UpdateUser(change(people[0].id, status=DISABLED))
        await stub.CreateUser(new_user())
        with pytest.raises(errors.Conflict):
            await stub.UpdateUser(change(people[0].id, status=ACTIVE))

    async def test_twenty_at_once_take_the_five_that_are_left(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        await limit(databases, tenant, 5)

        answers = await asyncio.gather(
            *(auth.stub(admin(tenant)).CreateUser(new_user()) for _ in range(20)), return_exceptions=True
        )

        assert sum(isinstance(answer, users_pb2.User) for answer in answers) == 5
        assert {answer.code for answer in answers if isinstance(answer, errors.Error)} == {"LIMIT_EXCEEDED"}

    async def test_created_invited_and_enabled_at_once_take_what_is_left(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        by = await signed_in(auth, tenant, await auth.person(tenant, role="admin"))
        idle = [await auth.person(tenant) for _ in range(6)]
        for person in idle:
            await auth.stub(by).UpdateUser(change(person.id, status=DISABLED))
        tokens = []
        for _ in range(6):
            wanted = users_pb2.Invitation(email=f"{uuid7()}@north.example", role="staff")
            sent = await auth.stub(by).CreateInvitation(users_pb2.CreateInvitationRequest(invitation=wanted))
            tokens.append(await auth.letter(sent.email))
        await limit(databases, tenant, 5)

        answers = await asyncio.gather(
            *(auth.stub(by).CreateUser(new_user()) for _ in range(6)),
            *(auth.stub(by).UpdateUser(change(person.id, status=ACTIVE)) for person in idle),
            *(auth.accept(token) for token in tokens),
            return_exceptions=True,
        )

        assert sum(not isinstance(answer, BaseException) for answer in answers) == 4
        assert {answer.code for answer in answers if isinstance(answer, errors.Error)} == {"LIMIT_EXCEEDED"}

    async def test_without_a_limit_there_is_none(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        await limit(databases, tenant, None)

        for _ in range(3):
            await auth.person(tenant)


class TestWhoHasAnAccountElsewhere:
    async def created(self, auth: Auth, tenant: Tenant, email: str) -> tuple[users_pb2.User, float]:
        began = time.perf_counter()
        user = await auth.stub(admin(tenant)).CreateUser(new_user(email=email))
        return user, time.perf_counter() - began

    async def test_neither_answers_nor_lists_tell(self, auth: Auth, tenant: Tenant) -> None:
        known = await auth.person(Tenant())
        await auth.sign_in(known)
        users = [(await self.created(auth, tenant, email))[0] for email in (known.email, f"{uuid7()}@north.example")]

        listed = (await auth.stub(admin(tenant)).ListUsers(users_pb2.ListUsersRequest(order_by="created_at"))).users
        for user in (*users, *listed):
            for field in ("id", "email", "created_at", "updated_at"):
                user.ClearField(field)
        assert users[0] == users[1] == listed[0] == listed[1]

    async def test_the_time_it_takes_does_not(self, auth: Auth, tenant: Tenant) -> None:
        took: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(40):
            person = await auth.person(Tenant())
            for known, email in ((True, person.email), (False, f"{uuid7()}@north.example")):
                took[known].append((await self.created(auth, tenant, email))[1])

        # The two are the same statements; within a quarter is within the noise of two busy cores.
        assert 0.75 < median(took[True]) / median(took[False]) < 1.33
