"""The table of roles against the contracts."""

import importlib
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from switchyard.options.v1 import policy_pb2

from chassis import migrate, policy
from chassis.identity import Principal
from chassis.testing import all_permissions
from services.auth import roles

# The generated types call an extension a FieldDescriptor, which the runtime's own types do not accept.
POLICY: Any = policy_pb2.policy


def modules() -> list[FileDescriptor]:
    paths = (migrate.ROOT / "gen/switchyard").rglob("*_pb2.py")
    names = [".".join(path.relative_to(migrate.ROOT / "gen").with_suffix("").parts) for path in paths]
    return [importlib.import_module(name).DESCRIPTOR for name in names]


def named_by_contracts() -> frozenset[str]:
    return frozenset() if not modules() else all_permissions() - {""}


class TestRoles:
    def test_every_permission_is_given_by_some_role(self) -> None:
        given = roles.ROLES[roles.ADMIN] | roles.OPERATOR_PERMISSIONS
        holder = Principal("user", "", None, permissions=given)

        assert [name for name in named_by_contracts() if not holder.may(name)] == []

    def test_what_acts_for_the_platform_is_the_operators_by_name(self) -> None:
        services = [service for file in modules() for service in file.services_by_name.values()]
        platform = {rules.permission for service in services for rules in policy.of(service).values() if rules.platform}

        assert platform - {""} == roles.PLATFORM_PERMISSIONS

    def test_no_role_gives_what_no_contract_asks_for(self) -> None:
        given = frozenset().union(*roles.ROLES.values()) | roles.OPERATOR_PERMISSIONS
        # Asked for within a method that has a permission of its own, for some of its calls.
        methods = [
            method for file in modules() for service in file.services_by_name.values() for method in service.methods
        ]
        further = {name for method in methods for name in method.GetOptions().Extensions[POLICY].further_permissions}

        assert {name for name in given if "*" not in name} - named_by_contracts() - further == set()

    def test_an_admin_can_give_every_role(self) -> None:
        holder = Principal("user", "", None, permissions=roles.permissions(roles.ADMIN))

        assert {role: roles.lacking(holder, roles.permissions(role)) for role in roles.ROLES} == {
            role: [] for role in roles.ROLES
        }

    @pytest.mark.parametrize("role", ["manager", "staff", "auditor"])
    def test_nobody_else_can_give_the_admins(self, role: str) -> None:
        holder = Principal("user", "", None, permissions=roles.permissions(role))

        assert roles.lacking(holder, roles.permissions(roles.ADMIN)) == ["*"]

    def test_a_manager_cannot_make_an_auditor(self) -> None:
        holder = Principal("user", "", None, permissions=roles.permissions("manager"))

        assert roles.lacking(holder, roles.permissions("auditor")) == ["*.read", "audit.*"]

    def test_a_role_that_is_gone_gives_nothing(self) -> None:
        assert roles.permissions("emperor") == frozenset()
