"""A tenant's own roles and the list of permissions, through a real server, and attacks on what must hold."""

import asyncio
from typing import Any

import asyncpg
import pytest
from google.protobuf.empty_pb2 import Empty
from switchyard.auth.v1 import access_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests import registry
from services.auth.tests.registry import Registry
from services.auth.tests.support import PASSWORD, Auth, admin, outbox, own_role, superuser

HOLDERS = "SELECT count(*) FROM memberships WHERE tenant_id = $1 AND 'barista' = ANY (additional_roles || role)"
BACK_TO_THE_BEGINNING = (
    "UPDATE memberships SET role = 'staff', additional_roles = '{}' WHERE tenant_id = $1",
    "DELETE FROM roles WHERE tenant_id = $1",
)


def change(name: str, **fields: Any) -> access_pb2.UpdateRoleRequest:
    request = access_pb2.UpdateRoleRequest(name=name, role=access_pb2.Role(**fields))
    request.update_mask.paths.extend(fields)
    return request


def new_user(**more: Any) -> users_pb2.CreateUserRequest:
    fields = {"email": f"{uuid7()}@north.example", "name": "Mira", "role": "staff", "password": PASSWORD, **more}
    return users_pb2.CreateUserRequest(user=users_pb2.User(**fields))


async def delete(auth: Auth, tenant: Tenant, name: str) -> Empty:
    answer: Empty = await auth.stub(admin(tenant)).DeleteRole(access_pb2.DeleteRoleRequest(name=name))
    return answer


