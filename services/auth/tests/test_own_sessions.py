"""What somebody sees of their own sessions, ends, and chooses; and a factor shown again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from switchyard.auth.v1 import auth_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.identity import Principal
from chassis.testing import Databases, Tenant
from services.auth.tests.support import NOWHERE, PASSWORD, Auth, Person, outbox


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
