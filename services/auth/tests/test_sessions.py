"""Sessions: sign-in, refresh with reuse detection, and ends that take effect at once."""

import asyncio
from datetime import timedelta

import pytest
from switchyard.auth.v1 import auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors, identity
from chassis.identity import PLATFORM
from chassis.rpc import metadata
from chassis.testing import Databases, Tenant
from services.auth import sessions
from services.auth.tests.factor_support import statements
from services.auth.tests.support import OPERATOR_EMAIL, PASSWORD, Auth, Person, admin, outbox, superuser


def refreshing(token: str) -> auth_pb2.RefreshRequest:
    return auth_pb2.RefreshRequest(refresh_token=token)


class TestLogin:
    async def test_a_wrong_password_and_no_account_answer_the_same(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        answers = []
        for email in (person.email, "nobody@north.example"):
            with pytest.raises(errors.Unauthenticated) as refusal:
                await auth.stub().Login(auth_pb2.LoginRequest(email=email, password="wrong"))
            answers.append((refusal.value.message, refusal.value.code, refusal.value.fields, refusal.value.metadata))

        assert answers[0] == answers[1]

    async def test_whatever_is_wrong_it_is_as_much_work(self, auth: Auth, tenant: Tenant) -> None:
        person, left = await auth.person(tenant), await auth.person(tenant)
        await auth.stub(admin(tenant)).DeleteUser(users_pb2.DeleteUserRequest(id=left.id))

        asked = []
        for email in (person.email, left.email, OPERATOR_EMAIL, f"{tenant.id}@nowhere.example"):
            async with statements(auth) as these:
                await self.fail(auth, email, times=1)
            asked.append(these)

        assert asked[0]
        assert asked == [asked[0]] * 4

    async def test_an_address_that_cannot_be_stored_is_invalid(self, auth: Auth) -> None:
        with pytest.raises(errors.Invalid):
            await auth.stub().Login(auth_pb2.LoginRequest(email="a\x00@north.example", password="wrong"))

    async def test_the_sixth_failure_in_a_row_has_to_wait(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await self.fail(auth, person.email, times=5)

        with pytest.raises(errors.Exhausted) as refusal:
            await auth.sign_in(person)

        assert refusal.value.code == "RATE_LIMITED"
        assert refusal.value.retry_after_s

    async def test_an_unknown_account_has_to_wait_as_well(self, auth: Auth, tenant: Tenant) -> None:
        email = f"{tenant.id}@nowhere.example"
        await self.fail(auth, email, times=5)

        with pytest.raises(errors.Exhausted):
            await auth.stub().Login(auth_pb2.LoginRequest(email=email, password="wrong"))

    async def test_the_delay_grows(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await self.fail(auth, person.email, times=5)
        with clock.shifted(timedelta(seconds=2)):
            await self.fail(auth, person.email, times=1)

            with pytest.raises(errors.Exhausted) as refusal:
                await auth.sign_in(person)

        assert refusal.value.retry_after_s is not None
        assert refusal.value.retry_after_s > 1.5

    async def test_the_right_password_works_after_the_delay(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await self.fail(auth, person.email, times=5)

        with clock.shifted(timedelta(seconds=2)):
            signed_in = await auth.sign_in(person)

        assert signed_in.user.id == person.id

    async def test_guesses_at_once_get_no_more_tries(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        request = auth_pb2.LoginRequest(email=person.email, password="wrong")

        answers = await asyncio.gather(*(auth.stub().Login(request) for _ in range(30)), return_exceptions=True)

        assert sum(isinstance(answer, errors.Unauthenticated) for answer in answers) == 5
        assert sum(isinstance(answer, errors.Exhausted) for answer in answers) == 25

    async def test_people_behind_one_address_sign_in_at_once(self, auth: Auth, tenant: Tenant) -> None:
        told = {"switchyard_client_address": "203.0.113.9"}
        people = [await auth.person(tenant) for _ in range(10)]

        signed_in = await asyncio.gather(*(auth.sign_in(person, **told) for person in people * 4))

        assert len(signed_in) == 40

    async def test_an_address_that_fails_for_many_has_to_wait(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        told = {"switchyard_client_address": "192.0.2.7"}
        for number in range(50):
            request = auth_pb2.LoginRequest(email=f"{number}.{tenant.id}@nowhere.example", password="wrong")
            with pytest.raises(errors.Unauthenticated):
                await auth.stub(None, **told).Login(request)

        with pytest.raises(errors.Exhausted):
            await auth.sign_in(person, **told)

    async def test_success_and_failure_are_in_the_tenants_trail(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)
        await self.fail(auth, person.email, times=1)

        await auth.sign_in(person)

        trail = [entry for entry in await outbox(databases, tenant.id, "aud") if entry["action"] == "auth.Login"]
        assert [(entry["outcome"], entry["category"]) for entry in trail] == [
            ("failure", "authentication"),
            ("success", "authentication"),
        ]
        assert (trail[0]["subject"], trail[1]["actor"]) == (f"user:{person.id}", f"user:{person.id}")

    async def test_a_failure_without_an_account_is_in_the_platforms(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        before = len(await outbox(databases, PLATFORM, "aud"))

        await self.fail(auth, f"{tenant.id}@nowhere.example", times=1)

        assert len(await outbox(databases, PLATFORM, "aud")) == before + 1

    async def test_no_secret_is_kept_in_the_clear(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))

        async with superuser(databases) as connection:
            names = [
                row["table_name"]
                for row in await connection.fetch(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
                )
            ]
            told = "".join([str(await connection.fetch(f'SELECT t::text FROM "{name}" t')) for name in names])

        assert signed_in.refresh_token not in told
        assert signed_in.refresh_token.encode().hex() not in told
        assert PASSWORD not in told

    async def fail(self, auth: Auth, email: str, *, times: int) -> None:
        for _ in range(times):
            with pytest.raises(errors.Unauthenticated):
                await auth.stub().Login(auth_pb2.LoginRequest(email=email, password="wrong"))


class TestRefresh:
    async def test_it_gives_a_new_pair(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))

        refreshed = await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        assert refreshed.refresh_token != signed_in.refresh_token
        assert (await auth.exchange(refreshed.access_token)).id == signed_in.user.id

    async def test_fifty_at_once_get_one_successor(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        request = refreshing(signed_in.refresh_token)

        answers = await asyncio.gather(*(auth.stub().Refresh(request) for _ in range(50)))

        assert len({answer.refresh_token for answer in answers}) == 1
        session_id = (await auth.exchange(signed_in.access_token)).session_id
        async with superuser(databases) as connection:
            count = await connection.fetchval("SELECT count(*) FROM refresh_tokens WHERE session_id = $1", session_id)
        assert count == 2

    async def test_the_successor_goes_on(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        first = await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        second = await auth.stub().Refresh(refreshing(first.refresh_token))

        assert second.refresh_token not in {first.refresh_token, signed_in.refresh_token}

    async def test_use_after_the_window_ends_the_session(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        refreshed = await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        with clock.shifted(timedelta(seconds=11)), pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(refreshed.access_token)
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(refreshing(refreshed.refresh_token))

    async def test_that_end_is_published_once(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        with clock.shifted(timedelta(seconds=11)):
            for _ in range(2):
                with pytest.raises(errors.Unauthenticated):
                    await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        published = await outbox(databases, tenant.id, "SessionRevoked")
        assert [event["data"]["reason"] for event in published] == ["reuse_detected"]

    async def test_an_unused_session_expires(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))

        with clock.shifted(timedelta(hours=8, minutes=1)), pytest.raises(errors.Unauthenticated) as refusal:
            await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        assert refusal.value.code == "TOKEN_EXPIRED"

    async def test_a_used_one_does_not(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        with clock.shifted(timedelta(hours=7)):
            refreshed = await auth.stub().Refresh(refreshing(signed_in.refresh_token))

        with clock.shifted(timedelta(hours=14)):
            again = await auth.stub().Refresh(refreshing(refreshed.refresh_token))

        assert again.refresh_token

    async def test_no_session_lasts_beyond_its_age(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        token = signed_in.refresh_token
        for hours in range(7, 30 * 24, 7):
            with clock.shifted(timedelta(hours=hours)):
                token = (await auth.stub().Refresh(refreshing(token))).refresh_token

        with clock.shifted(timedelta(days=30, seconds=1)), pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(refreshing(token))

    @pytest.mark.parametrize("token", ["rt_unknown", "x", "\x00"])
    async def test_an_unknown_token_is_refused(self, auth: Auth, token: str) -> None:
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(refreshing(token))


class TestSeveralProcesses:
    async def test_fifty_refreshes_at_two_of_them_give_one_successor(
        self, auth: Auth, another: Auth, tenant: Tenant
    ) -> None:
        request = refreshing((await auth.sign_in(await auth.person(tenant))).refresh_token)

        answers = await asyncio.gather(*((auth, another)[turn % 2].stub().Refresh(request) for turn in range(50)))

        (successor,) = {answer.refresh_token for answer in answers}
        assert (await another.stub().Refresh(refreshing(successor))).access_token


class TestStorm:
    async def test_who_is_signed_in_is_answered_before_its_end(self, auth: Auth, another: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        # Each from elsewhere, so that the limits let them all through to the hashing.
        storm = [
            asyncio.ensure_future(
                another.stub(None, **{metadata.ADDRESS: f"198.51.100.{number}"}).Login(
                    auth_pb2.LoginRequest(email=f"{uuid7()}@nobody.example", password=PASSWORD)
                )
            )
            for number in range(60)
        ]
        await asyncio.wait(storm, return_when=asyncio.FIRST_COMPLETED)

        principal = await another.exchange(token)

        waiting = [login for login in storm if not login.done()]
        refusals = await asyncio.gather(*storm, return_exceptions=True)
        assert principal.tenant_id == tenant.id
        assert waiting
        assert {type(refusal) for refusal in refusals} == {errors.Unauthenticated}


class TestCost:
    async def test_a_password_is_kept_at_the_new_cost_from_the_next_sign_in_on(
        self, auth: Auth, another: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)

        await another.sign_in(person)

        async with superuser(databases) as connection:
            kept = await connection.fetchval("SELECT password_hash FROM users WHERE id = $1", person.id)
        assert "m=19456,t=2," in kept
        assert (await auth.sign_in(person)).access_token


class TestLogout:
    async def test_access_and_refresh_token_stop_at_once(self, auth: Auth, tenant: Tenant) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        principal = await auth.exchange(signed_in.access_token)

        await auth.stub(principal).Logout(auth_pb2.LogoutRequest())

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(signed_in.access_token)
        with pytest.raises(errors.Unauthenticated):
            await auth.stub().Refresh(refreshing(signed_in.refresh_token))

    async def test_it_tells_the_gateways_and_the_person(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        principal = await auth.exchange((await auth.sign_in(await auth.person(tenant))).access_token)

        await auth.stub(principal).Logout(auth_pb2.LogoutRequest())
        await auth.stub(principal).Logout(auth_pb2.LogoutRequest())

        (event,) = await outbox(databases, tenant.id, "SessionRevoked")
        assert event["data"] == {"session_id": principal.session_id, "user_id": principal.id, "reason": "logout"}

    async def test_other_sessions_go_on(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        ended, other = await auth.sign_in(person), await auth.sign_in(person)
        principal = await auth.exchange(ended.access_token)

        await auth.stub(principal).Logout(auth_pb2.LogoutRequest())

        assert (await auth.exchange(other.access_token)).id == person.id

    async def test_an_operator_signs_out_without_a_tenant(self, auth: Auth) -> None:
        signed_in = await auth.sign_in(Person("", "operator@switchyard.example"))
        principal = await auth.exchange(signed_in.access_token)

        await auth.stub(principal).Logout(auth_pb2.LogoutRequest())

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(signed_in.access_token)


class TestHeartbeat:
    async def test_it_answers_the_remaining_life(self, auth: Auth, tenant: Tenant) -> None:
        principal = await auth.exchange((await auth.sign_in(await auth.person(tenant))).access_token)

        answer = await auth.stub(principal).Heartbeat(auth_pb2.HeartbeatRequest())

        assert 8 * 3600 - 5 <= answer.expires_in <= 8 * 3600

    async def test_a_session_that_is_over_is_not_revived(self, auth: Auth, tenant: Tenant) -> None:
        principal = await auth.exchange((await auth.sign_in(await auth.person(tenant))).access_token)
        await auth.stub(principal).Logout(auth_pb2.LogoutRequest())

        with pytest.raises(errors.Unauthenticated):
            await auth.stub(principal).Heartbeat(auth_pb2.HeartbeatRequest())

    async def test_a_kiosk_has_none(self, auth: Auth, tenant: Tenant) -> None:
        with pytest.raises(errors.Denied):
            await auth.stub(tenant.kiosk(str(tenant.id))).Heartbeat(auth_pb2.HeartbeatRequest())


class TestForget:
    async def test_long_ended_sessions_are_deleted(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        signed_in = await auth.sign_in(await auth.person(tenant))
        session_id = (await auth.exchange(signed_in.access_token)).session_id
        database = auth.running.service.database

        with clock.shifted(timedelta(days=31)):
            async with database.transaction(identity.service_principal("auth", None)) as session:
                await sessions.forget(session)

        async with superuser(databases) as connection:
            assert not await connection.fetchval("SELECT count(*) FROM sessions WHERE id = $1", session_id)
