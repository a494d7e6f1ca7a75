"""The users of a tenant, through a real server, and attacks on what must hold."""

import asyncio
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from switchyard.auth.v1 import auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.support import NOWHERE, PASSWORD, Auth, admin, outbox, own_role


def new_user(**more: Any) -> users_pb2.CreateUserRequest:
    fields = {"email": f"{uuid7()}@north.example", "name": "Mira", "role": "staff", "password": PASSWORD, **more}
    return users_pb2.CreateUserRequest(user=users_pb2.User(**fields))


def change(user_id: str, **fields: Any) -> users_pb2.UpdateUserRequest:
    mask = FieldMask(paths=list(fields))
    return users_pb2.UpdateUserRequest(id=user_id, user=users_pb2.User(**fields), update_mask=mask)


def by_id(user_id: str) -> users_pb2.GetUserRequest:
    return users_pb2.GetUserRequest(id=user_id)


class TestCreateUser:
    async def test_the_answer_has_no_password(self, auth: Auth, tenant: Tenant) -> None:
        created = await auth.stub(admin(tenant)).CreateUser(new_user(email="Mira@North.example"))

        assert (created.email, created.version, created.status) == (
            "mira@north.example",
            1,
            users_pb2.USER_STATUS_ACTIVE,
        )
        assert not created.HasField("password")

    async def test_it_is_published(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        created = await auth.stub(admin(tenant)).CreateUser(new_user())

        (event,) = await outbox(databases, tenant.id, "UserCreated")
        assert event["data"]["user"]["id"] == created.id
        assert "password" not in event["data"]["user"]

    async def test_an_address_twice_already_exists(self, auth: Auth, tenant: Tenant) -> None:
        request = new_user()
        await auth.stub(admin(tenant)).CreateUser(request)

        with pytest.raises(errors.AlreadyExists):
            await auth.stub(admin(tenant)).CreateUser(request)

    async def test_one_address_at_once_gives_one_user(self, auth: Auth, tenant: Tenant) -> None:
        request = new_user()

        answers = await asyncio.gather(
            *(auth.stub(admin(tenant)).CreateUser(request) for _ in range(10)), return_exceptions=True
        )

        assert sum(isinstance(answer, users_pb2.User) for answer in answers) == 1
        assert sum(isinstance(answer, errors.AlreadyExists) for answer in answers) == 9

    async def test_one_address_in_many_tenants_at_once_is_one_account(self, auth: Auth) -> None:
        request = new_user()

        users = await asyncio.gather(*(auth.stub(admin(Tenant())).CreateUser(request) for _ in range(10)))

        assert len({user.id for user in users}) == 1

    async def test_a_person_known_elsewhere_looks_new(self, auth: Auth, tenant: Tenant) -> None:
        known = await auth.stub(admin(Tenant())).CreateUser(new_user(name="Their own name for her"))

        created = await auth.stub(admin(tenant)).CreateUser(new_user(email=known.email, name="Ours"))

        assert (created.name, created.version, created.created_at) != (known.name, 1, known.created_at)
        assert created.name == "Ours"

    async def test_a_person_known_elsewhere_is_asked_first(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(Tenant())
        await auth.stub(admin(tenant)).CreateUser(new_user(email=person.email))
        token = (await auth.sign_in(person)).access_token

        with pytest.raises(errors.Denied):
            await auth.exchange(token, tenant)
        await auth.accept(await auth.letter(person.email))

        again = (await auth.sign_in(person)).access_token
        assert (await auth.exchange(again, tenant)).roles == ("staff",)

    async def test_an_own_role_and_further_ones_are_given(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        created = await auth.stub(admin(tenant)).CreateUser(new_user(role="barista", additional_roles=["auditor"]))

        assert (created.role, list(created.additional_roles)) == ("barista", ["auditor"])

    async def test_a_further_role_that_is_unknown_is_invalid(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Invalid) as refusal:
            await auth.stub(admin(tenant)).CreateUser(new_user(additional_roles=["emperor"]))

        assert set(refusal.value.fields) == {"user.additional_roles"}

    async def test_nobody_gives_further_what_they_lack(self, auth: Auth, tenant: Tenant) -> None:
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})
        await own_role(auth, tenant, "paymaster", "auth.tokens.write")

        for further in ("admin", "paymaster"):
            with pytest.raises(errors.Denied) as refusal:
                await auth.stub(manager).CreateUser(new_user(additional_roles=[further]))
            assert set(refusal.value.fields) == {"user.additional_roles"}

    async def test_a_site_that_tenants_does_not_know_is_invalid(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Invalid) as refusal:
            await auth.stub(admin(tenant)).CreateUser(new_user(site_ids=[str(uuid7()), NOWHERE]))

        assert set(refusal.value.fields) == {"user.site_ids.1"}

    async def test_their_password_stays(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(Tenant())
        await auth.accept(await auth.letter(person.email))

        await auth.stub(admin(tenant)).CreateUser(new_user(email=person.email, password="an intruder's choice"))
        await auth.accept(await auth.letter(person.email), password="another intruder's choice")

        assert len((await auth.sign_in(person)).tenants) == 2
        request = auth_pb2.LoginRequest(email=person.email, password="an intruder's choice")
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Login(request)

    @pytest.mark.parametrize(
        "password", ["", "short", "password1234", "Password!!!!", "123456789012", "aaaaaaaaaaaaaaa", "lindqvist is me"]
    )
    async def test_a_weak_password_is_invalid(self, auth: Auth, tenant: Tenant, password: str) -> None:
        with pytest.raises(errors.Invalid) as refusal:
            await auth.stub(admin(tenant)).CreateUser(new_user(name="Mira Lindqvist", password=password))

        assert set(refusal.value.fields) == {"user.password"}

    async def test_an_unknown_role_is_invalid(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Invalid):
            await auth.stub(admin(tenant)).CreateUser(new_user(role="emperor"))

    async def test_nobody_gives_what_they_lack(self, auth: Auth, tenant: Tenant) -> None:
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})

        with pytest.raises(errors.Denied):
            await auth.stub(manager).CreateUser(new_user(role="admin"))

    async def test_nobody_gives_sites_they_do_not_have(self, auth: Auth, tenant: Tenant) -> None:
        mine = str(uuid7())
        local = admin(tenant, sites=(mine,))

        for sites in ([], [str(uuid7())], [mine, str(uuid7())]):
            with pytest.raises(errors.Denied):
                await auth.stub(local).CreateUser(new_user(site_ids=sites))

    async def test_the_trail_shows_no_secret(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        created = await auth.stub(admin(tenant)).CreateUser(new_user())

        (entry,) = await outbox(databases, tenant.id, "aud")
        assert f"users/{created.id}" in entry["resources"]
        assert PASSWORD not in str(entry)
        assert "argon2" not in str(entry)


class TestGetUser:
    async def test_another_tenants_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        answers = []
        for user_id in (person.id, str(uuid7())):
            with pytest.raises(errors.NotFound) as refusal:
                await auth.stub(admin(Tenant())).GetUser(by_id(user_id))
            answers.append(str(refusal.value))

        assert answers[0] == answers[1]

    async def test_somebody_of_other_sites_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, sites=(str(uuid7()),))

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(tenant, sites=(str(uuid7()),))).GetUser(by_id(person.id))


