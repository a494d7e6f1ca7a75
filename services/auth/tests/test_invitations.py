"""Invitations through a real server, and attacks on a token's single use and on what it gives."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from switchyard.auth.v1 import access_pb2, auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import roles
from services.auth.tests.support import (
    NOWHERE,
    OPERATOR_EMAIL,
    PASSWORD,
    Auth,
    Person,
    admin,
    outbox,
    own_role,
    superuser,
)

ANOTHER = "quiet water under bridges"


def address() -> str:
    return f"{uuid7()}@north.example"


def invitation(**more: Any) -> users_pb2.CreateInvitationRequest:
    fields = {"email": address(), "role": "staff", **more}
    return users_pb2.CreateInvitationRequest(invitation=users_pb2.Invitation(**fields))


async def inviter(auth: Auth, tenant: Tenant, **more: Any) -> Principal:
    """An admin who is in the table of members."""
    person = await auth.person(tenant, role="admin", **more)
    return await auth.exchange((await auth.sign_in(person)).access_token, tenant)


async def invited(auth: Auth, by: Principal, **more: Any) -> str:
    """The token of a new invitation."""
    sent = await auth.stub(by).CreateInvitation(invitation(**more))
    return await auth.letter(sent.email)


async def listed(auth: Auth, by: Principal) -> list[str]:
    answer = await auth.stub(by).ListInvitations(users_pb2.ListInvitationsRequest())
    return [each.email for each in answer.invitations]


class TestCreateInvitation:
    async def test_the_answer_holds_no_token(self, auth: Auth, tenant: Tenant) -> None:
        by = await inviter(auth, tenant)

        sent = await auth.stub(by).CreateInvitation(
            invitation(email="Nils@North.example", additional_roles=["auditor"])
        )

        assert (sent.email, sent.role, list(sent.additional_roles)) == ("nils@north.example", "staff", ["auditor"])
        assert sent.expires_at.ToDatetime() - sent.created_at.ToDatetime() == timedelta(days=7)
        assert (await auth.letter(sent.email)) not in str(sent)

    async def test_neither_the_database_nor_the_trail_holds_the_token(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        token = await invited(auth, await inviter(auth, tenant))

        async with superuser(databases) as connection:
            rows = await connection.fetch("SELECT i::text FROM invitations i")
        assert token not in str(rows)
        assert token not in str(await outbox(databases, tenant.id, "aud"))

    async def test_inviting_again_ends_the_first(self, auth: Auth, tenant: Tenant) -> None:
        by, email = await inviter(auth, tenant), address()
        first = await invited(auth, by, email=email)
        second = await invited(auth, by, email=email)

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(first)
        await auth.accept(second)

    async def test_somebody_of_the_tenant_already_exists(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        with pytest.raises(errors.AlreadyExists):
            await auth.stub(await inviter(auth, tenant)).CreateInvitation(invitation(email=person.email))

    async def test_a_person_known_elsewhere_looks_new(self, auth: Auth, tenant: Tenant) -> None:
        known = await auth.person(Tenant())
        by = await inviter(auth, tenant)

        answers = [await auth.stub(by).CreateInvitation(invitation(email=email)) for email in (known.email, address())]

        for answer in answers:
            for field in ("id", "email", "created_at", "expires_at"):
                answer.ClearField(field)
        assert answers[0] == answers[1]

    async def test_nobody_invites_into_what_they_lack(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "paymaster", "auth.tokens.write")
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})

        for given in ({"role": "admin"}, {"additional_roles": ["admin"]}, {"role": "paymaster"}):
            with pytest.raises(errors.Denied):
                await auth.stub(manager).CreateInvitation(invitation(**given))

    async def test_nobody_invites_to_sites_they_do_not_have(self, auth: Auth, tenant: Tenant) -> None:
        mine = str(uuid7())

        for sites in ([], [str(uuid7())], [mine, str(uuid7())]):
            with pytest.raises(errors.Denied):
                await auth.stub(admin(tenant, sites=(mine,))).CreateInvitation(invitation(site_ids=sites))

    async def test_nobody_replaces_an_invitation_into_more_than_they_hold(self, auth: Auth, tenant: Tenant) -> None:
        email = address()
        token = await invited(auth, await inviter(auth, tenant), email=email, role="admin")
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})

        with pytest.raises(errors.Denied):
            await auth.stub(manager).CreateInvitation(invitation(email=email))

        await auth.accept(token)

    @pytest.mark.parametrize("wrong", [{"role": "emperor"}, {"additional_roles": ["emperor"]}, {"site_ids": [NOWHERE]}])
    async def test_what_is_not_there_is_invalid(self, auth: Auth, tenant: Tenant, wrong: dict[str, Any]) -> None:
        with pytest.raises(errors.Invalid):
            await auth.stub(admin(tenant)).CreateInvitation(invitation(**wrong))


class TestListInvitations:
    async def test_those_that_wait_are_listed_the_latest_first(self, auth: Auth, tenant: Tenant) -> None:
        by = await inviter(auth, tenant)
        emails = [(await auth.stub(by).CreateInvitation(invitation())).email for _ in range(3)]

        assert await listed(auth, by) == emails[::-1]
        assert await listed(auth, admin(Tenant())) == []

    async def test_users_who_were_created_are_not_among_them(self, auth: Auth, tenant: Tenant) -> None:
        elsewhere = await auth.person(Tenant())
        user = users_pb2.User(email=elsewhere.email, name="Mira", role="staff", password=PASSWORD)
        await auth.stub(admin(tenant)).CreateUser(users_pb2.CreateUserRequest(user=user))
        await auth.person(tenant)

        assert await listed(auth, admin(tenant)) == []

    async def test_those_of_other_sites_are_not_shown(self, auth: Auth, tenant: Tenant) -> None:
        site = str(uuid7())
        await invited(auth, admin(tenant), site_ids=[str(uuid7())])
        await invited(auth, admin(tenant), email="here@north.example", site_ids=[site])

        assert await listed(auth, admin(tenant, sites=(site,))) == ["here@north.example"]


class TestDeleteInvitation:
    async def test_its_token_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        by = await inviter(auth, tenant)
        sent = await auth.stub(by).CreateInvitation(invitation())

        await auth.stub(by).DeleteInvitation(users_pb2.DeleteInvitationRequest(id=sent.id))

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(await auth.letter(sent.email))
        assert await listed(auth, by) == []

    async def test_another_tenants_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        sent = await auth.stub(admin(tenant)).CreateInvitation(invitation())

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(Tenant())).DeleteInvitation(users_pb2.DeleteInvitationRequest(id=sent.id))

    async def test_nobody_withdraws_what_they_could_not_give(self, auth: Auth, tenant: Tenant) -> None:
        sent = await auth.stub(admin(tenant)).CreateInvitation(invitation(role="admin"))
        manager = tenant.user(permissions=roles.permissions("manager") | {"auth.users.write"})

        with pytest.raises(errors.Denied):
            await auth.stub(manager).DeleteInvitation(users_pb2.DeleteInvitationRequest(id=sent.id))


class TestAcceptInvitation:
    async def test_a_new_person_gets_an_account_and_signs_in(self, auth: Auth, tenant: Tenant) -> None:
        site, email = str(uuid7()), address()
        token = await invited(
            auth,
            await inviter(auth, tenant),
            email=email,
            role="manager",
            additional_roles=["auditor"],
            site_ids=[site],
        )

        answer = await auth.accept(token, name="Nils Berg")

        assert (answer.tenant_id, answer.email) == (str(tenant.id), email)
        principal = await auth.exchange((await auth.sign_in(Person("", email))).access_token, tenant)
        assert (set(principal.roles), set(principal.sites)) == ({"manager", "auditor"}, {site})
        user = await auth.stub(admin(tenant)).GetUser(users_pb2.GetUserRequest(id=principal.id))
        assert user.name == "Nils Berg"

    async def test_it_is_in_the_tenants_trail(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        token = await invited(auth, await inviter(auth, tenant))

        await auth.accept(token)

        (entry,) = [
            each for each in await outbox(databases, tenant.id, "aud") if each["action"] == "auth.AcceptInvitation"
        ]
        assert entry["actor"].startswith("user:")
        assert any(name.startswith("invitations/") for name in entry["resources"])

    async def test_somebody_with_a_proven_account_keeps_their_password(self, auth: Auth, tenant: Tenant) -> None:
        email = address()
        await auth.accept(await invited(auth, await inviter(auth, Tenant()), email=email))
        token = await invited(auth, await inviter(auth, tenant), email=email)

        await auth.accept(token, name="Somebody Else", password=ANOTHER)

        assert len((await auth.sign_in(Person("", email))).tenants) == 2
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Login(auth_pb2.LoginRequest(email=email, password=ANOTHER))

    async def test_who_has_not_proven_their_address_chooses_the_password(self, auth: Auth, tenant: Tenant) -> None:
        # Somebody opens an account for an address that is not theirs, and waits for its owner to be let in elsewhere.
        intruder = await auth.person(Tenant())
        waiting = await auth.sign_in(intruder)
        token = await invited(auth, await inviter(auth, tenant), email=intruder.email)

        await auth.accept(token, password=ANOTHER)

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(waiting.access_token)
        with pytest.raises(errors.Unauthenticated):
            await auth.sign_in(intruder)
        await auth.stub().Login(auth_pb2.LoginRequest(email=intruder.email, password=ANOTHER))

    async def test_the_tenant_does_not_learn_who_had_an_account(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        unproven = await auth.person(Tenant())
        await auth.sign_in(unproven)
        for email in (unproven.email, address()):
            user = users_pb2.User(email=email, name="Mira", role="staff", password=PASSWORD)
            await auth.stub(admin(tenant)).CreateUser(users_pb2.CreateUserRequest(user=user))
            await auth.accept(await auth.letter(email))

        told = await outbox(databases, tenant.id, "aud")

        shapes = [
            (entry["action"], [name.split("/")[0] for name in entry["resources"]], sorted(_fields(entry)))
            for entry in told
        ]
        assert shapes[: len(shapes) // 2] == shapes[len(shapes) // 2 :]

    async def test_a_token_works_once(self, auth: Auth, tenant: Tenant) -> None:
        token = await invited(auth, await inviter(auth, tenant))
        await auth.accept(token)

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(token)

    @pytest.mark.parametrize("known", [False, True])
    async def test_of_twenty_at_once_one_wins(self, auth: Auth, tenant: Tenant, known: bool) -> None:  # noqa: FBT001
        email = (await auth.person(Tenant())).email if known else address()
        token = await invited(auth, await inviter(auth, tenant), email=email)
        passwords = [f"{number} {ANOTHER}" for number in range(20)]

        answers = await asyncio.gather(
            *(auth.accept(token, password=password) for password in passwords), return_exceptions=True
        )

        won = [
            number for number, answer in enumerate(answers) if isinstance(answer, users_pb2.AcceptInvitationResponse)
        ]
        assert len(won) == 1
        await auth.stub().Login(auth_pb2.LoginRequest(email=email, password=passwords[won[0]]))

    async def test_bad_tokens_are_refused_alike(self, auth: Auth, tenant: Tenant) -> None:
        by = await inviter(auth, tenant)
        used = await invited(auth, by)
        await auth.accept(used)
        good = await invited(auth, by)

        refusals = set()
        for token in (used, good[:-1], good + "A", "inv_", "x", good.upper()):
            with pytest.raises(errors.Unauthenticated) as refusal:
                await auth.accept(token)
            refusals.add((refusal.value.code, str(refusal.value)))
        assert len(refusals) == 1

    async def test_a_good_one_that_has_ended_is_told_so(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        token = await invited(auth, await inviter(auth, tenant))
        async with superuser(databases) as connection:
            await connection.execute("UPDATE invitations SET expires_at = now() WHERE tenant_id = $1", tenant.id)

        with pytest.raises(errors.Unauthenticated) as refusal:
            await auth.accept(token)

        assert refusal.value.code == "TOKEN_EXPIRED"

    @pytest.mark.parametrize(
        ("name", "password", "fields"),
        [
            ("", PASSWORD, {"name"}),
            ("  ", PASSWORD, {"name"}),
            ("Nils", "short", {"password"}),
            ("", "", {"name", "password"}),
        ],
    )
    async def test_a_new_account_needs_name_and_password(
        self, auth: Auth, tenant: Tenant, name: str, password: str, fields: set[str]
    ) -> None:
        token = await invited(auth, await inviter(auth, tenant))

        with pytest.raises(errors.Invalid) as refusal:
            await auth.accept(token, name=name, password=password)

        assert set(refusal.value.fields) == fields
        await auth.accept(token)


class TestWhatAnInvitationIsWorth:
    async def test_nothing_once_its_inviter_has_lost_the_power(self, auth: Auth, tenant: Tenant) -> None:
        by = await inviter(auth, tenant)
        token = await invited(auth, by, role="manager")
        await self.change(auth, tenant, by, role="staff")

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(token)

        await self.change(auth, tenant, by, role="admin")
        await auth.accept(token)

    async def test_nothing_once_its_inviter_acts_elsewhere(self, auth: Auth, tenant: Tenant) -> None:
        by = await inviter(auth, tenant)
        token = await invited(auth, by)
        await self.change(auth, tenant, by, site_ids=[str(uuid7())])

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(token)

    async def test_nothing_once_its_inviter_is_disabled_or_gone(self, auth: Auth, tenant: Tenant) -> None:
        await auth.person(tenant, role="admin")
        disabled, gone = await inviter(auth, tenant), await inviter(auth, tenant)
        tokens = [await invited(auth, by) for by in (disabled, gone)]
        await self.change(auth, tenant, disabled, status=users_pb2.USER_STATUS_DISABLED)
        await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=gone.id))

        for token in tokens:
            with pytest.raises(errors.Unauthenticated):
                await auth.accept(token)

    async def test_nothing_once_its_role_is_gone(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "barista", "orders.create")
        token = await invited(auth, await inviter(auth, tenant), role="barista")
        await auth.stub(admin(tenant)).DeleteRole(access_pb2.DeleteRoleRequest(name="barista"))

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(token)

    async def test_nothing_once_its_role_has_grown_beyond_its_inviter(self, auth: Auth, tenant: Tenant) -> None:
        await own_role(auth, tenant, "inviter", "auth.users.write", "orders.create")
        await own_role(auth, tenant, "barista", "orders.create")
        person = await auth.person(tenant, role="inviter")
        by = await auth.exchange((await auth.sign_in(person)).access_token, tenant)
        token = await invited(auth, by, role="barista")
        grown = access_pb2.Role(permissions=["orders.create", "locks.write"])
        request = access_pb2.UpdateRoleRequest(name="barista", role=grown)
        request.update_mask.paths.append("permissions")
        await auth.stub(admin(tenant)).UpdateRole(request)

        with pytest.raises(errors.Unauthenticated):
            await auth.accept(token)

    async def test_an_operators_is_good(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(Person("", OPERATOR_EMAIL))
        token = await invited(auth, await auth.exchange(signed_in.access_token, tenant), role="admin")

        await auth.accept(token)

    async def change(self, auth: Auth, tenant: Tenant, who: Principal, **fields: Any) -> None:
        request = users_pb2.UpdateUserRequest(id=who.id, user=users_pb2.User(**fields))
        request.update_mask.paths.extend(fields)
        if not any(user.role == "admin" for user in await self.others(auth, tenant, who)):
            await auth.person(tenant, role="admin")
        await auth.stub(admin(tenant)).UpdateUser(request)

    async def others(self, auth: Auth, tenant: Tenant, who: Principal) -> list[users_pb2.User]:
        answer = await auth.stub(admin(tenant)).ListUsers(users_pb2.ListUsersRequest())
        return [user for user in answer.users if user.id != who.id]


def _fields(entry: dict[str, Any]) -> list[str]:
    return [
        f"{name.split('/')[0]}.{side}.{field}"
        for name, change in entry.get("changes", {}).items()
        for side, fields in change.items()
        for field in fields
    ]
