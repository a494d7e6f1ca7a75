"""One-time and recovery codes: enrolled, asked for at sign-in, good once."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pyotp
import pytest
from switchyard.auth.v1 import auth_pb2, factors_pb2

from chassis import clock, errors, identity
from chassis.testing import Databases, Tenant
from services.auth import factor_store, store, totp
from services.auth.tests.factor_support import Totp, signed_in, someone, with_totp
from services.auth.tests.support import PASSWORD, Auth, Person, outbox, superuser

ENOUGH = 20


@pytest.fixture(autouse=True)
def middle_of_a_step() -> Iterator[None]:
    """No step ends while a test counts them: its clock runs behind, to the beginning of one."""
    with clock.shifted(timedelta(seconds=-(clock.now().timestamp() - 5) % -30)):
        yield


async def refusal(auth: Auth, person: Person, **login: Any) -> errors.Error:
    with pytest.raises(errors.Error) as refused:
        await signed_in(auth, person, **login)
    return refused.value


async def succeeded(calls: list[Any]) -> int:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    return sum(not isinstance(answer, BaseException) for answer in answers)


class TestBeginTotp:
    async def test_the_app_is_told_in_three_ways(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)

        told = await stub.BeginTotp(factors_pb2.BeginTotpRequest())

        app = pyotp.parse_uri(told.otpauth_uri)
        assert isinstance(app, pyotp.TOTP)
        assert (app.secret, app.issuer, app.name) == (told.secret, "Switchyard", person.email)
        assert told.qr_svg.startswith("<svg")

    async def test_it_does_not_count_before_it_is_confirmed(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)

        await stub.BeginTotp(factors_pb2.BeginTotpRequest())

        assert await signed_in(auth, person)

    async def test_a_second_beginning_replaces_the_first(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        first = await stub.BeginTotp(factors_pb2.BeginTotpRequest())

        second = await stub.BeginTotp(factors_pb2.BeginTotpRequest())

        with pytest.raises(errors.Invalid):
            await stub.ConfirmTotp(factors_pb2.ConfirmTotpRequest(otp=pyotp.TOTP(first.secret).at(clock.now())))
        assert await stub.ConfirmTotp(factors_pb2.ConfirmTotpRequest(otp=pyotp.TOTP(second.secret).at(clock.now())))

    async def test_who_has_one_must_give_it_up_first(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        await with_totp(stub)

        with pytest.raises(errors.AlreadyExists):
            await stub.BeginTotp(factors_pb2.BeginTotpRequest())

    async def test_the_seed_is_sealed_and_not_in_the_trail(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person, stub = await someone(auth, tenant)

        told = await stub.BeginTotp(factors_pb2.BeginTotpRequest())

        async with superuser(databases) as connection:
            sealed = await connection.fetchval("SELECT sealed FROM totp_factors WHERE user_id = $1", person.id)
        assert told.secret.encode() not in sealed
        assert told.secret not in str(await outbox(databases, tenant.id, "aud"))

    async def test_a_session_that_is_not_wholly_ones_own_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        signed = await auth.exchange((await auth.sign_in(person)).access_token)
        without = identity.Principal("user", person.id, tenant.id, "", authenticated_at=signed.authenticated_at)

        with pytest.raises(errors.Denied):
            await auth.stub(without).BeginTotp(factors_pb2.BeginTotpRequest())


class TestConfirmTotp:
    async def test_there_are_ten_codes_of_80_bits(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        codes = (await with_totp(stub)).codes

        assert len(set(codes)) == 10
        assert all(len(code.replace("-", "")) * 5 == 80 for code in codes)

    async def test_a_wrong_code_confirms_nothing(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        begun = await stub.BeginTotp(factors_pb2.BeginTotpRequest())
        wrong = pyotp.TOTP(begun.secret).at(clock.now(), counter_offset=5)

        with pytest.raises(errors.Invalid) as refused:
            await stub.ConfirmTotp(factors_pb2.ConfirmTotpRequest(otp=wrong))

        assert set(refused.value.fields) == {"otp"}
        assert await signed_in(auth, person)

    async def test_an_enrolment_that_was_left_lying_is_over(self, auth: Auth, tenant: Tenant) -> None:
        principal = await auth.exchange((await auth.sign_in(await auth.person(tenant))).access_token)
        begun = await auth.stub(principal).BeginTotp(factors_pb2.BeginTotpRequest())
        later = auth.stub(replace(principal, authenticated_at=principal.authenticated_at + 16 * 60))

        with clock.shifted(timedelta(minutes=16)):
            code = pyotp.TOTP(begun.secret).at(clock.now())
            with pytest.raises(errors.NotFound):
                await later.ConfirmTotp(factors_pb2.ConfirmTotpRequest(otp=code))

    async def test_the_person_is_told(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, stub = await someone(auth, tenant)

        await with_totp(stub)

        # A letter without a token is a letter.
        assert await auth.letter(person.email) == ""

    async def test_it_is_in_the_trail(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, stub = await someone(auth, tenant)

        await with_totp(stub)

        trail = [entry for entry in await outbox(databases, tenant.id, "aud") if "ConfirmTotp" in entry["action"]]
        assert [entry["actor"] for entry in trail] == [f"user:{person.id}"]
        assert f"totp_factors/{person.id}" in trail[0]["resources"]


class TestLogin:
    async def test_without_a_code_the_right_password_is_told_to_bring_one(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)

        refused = await refusal(auth, person)

        assert isinstance(refused, errors.Unauthenticated)
        assert refused.code == "MFA_REQUIRED"

    async def test_the_wrong_password_is_not_told(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)

        refused = await refusal(auth, person, password="not the right one")

        assert refused.code == "UNAUTHENTICATED"

    @pytest.mark.parametrize("steps", [0, 1])
    async def test_a_code_of_this_or_the_next_step_opens_a_session(
        self, auth: Auth, tenant: Tenant, databases: Databases, steps: int
    ) -> None:
        person, stub = await someone(auth, tenant)
        app = await with_totp(stub)

        assert await signed_in(auth, person, otp=app.code(steps=steps))

        async with superuser(databases) as connection:
            methods = await connection.fetch("SELECT method FROM sessions WHERE user_id = $1 ORDER BY id", person.id)
        assert [row["method"] for row in methods] == ["password", "otp"]

    @pytest.mark.parametrize("steps", [-2, 2, 3])
    async def test_a_code_of_another_step_is_refused(self, auth: Auth, tenant: Tenant, steps: int) -> None:
        person, stub = await someone(auth, tenant)
        app = await with_totp(stub)

        assert (await refusal(auth, person, otp=app.code(steps=steps))).code == "UNAUTHENTICATED"

    async def test_a_code_works_once(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        code = (await with_totp(stub)).code(steps=1)
        await signed_in(auth, person, otp=code)

        assert (await refusal(auth, person, otp=code)).code == "UNAUTHENTICATED"

    async def test_the_code_that_confirmed_is_used(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        app = await with_totp(stub)

        assert (await refusal(auth, person, otp=app.code(steps=-1))).code == "UNAUTHENTICATED"

    async def test_an_earlier_code_is_refused_after_a_later_one(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        app = await with_totp(stub)
        await signed_in(auth, person, otp=app.code(steps=1))

        assert (await refusal(auth, person, otp=app.code())).code == "UNAUTHENTICATED"

    async def test_of_many_at_once_with_one_code_one_comes_in(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        code = (await with_totp(stub)).code(steps=1)

        assert await succeeded([signed_in(auth, person, otp=code) for _ in range(ENOUGH)]) == 1

    async def test_of_many_at_once_with_one_recovery_code_one_comes_in(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        code = (await with_totp(stub)).codes[3]

        assert await succeeded([signed_in(auth, person, otp=code) for _ in range(ENOUGH)]) == 1

    @pytest.mark.parametrize("typed", ["{}", " {} ", "{lower}", "{bare}"])
    async def test_a_recovery_code_may_be_typed_in_any_way(self, auth: Auth, tenant: Tenant, typed: str) -> None:
        person, stub = await someone(auth, tenant)
        code = (await with_totp(stub)).codes[0]

        assert await signed_in(auth, person, otp=typed.format(code, lower=code.lower(), bare=code.replace("-", "")))

    async def test_anothers_recovery_code_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)
        _, other = await someone(auth, tenant)
        codes = (await with_totp(other)).codes

        assert (await refusal(auth, person, otp=codes[0])).code == "UNAUTHENTICATED"

    async def test_wrong_codes_make_wait(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)

        refused = [await refusal(auth, person, otp="000000") for _ in range(6)]

        assert isinstance(refused[-1], errors.Exhausted)

    async def test_asking_which_code_is_needed_gives_no_further_tries(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)

        refused = []
        for _ in range(6):
            await refusal(auth, person)
            refused.append(await refusal(auth, person, otp="000000"))

        assert isinstance(refused[-1], errors.Exhausted)

    async def test_being_told_to_bring_a_code_is_no_failure(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        app = await with_totp(stub)

        for _ in range(10):
            assert (await refusal(auth, person)).code == "MFA_REQUIRED"

        assert await signed_in(auth, person, otp=app.code(steps=1))


class TestGuard:
    """Past the limit of attempts, which would hide a race: the statements themselves, in transactions of their own."""

    async def test_a_step_is_used_once(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)
        step = int(clock.now().timestamp()) // 30 + 1

        used = await asyncio.gather(*(self.used(auth, person, step=step) for _ in range(ENOUGH)))

        assert used.count(True) == 1

    async def test_a_recovery_code_is_used_once(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        code = (await with_totp(stub)).codes[0]

        used = await asyncio.gather(*(self.used(auth, person, code=code) for _ in range(ENOUGH)))

        assert used.count(True) == 1

    async def used(self, auth: Auth, person: Person, *, step: int = 0, code: str = "") -> bool:
        async with auth.running.service.database.transaction(identity.service_principal("auth", None)) as session:
            user_id = UUID(person.id)
            await store.act_as(session, user_id)
            if code:
                digest = totp._digest(code)
                return await factor_store.spend_recovery_code(session, user_id, digest, clock.now())
            return await factor_store.spend_step(session, user_id, step)


class TestCreateRecoveryCodes:
    async def test_the_old_ones_end(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        old = (await with_totp(stub)).codes

        new = await stub.CreateRecoveryCodes(factors_pb2.CreateRecoveryCodesRequest())

        assert (await refusal(auth, person, otp=old[0])).code == "UNAUTHENTICATED"
        assert await signed_in(auth, person, otp=new.codes[0])

    async def test_without_an_authenticator_there_are_none(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        with pytest.raises(errors.NotFound):
            await stub.CreateRecoveryCodes(factors_pb2.CreateRecoveryCodesRequest())


class TestDeleteTotp:
    async def test_the_password_is_enough_again_and_codes_end(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person, stub = await someone(auth, tenant)
        await with_totp(stub)

        await stub.DeleteTotp(factors_pb2.DeleteTotpRequest())

        assert await signed_in(auth, person)
        async with superuser(databases) as connection:
            left = await connection.fetchval("SELECT count(*) FROM recovery_codes WHERE user_id = $1", person.id)
        assert left == 0

    async def test_again_is_harmless(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        for _ in range(2):
            await stub.DeleteTotp(factors_pb2.DeleteTotpRequest())


class TestStepUp:
    @pytest.fixture
    async def enrolled(self, auth: Auth, tenant: Tenant) -> tuple[Any, Totp]:
        _, stub = await someone(auth, tenant)
        return stub, await with_totp(stub)

    async def test_the_password_is_enough_where_there_is_nothing_else(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        assert (await stub.StepUp(auth_pb2.StepUpRequest(password=PASSWORD))).expires_in == 600

    async def test_a_wrong_password_is_refused_and_counted(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        refused = []
        for _ in range(6):
            with pytest.raises(errors.Error) as failure:
                await stub.StepUp(auth_pb2.StepUpRequest(password="not the right one"))
            refused.append(failure.value)

        assert isinstance(refused[0], errors.Unauthenticated)
        assert isinstance(refused[-1], errors.Exhausted)

    async def test_the_password_is_too_little_where_there_is_an_authenticator(self, enrolled: tuple[Any, Totp]) -> None:
        stub, _ = enrolled

        with pytest.raises(errors.Unauthenticated) as refused:
            await stub.StepUp(auth_pb2.StepUpRequest(password=PASSWORD))

        assert refused.value.code == "MFA_REQUIRED"

    async def test_a_code_is_enough(self, enrolled: tuple[Any, Totp]) -> None:
        stub, app = enrolled

        assert await stub.StepUp(auth_pb2.StepUpRequest(otp=app.code(steps=1)))

    async def test_a_recovery_code_is_enough_once(self, enrolled: tuple[Any, Totp]) -> None:
        stub, app = enrolled

        calls = [stub.StepUp(auth_pb2.StepUpRequest(otp=app.codes[0])) for _ in range(ENOUGH)]
        assert await succeeded(calls) == 1

    async def test_a_code_is_nothing_where_there_is_no_authenticator(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        with pytest.raises(errors.Unauthenticated):
            await stub.StepUp(auth_pb2.StepUpRequest(otp="123456"))