class TestListUsers:
    async def listed(self, auth: Auth, by: Principal, **asked: Any) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            request = users_pb2.ListUsersRequest(cursor=cursor, **asked)
            answer = await auth.stub(by).ListUsers(request)
            found += [user.id for user in answer.users]
            cursor = answer.next_cursor
            if not cursor:
                return found

    async def test_pages_join_without_gap_or_repetition(self, auth: Auth, tenant: Tenant) -> None:
        people = {(await auth.person(tenant)).id for _ in range(7)}
        await auth.person(Tenant())

        for order in ("name", "-email", "created_at"):
            found = await self.listed(auth, admin(tenant), page_size=2, order_by=order)
            assert (len(found), set(found)) == (7, people)

    async def test_filters(self, auth: Auth, tenant: Tenant) -> None:
        site = str(uuid7())
        local = await auth.person(tenant, sites=(site,))
        manager = await auth.person(tenant, role="manager", sites=(str(uuid7()),))
        await auth.stub(admin(tenant)).UpdateUser(change(manager.id, additional_roles=["auditor"]))
        await auth.stub(admin(tenant)).UpdateUser(change(manager.id, status=users_pb2.USER_STATUS_DISABLED))

        by = admin(tenant)
        assert await self.listed(auth, by, role="manager") == [manager.id]
        assert await self.listed(auth, by, role="auditor") == [manager.id]
        assert await self.listed(auth, by, site_id=site) == [local.id]
        assert await self.listed(auth, by, status=users_pb2.USER_STATUS_DISABLED) == [manager.id]
        assert await self.listed(auth, by, q=local.email[:30].upper()) == [local.id]
        assert await self.listed(auth, by, q="%") == []

    async def test_another_tenants_cursor_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        for _ in range(2):
            await auth.person(tenant)
        page = await auth.stub(admin(tenant)).ListUsers(users_pb2.ListUsersRequest(page_size=1))
        request = users_pb2.ListUsersRequest(page_size=1, cursor=page.next_cursor)

        with pytest.raises(errors.Invalid):
            await auth.stub(admin(Tenant())).ListUsers(request)


