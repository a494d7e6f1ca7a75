"""Forgotten and changed passwords: by letter, once, and nobody learns who has an account."""

import asyncio
from datetime import timedelta

import pytest
from switchyard.auth.v1 import factors_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Tenant
from services.auth.tests.factor_support import (
    Authenticator,
    login_options,
    passkey_login,
    signed_in,
    someone,
    statements,
    with_passkey,
    with_totp,
)
from services.auth.tests.support import PASSWORD, Auth, Person, outbox, superuser

NEW = "a lighthouse on the other shore"


async def forget(auth: Auth, email: str) -> None:
    await auth.stub().ForgotPassword(factors_pb2.ForgotPasswordRequest(email=email))


async def token_of(auth: Auth, databases: Databases, person: Person) -> str:
    """The token of the letter that a request brings."""
    await forget(auth, person.email)
    async with superuser(databases) as connection:
        while await connection.fetchval("SELECT count(*) FROM password_requests"):
            await asyncio.sleep(0.05)
    return await auth.letter(person.email)


async def reset(auth: Auth, token: str, password: str = NEW) -> None:
    await auth.stub().ResetPassword(factors_pb2.ResetPasswordRequest(token=token, password=password))


async def refused(auth: Auth, token: str) -> str:
    with pytest.raises(errors.Unauthenticated) as failure:
        await reset(auth, token)
    return failure.value.code


def change(new: str = NEW, current: str = PASSWORD) -> factors_pb2.ChangePasswordRequest:
    return factors_pb2.ChangePasswordRequest(current_password=current, new_password=new)


class TestForgotPassword:
    async def test_the_unknown_is_as_much_work_as_the_known(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        counted = []
        for email in (person.email, f"{uuid7()}@nobody.example"):
            async with statements(auth) as asked:
                await forget(auth, email)
            counted.append(asked)

        assert counted[0] == counted[1]

    async def test_the_unknown_gets_no_letter(self, auth: Auth, databases: Databases) -> None:
        email = f"{uuid7()}@nobody.example"

        await token_of_nobody(auth, databases, email)

        with pytest.raises(StopAsyncIteration):
            await no_letter(auth, email)

    async def test_neither_the_address_nor_the_token_can_be_read(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)

        token = await token_of(auth, databases, person)

        async with superuser(databases) as connection:
            kept = await connection.fetch("SELECT encode(hash, 'escape') FROM password_resets")
        assert token.startswith("pwr_")
        assert token not in str(kept)
        assert token not in str(await outbox(databases, tenant.id, "aud"))

    async def test_asking_again_and_again_makes_wait_but_not_at_sign_in(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)

        for _ in range(5):
            await forget(auth, person.email)
        with pytest.raises(errors.Exhausted):
            await forget(auth, person.email)

        assert await signed_in(auth, person)


async def token_of_nobody(auth: Auth, databases: Databases, email: str) -> None:
    await forget(auth, email)
    async with superuser(databases) as connection:
        while await connection.fetchval("SELECT count(*) FROM password_requests"):
            await asyncio.sleep(0.05)


async def no_letter(auth: Auth, email: str) -> None:
    try:
        await auth.letter(email)
    except (StopIteration, RuntimeError) as failure:
        raise StopAsyncIteration from failure


class TestResetPassword:
    async def test_the_new_one_is_taken_and_the_old_one_is_not(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)

        await reset(auth, await token_of(auth, databases, person))

        with pytest.raises(errors.Unauthenticated):
            await signed_in(auth, person)
        assert await signed_in(auth, person, password=NEW)

    async def test_of_many_at_once_one_is_taken(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)
        token = await token_of(auth, databases, person)
        words = [f"{NEW} {number}" for number in range(20)]

        answers = await asyncio.gather(*(reset(auth, token, word) for word in words), return_exceptions=True)

        (taken,) = [word for word, answer in zip(words, answers, strict=True) if answer is None]
        assert await signed_in(auth, person, password=taken)

    async def test_a_token_of_before_ends_with_the_one_that_is_used(
        self, auth: Auth, tenant: Tenant, databases: Databases
    ) -> None:
        person = await auth.person(tenant)
        first, second = await token_of(auth, databases, person), await token_of(auth, databases, person)
        await reset(auth, second)

        assert await refused(auth, first) == "UNAUTHENTICATED"

    async def test_a_late_token_is_refused(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        token = await token_of(auth, databases, await auth.person(tenant))

        with clock.shifted(timedelta(minutes=31)):
            assert await refused(auth, token) == "TOKEN_EXPIRED"

    @pytest.mark.parametrize("token", ["pwr_nothing", "x", "rt_0000", "é" * 100])
    async def test_nonsense_is_refused(self, auth: Auth, token: str) -> None:
        assert await refused(auth, token) == "UNAUTHENTICATED"

    async def test_all_sessions_end(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)
        tokens = [(await auth.sign_in(person)).access_token for _ in range(2)]

        await reset(auth, await token_of(auth, databases, person))

        for access_token in tokens:
            with pytest.raises(errors.Unauthenticated):
                await auth.exchange(access_token)
        told = await outbox(databases, tenant.id, "SessionRevoked")
        assert [each["data"]["reason"] for each in told] == ["password_changed"] * 2

    async def test_a_weak_one_leaves_the_token_good(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)
        token = await token_of(auth, databases, person)

        for weak in ("short", "qwertyuiop123", person.email):
            with pytest.raises(errors.Invalid) as failure:
                await reset(auth, token, weak)
            assert list(failure.value.fields) == ["password"]

        await reset(auth, token)

    async def test_it_does_not_take_factors_away(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub, Authenticator())
        await with_totp(stub)

        await reset(auth, await token_of(auth, databases, person))

        with pytest.raises(errors.Unauthenticated) as failure:
            await signed_in(auth, person, password=NEW)
        assert failure.value.code == "MFA_REQUIRED"
        assert await passkey_login(auth, authenticator.get(await login_options(auth)))

    async def test_the_person_is_told_and_the_trail_too(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await auth.person(tenant)

        await reset(auth, await token_of(auth, databases, person))

        trail = [entry for entry in await outbox(databases, tenant.id, "aud") if "ResetPassword" in entry["action"]]
        assert await auth.letter(person.email) == ""
        assert [(entry["actor"], entry["changes"][f"users/{person.id}"]["after"]) for entry in trail] == [
            (f"user:{person.id}", {"password": "***"})
        ]


class TestChangePassword:
    async def test_the_new_one_is_taken_and_this_session_goes_on(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        elsewhere = (await auth.sign_in(person)).access_token

        await stub.ChangePassword(change())

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(elsewhere)
        with pytest.raises(errors.Unauthenticated):
            await signed_in(auth, person)
        assert await signed_in(auth, person, password=NEW)
        await stub.ChangePassword(change(PASSWORD, NEW))

    async def test_the_current_one_is_needed_and_tries_are_counted(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        failures = []
        for _ in range(6):
            with pytest.raises(errors.Error) as failure:
                await stub.ChangePassword(change(current="not the right one"))
            failures.append(failure.value)

        assert list(failures[0].fields) == ["current_password"]
        assert isinstance(failures[-1], errors.Exhausted)

    async def test_a_weak_one_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)

        with pytest.raises(errors.Invalid) as failure:
            await stub.ChangePassword(change("qwertyuiop123"))

        assert list(failure.value.fields) == ["new_password"]

    async def test_letters_of_before_are_void(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, stub = await someone(auth, tenant)
        token = await token_of(auth, databases, person)

        await stub.ChangePassword(change())

        assert await refused(auth, token) == "UNAUTHENTICATED"
        assert await auth.letter(person.email) == ""