class TestCreateRole:
    async def test_it_is_read_and_listed_after_the_built_in_ones(self, auth: Auth, tenant: Tenant) -> None:
        created = await own_role(auth, tenant, "barista", "orders.*", "inventory.items.read")

        read = await auth.stub(admin(tenant)).GetRole(access_pb2.GetRoleRequest(name="barista"))
        listed = (await auth.stub(admin(tenant)).ListRoles(access_pb2.ListRolesRequest())).roles
        assert read == created == listed[-1]
        assert (created.version, created.built_in) == (1, False)
        assert [role.name for role in listed[:-1]] == list(roles.ROLES)

    async def test_another_tenants_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.*")

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(Tenant())).GetRole(access_pb2.GetRoleRequest(name="barista"))
        with pytest.raises(errors.Invalid):
            await auth.stub(admin(Tenant())).CreateUser(new_user(role="barista"))

    @pytest.mark.parametrize("name", [*roles.ROLES, roles.OPERATOR, "service", "scope"])
    async def test_a_name_that_means_something_is_taken(self, auth: Auth, tenant: Tenant, name: str) -> None:
        with pytest.raises(errors.AlreadyExists):
            await own_role(auth, tenant, name, "orders.*")

    async def test_of_ten_at_once_with_one_name_one_is_made(self, auth: Auth, tenant: Tenant) -> None:
        answers = await asyncio.gather(
            *(own_role(auth, tenant, "barista", "orders.*") for _ in range(10)), return_exceptions=True
        )

        assert sum(isinstance(answer, access_pb2.Role) for answer in answers) == 1
        assert sum(isinstance(answer, errors.AlreadyExists) for answer in answers) == 9

    @pytest.mark.parametrize(
        "permission",
        [
            "orders.fly",
            "rockets.*",
            "*.fly",
            "platform.*",
            "platform.tenants.read",
            "registry.write",
            "platform.new.one",
        ],
    )
    async def test_what_no_tenant_can_give_is_invalid(self, auth: Auth, tenant: Tenant, permission: str) -> None:
        by = tenant.user(permissions={"*", permission})
        role = access_pb2.Role(name="barista", permissions=["orders.read", permission])

        with pytest.raises(errors.Invalid) as refusal:
            await auth.stub(by).CreateRole(access_pb2.CreateRoleRequest(role=role))

        assert set(refusal.value.fields) == {"role.permissions.1"}

    @pytest.mark.parametrize("permission", ["", "orders", "orders.", "*.*", "**", "inventory.items.*", "Orders.read"])
    async def test_what_is_no_permission_is_invalid(self, auth: Auth, tenant: Tenant, permission: str) -> None:
        with pytest.raises(errors.Invalid):
            await own_role(auth, tenant, "barista", permission)

    @pytest.mark.parametrize("permission", ["auth.tokens.write", "orders.*", "*.read", "*"])
    async def test_nobody_puts_in_what_they_lack(self, auth: Auth, tenant: Tenant, permission: str) -> None:
        by = tenant.user(permissions={"auth.roles.write", "orders.create", "orders.read", "orders.update"})
        role = access_pb2.Role(name="barista", permissions=["orders.create", permission])

        with pytest.raises(errors.Denied) as refusal:
            await auth.stub(by).CreateRole(access_pb2.CreateRoleRequest(role=role))

        assert dict(refusal.value.fields) == {"role.permissions": [f"requires {permission}"]}

    async def test_somebody_of_some_sites_makes_none(self, auth: Auth, tenant: Tenant) -> None:
        role = access_pb2.Role(name="barista", permissions=["orders.create"])

        with pytest.raises(errors.Denied):
            await auth.stub(admin(tenant, sites=(str(uuid7()),))).CreateRole(access_pb2.CreateRoleRequest(role=role))

    async def test_the_database_keeps_built_in_names(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        async with superuser(databases) as connection:
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute("UPDATE roles SET name = 'admin' WHERE tenant_id = $1", tenant.id)


class TestUpdateRole:
    async def test_it_is_told_when_its_permissions_change(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        changed = await auth.stub(admin(tenant)).UpdateRole(change("barista", permissions=["orders.read"]))

        assert (list(changed.permissions), changed.version) == (["orders.read"], 2)
        (event,) = await outbox(databases, tenant.id, "RoleDefinitionChanged")
        assert event["data"] == {"role": "barista"}

    async def test_a_description_leaves_passes_alone(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        changed = await auth.stub(admin(tenant)).UpdateRole(change("barista", description="Behind the bar"))

        assert (changed.description, changed.version, list(changed.permissions)) == (
            "Behind the bar",
            2,
            ["orders.create"],
        )
        assert await outbox(databases, tenant.id, "RoleDefinitionChanged") == []

    async def test_a_change_that_changes_nothing_tells_nothing(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        assert (
            await auth.stub(admin(tenant)).UpdateRole(change("barista", permissions=["orders.create"]))
        ).version == 1

    async def test_a_built_in_one_stays(self, auth: Auth, tenant: Tenant) -> None:
        for answer in (
            auth.stub(admin(tenant)).UpdateRole(change("staff", permissions=["*"])),
            delete(auth, tenant, "staff"),
        ):
            with pytest.raises(errors.Conflict) as refusal:
                await answer
            assert refusal.value.code == "ROLE_BUILT_IN"

    async def test_a_stale_version_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create")
        stub = auth.stub(admin(tenant), switchyard_expected_version="7")

        with pytest.raises(errors.StaleVersion):
            await stub.UpdateRole(change("barista", description="Behind the bar"))

    @pytest.mark.parametrize("to", [["orders.create"], ["orders.create", "locks.write", "orders.read"], []])
    async def test_nobody_changes_what_is_more_than_they_hold(self, auth: Auth, tenant: Tenant, to: list[str]) -> None:
        await own_role(auth, tenant, "barista", "orders.create", "locks.write")
        by = tenant.user(permissions={"auth.roles.write", "orders.create", "orders.read"})

        with pytest.raises(errors.Denied):
            await auth.stub(by).UpdateRole(change("barista", permissions=to))

    async def test_nobody_adds_what_they_lack(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create")
        by = tenant.user(permissions={"auth.roles.write", "orders.create"})

        with pytest.raises(errors.Denied):
            await auth.stub(by).UpdateRole(change("barista", permissions=["orders.create", "locks.write"]))

    async def test_somebody_of_some_sites_changes_none(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        with pytest.raises(errors.Denied):
            await auth.stub(admin(tenant, sites=(str(uuid7()),))).UpdateRole(change("barista", permissions=[]))

    async def test_what_is_in_it_stays_although_its_service_does_not_run(
        self, auth: Auth, tenant: Tenant, everything: Registry
    ) -> None:
        running = await everything.put("acme", registry.foreign())
        await until_known(auth, tenant, "acme.pets.feed")
        await own_role(auth, tenant, "keeper", "acme.pets.feed")
        await everything.take_out(running)
        await until_known(auth, tenant, "acme.pets.feed", known=False)

        changed = await auth.stub(admin(tenant)).UpdateRole(
            change("keeper", permissions=["acme.pets.feed", "orders.read"])
        )

        assert list(changed.permissions) == ["acme.pets.feed", "orders.read"]
        with pytest.raises(errors.Invalid):
            await own_role(auth, tenant, "another", "acme.pets.feed")


class TestDeleteRole:
    async def test_it_is_gone(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        await own_role(auth, tenant, "barista", "orders.create")

        await delete(auth, tenant, "barista")

        with pytest.raises(errors.NotFound):
            await delete(auth, tenant, "barista")
        assert len(await outbox(databases, tenant.id, "RoleDefinitionChanged")) == 1

    @pytest.mark.parametrize("given", [{"role": "barista"}, {"additional_roles": ["auditor", "barista"]}])
    async def test_one_that_somebody_has_stays(self, auth: Auth, tenant: Tenant, given: dict[str, Any]) -> None:
        await own_role(auth, tenant, "barista", "orders.create")
        await auth.stub(admin(tenant)).CreateUser(new_user(**given))

        with pytest.raises(errors.Conflict) as refusal:
            await delete(auth, tenant, "barista")

        assert refusal.value.code == "ROLE_IN_USE"

    async def test_one_that_another_tenant_uses_under_the_same_name_goes(self, auth: Auth, tenant: Tenant) -> None:
        other = Tenant()
        for each in (tenant, other):
            await own_role(auth, each, "barista", "orders.create")
        await auth.stub(admin(other)).CreateUser(new_user(role="barista"))

        await delete(auth, tenant, "barista")

    @pytest.mark.parametrize("given", [{"role": "barista"}, {"additional_roles": ["barista"]}])
    async def test_deleted_and_given_at_once_nobody_has_a_role_that_is_gone(
        self, auth: Auth, tenant: Tenant, databases: Databases, given: dict[str, Any]
    ) -> None:
        person = await auth.person(tenant)
        request = users_pb2.UpdateUserRequest(id=person.id, user=users_pb2.User(**given))
        request.update_mask.paths.extend(given)
        stub = auth.stub(admin(tenant))

        for _ in range(8):
            await own_role(auth, tenant, "barista", "orders.create")
            await asyncio.gather(
                *(stub.CreateUser(new_user(**given)) for _ in range(3)),
                stub.UpdateUser(request),
                *(delete(auth, tenant, "barista") for _ in range(2)),
                return_exceptions=True,
            )
            async with superuser(databases) as connection:
                left = await connection.fetchval("SELECT count(*) FROM roles WHERE tenant_id = $1", tenant.id)
                assert left == 1 or await connection.fetchval(HOLDERS, tenant.id) == 0
                for statement in BACK_TO_THE_BEGINNING:
                    await connection.execute(statement, tenant.id)

    async def test_nobody_deletes_more_than_they_hold(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create", "locks.write")
        by = tenant.user(permissions={"auth.roles.write", "orders.create"})

        with pytest.raises(errors.Denied):
            await auth.stub(by).DeleteRole(access_pb2.DeleteRoleRequest(name="barista"))


class TestListPermissions:
    async def test_each_is_told_with_the_roles_that_hold_it(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.*")

        found = {each.name: each for each in await listed(auth, tenant)}

        assert list(found) == sorted(found)
        create = found["orders.create"]
        assert create.service == "orders"
        assert {"PlaceKioskOrder", "PlaceOrder"} <= set(create.methods)
        assert list(create.roles) == ["admin", "manager", "staff", "kiosk", "barista"]
        assert "auditor" in found["orders.read"].roles

    async def test_a_foreign_services_are_there_while_it_runs(
        self, auth: Auth, tenant: Tenant, everything: Registry
    ) -> None:
        running = await everything.put("acme", registry.foreign())

        await until_known(auth, tenant, "acme.pets.feed")
        await everything.take_out(running)

        await until_known(auth, tenant, "acme.pets.feed", known=False)

    async def test_what_acts_for_the_platform_is_not_there(self, auth: Auth, tenant: Tenant) -> None:
        names = {each.name for each in await listed(auth, tenant)}

        assert names & {"registry.write", "platform.tenants.read", "platform.tenants.write"} == set()


async def listed(auth: Auth, tenant: Tenant) -> list[access_pb2.Permission]:
    answer = await auth.stub(admin(tenant)).ListPermissions(access_pb2.ListPermissionsRequest())
    return list(answer.permissions)


async def until_known(auth: Auth, tenant: Tenant, name: str, *, known: bool = True) -> None:
    async with asyncio.timeout(10):
        while (name in {each.name for each in await listed(auth, tenant)}) != known:
            await asyncio.sleep(0.01)
