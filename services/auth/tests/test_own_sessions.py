"""What somebody sees of their own sessions, ends, and chooses; and a factor shown again."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from switchyard.auth.v1 import access_pb2, auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth import tokens
from services.auth.tests.support import NOWHERE, PASSWORD, Auth, Person, admin, outbox, superuser
from services.auth.tests.test_tokens import process_work


async def signed_in(auth: Auth, tenant: Tenant, person: Person | None = None, **told: str) -> Principal:
    """The pass of somebody (new) who has just signed in."""
    person = person or await auth.person(tenant)
    return await auth.exchange((await auth.sign_in(person, **told)).access_token, tenant)


class TestListSessions:
    async def test_own_live_ones_are_listed(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        first, second = [await signed_in(auth, tenant, person) for _ in range(2)]
        await signed_in(auth, tenant)

        listed = (await auth.stub(second).ListSessions(auth_pb2.ListSessionsRequest())).sessions

        assert [(one.id, one.current) for one in listed] == [(second.session_id, True), (first.session_id, False)]
        assert {one.method for one in listed} == {"password"}

    async def test_one_that_has_run_out_is_not(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        with clock.shifted(-timedelta(hours=9)):
            await auth.sign_in(person)

        now = await signed_in(auth, tenant, person)
        listed = (await auth.stub(now).ListSessions(auth_pb2.ListSessionsRequest())).sessions

        assert [one.id for one in listed] == [now.session_id]


class TestDeleteSession:
    async def test_another_of_ones_own_ends(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)
        first, second = [await signed_in(auth, tenant, person) for _ in range(2)]
        request = auth_pb2.DeleteSessionRequest(id=first.session_id)

        for _ in range(2):
            await auth.stub(second).DeleteSession(request)

        told = await outbox(databases, tenant.id, "SessionRevoked")
        assert [(one["data"]["session_id"], one["data"]["reason"]) for one in told] == [(first.session_id, "ended")]

    async def test_somebody_elses_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        mine, theirs = [await signed_in(auth, tenant) for _ in range(2)]

        with pytest.raises(errors.NotFound):
            await auth.stub(mine).DeleteSession(auth_pb2.DeleteSessionRequest(id=theirs.session_id))


class TestDeleteOtherSessions:
    async def test_all_but_this_one_end(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        *_, last = [await signed_in(auth, tenant, person) for _ in range(3)]

        await auth.stub(last).DeleteOtherSessions(auth_pb2.DeleteOtherSessionsRequest())

        left = (await auth.stub(last).ListSessions(auth_pb2.ListSessionsRequest())).sessions
        assert [one.id for one in left] == [last.session_id]


class TestSetSite:
    async def test_calls_go_to_the_site_from_now_on(self, auth: Auth, tenant: Tenant) -> None:
        sites = tuple(str(uuid7()) for _ in range(2))
        person = await auth.person(tenant, sites=sites)
        token = (await auth.sign_in(person)).access_token
        before = await auth.exchange(token, tenant)

        me = await auth.stub(before).SetSite(auth_pb2.SetSiteRequest(site_id=sites[0]))

        after = await auth.exchange(token, tenant)
        listed = (await auth.stub(after).ListMySites(auth_pb2.ListMySitesRequest())).sites
        assert (me.active_site_id, after.sites) == (sites[0], frozenset({sites[0]}))
        assert {one.id: one.active for one in listed} == {sites[0]: True, sites[1]: False}

    async def test_another_can_be_chosen_and_none(self, auth: Auth, tenant: Tenant) -> None:
        sites = tuple(str(uuid7()) for _ in range(2))
        token = (await auth.sign_in(await auth.person(tenant, sites=sites))).access_token
        for site in (*sites, ""):
            principal = await auth.exchange(token, tenant)
            await auth.stub(principal).SetSite(auth_pb2.SetSiteRequest(site_id=site))

        assert (await auth.exchange(token, tenant)).sites == set(sites)

    async def test_a_site_named_by_the_call_goes_before(self, auth: Auth, tenant: Tenant) -> None:
        sites = tuple(str(uuid7()) for _ in range(2))
        token = (await auth.sign_in(await auth.person(tenant, sites=sites))).access_token
        await auth.stub(await auth.exchange(token, tenant)).SetSite(auth_pb2.SetSiteRequest(site_id=sites[0]))

        assert (await auth.exchange(token, tenant, sites[1])).sites == {sites[1]}

    async def test_what_is_not_ones_own_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        principal = await signed_in(auth, tenant, await auth.person(tenant, sites=(str(uuid7()),)))

        for site in (str(uuid7()), NOWHERE):
            with pytest.raises(errors.NotFound):
                await auth.stub(principal).SetSite(auth_pb2.SetSiteRequest(site_id=site))


class TestAProgram:
    """What an application may do that somebody has let act for them: nothing to their sign-ins, whatever its scopes."""

    async def test_what_is_the_persons_own_is_denied(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant, role="admin")
        program, other = [await signed_in(auth, tenant, person) for _ in range(2)]
        async with superuser(databases) as connection:
            statement = "UPDATE sessions SET client_id = $2, tenant_id = $3, scopes = '{*}' WHERE id = $1"
            await connection.execute(statement, program.session_id, uuid7(), tenant.id)
        stub = auth.stub(program)

        token = access_pb2.ApiToken(name="Export", kind=access_pb2.TOKEN_KIND_PERSONAL)
        renamed = users_pb2.UpdateMeRequest(user=users_pb2.User(name="X"), update_mask={"paths": ["name"]})
        for method, request in (
            (stub.ListSessions, auth_pb2.ListSessionsRequest()),
            (stub.DeleteSession, auth_pb2.DeleteSessionRequest(id=other.session_id)),
            (stub.DeleteOtherSessions, auth_pb2.DeleteOtherSessionsRequest()),
            (stub.StepUp, auth_pb2.StepUpRequest(password=PASSWORD)),
            (stub.UpdateMe, renamed),
            (stub.CreateToken, access_pb2.CreateTokenRequest(token=token)),
            (stub.Impersonate, users_pb2.ImpersonateRequest(id=(await auth.person(tenant)).id, reason="ticket 4711")),
        ):
            with pytest.raises(errors.Denied):
                await method(request)


class TestUses:
    async def test_a_session_says_when_and_from_where_it_was_used(self, auth: Auth, tenant: Tenant) -> None:
        principal, uses = await signed_in(auth, tenant), tokens.Uses()
        with clock.shifted(timedelta(minutes=5)):
            now = clock.now()
            with call.answering(call.Call(principal, "auth.ExchangeToken", address="203.0.113.9")):
                uses.note(principal, None)

        await process_work(auth, uses).write_uses()

        (listed,) = (await auth.stub(principal).ListSessions(auth_pb2.ListSessionsRequest())).sessions
        assert listed.address == "203.0.113.9"
        assert now.timestamp() - 1 <= listed.last_used_at.seconds <= now.timestamp() + 1

    async def test_processes_that_note_the_same_ones_do_not_block_each_other(self, auth: Auth, tenant: Tenant) -> None:
        principals = [await signed_in(auth, tenant) for _ in range(6)]
        noted = [tokens.Uses() for _ in range(12)]
        for turn, uses in enumerate(noted):
            with call.answering(call.Call(principals[0], "auth.ExchangeToken", address="203.0.113.9")):
                for principal in principals if turn % 2 else reversed(principals):
                    uses.note(principal, None)

        await asyncio.gather(*(process_work(auth, uses).write_uses() for uses in noted))

        listed = [(await auth.stub(each).ListSessions(auth_pb2.ListSessionsRequest())).sessions for each in principals]
        assert {one.address for (one,) in listed} == {"203.0.113.9"}

    async def test_users_say_when_they_last_signed_in(self, auth: Auth, tenant: Tenant) -> None:
        principal = await signed_in(auth, tenant)

        user = await auth.stub(admin(tenant)).GetUser(users_pb2.GetUserRequest(id=principal.id))

        assert abs(clock.now().timestamp() - user.last_login_at.seconds) < 60


class TestStepUp:
    async def test_the_next_pass_is_fresh(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        with clock.shifted(-timedelta(minutes=11)):
            token = (await auth.sign_in(person)).access_token
        old = await auth.exchange(token, tenant)

        answer = await auth.stub(old).StepUp(auth_pb2.StepUpRequest(password=PASSWORD))

        fresh = await auth.exchange(token, tenant)
        assert answer.expires_in == 600
        assert fresh.authenticated_at - old.authenticated_at >= 660

    async def test_a_wrong_password_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Unauthenticated):
            await auth.stub(await signed_in(auth, tenant)).StepUp(auth_pb2.StepUpRequest(password="not this one"))

    async def test_a_tokens_program_cannot(self, auth: Auth, tenant: Tenant) -> None:
        program = replace(await signed_in(auth, tenant), session_id=str(uuid7()), authenticated_at=0)

        with pytest.raises(errors.Denied):
            await auth.stub(program).StepUp(auth_pb2.StepUpRequest(password=PASSWORD))