class TestUpdateUser:
    async def test_a_new_role_counts_at_the_next_exchange(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)
        token = (await auth.sign_in(person)).access_token

        await auth.stub(admin(tenant)).UpdateUser(change(person.id, role="manager"))

        assert (await auth.exchange(token)).roles == ("manager",)
        (event,) = await outbox(databases, tenant.id, "RoleChanged")
        assert event["data"] == {"user_id": person.id, "role": "manager"}

    async def test_a_disabled_user_is_signed_out_and_stays_out(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)
        signed_in = await auth.sign_in(person)

        await auth.stub(admin(tenant)).UpdateUser(change(person.id, status=users_pb2.USER_STATUS_DISABLED))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(signed_in.access_token)
        with pytest.raises(errors.Unauthenticated):
            await auth.sign_in(person)
        (event,) = await outbox(databases, tenant.id, "SessionRevoked")
        assert event["data"]["reason"] == "user_disabled"

    async def test_disabled_in_one_tenant_goes_on_in_the_other(self, auth: Auth, tenant: Tenant) -> None:
        person, other = await auth.person(tenant), Tenant()
        await auth.stub(admin(other)).CreateUser(new_user(email=person.email))
        await auth.accept(await auth.letter(person.email))
        token = (await auth.sign_in(person)).access_token

        await auth.stub(admin(tenant)).UpdateUser(change(person.id, status=users_pb2.USER_STATUS_DISABLED))

        assert (await auth.exchange(token)).tenant_id == other.id
        with pytest.raises(errors.Denied):
            await auth.exchange(token, tenant)

    async def test_a_change_that_changes_nothing_tells_nothing(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)

        answer = await auth.stub(admin(tenant)).UpdateUser(change(person.id, role="staff"))

        assert answer.version == 1
        assert await outbox(databases, tenant.id, "UserUpdated") == []

    async def test_a_name_leaves_passes_alone(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)

        answer = await auth.stub(admin(tenant)).UpdateUser(change(person.id, name="Mira L."))

        assert (answer.name, answer.version) == ("Mira L.", 2)
        assert await outbox(databases, tenant.id, "RoleChanged") == []

    async def test_a_stale_version_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        stub = auth.stub(admin(tenant), switchyard_expected_version="7")

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateUser(change(person.id, name="Mira L."))

    @pytest.mark.parametrize("field", [{"email": "other@north.example"}, {"password": PASSWORD}, {"id": "x"}])
    async def test_what_cannot_change_is_invalid(self, auth: Auth, tenant: Tenant, field: dict[str, str]) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.Invalid):
            await auth.stub(admin(tenant)).UpdateUser(change(person.id, **field))

    async def test_another_tenants_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(Tenant())).UpdateUser(change(person.id, name="Ours"))

    async def test_somebody_with_more_power_cannot_be_touched(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, role="admin")
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})

        for request in (change(person.id, role="staff"), change(person.id, name="Fool")):
            with pytest.raises(errors.Denied):
                await auth.stub(manager).UpdateUser(request)


class TestDeleteUser:
    async def test_the_user_is_gone_and_signed_out(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        signed_in = await auth.sign_in(person)

        await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=person.id))

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(tenant)).GetUser(by_id(person.id))
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(signed_in.access_token)
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(auth_pb2.RefreshRequest(refresh_token=signed_in.refresh_token))

    async def test_another_tenants_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(Tenant())).DeleteUser(users_pb2.DeleteUserRequest(id=person.id))

    async def test_nobody_deletes_themselves(self, auth: Auth, tenant: Tenant) -> None:
        people = [await auth.person(tenant, role="admin") for _ in range(2)]
        principal = await auth.exchange((await auth.sign_in(people[0])).access_token)

        with pytest.raises(errors.Conflict) as refusal:
            await auth.stub(principal).DeleteUser(users_pb2.DeleteUserRequest(id=people[0].id))

        assert refusal.value.code == "SELF_REMOVAL"

    async def test_the_last_admin_stays(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, role="admin")

        with pytest.raises(errors.Conflict) as refusal:
            await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=person.id))

        assert refusal.value.code == "LAST_ADMIN"

    async def test_admins_who_remove_each_other_at_once_leave_one(self, auth: Auth, tenant: Tenant) -> None:
        people = [await auth.person(tenant, role="admin") for _ in range(6)]

        requests = [users_pb2.DeleteUserRequest(id=person.id) for person in people]
        answers = await asyncio.gather(
            *(auth.stub(admin(tenant)).DeleteUser(request) for request in requests), return_exceptions=True
        )

        refused = [answer for answer in answers if isinstance(answer, errors.Conflict)]
        assert [refusal.code for refusal in refused] == ["LAST_ADMIN"]
        left = await auth.stub(admin(tenant)).ListUsers(users_pb2.ListUsersRequest())
        assert len(left.users) == 1
