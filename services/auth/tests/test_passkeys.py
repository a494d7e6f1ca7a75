"""Passkeys: registered by their person, signed in with once per challenge, refused in every other way."""

import asyncio
import base64
from datetime import timedelta
from typing import Any

import orjson
import pytest
from switchyard.auth.v1 import auth_pb2, factors_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant
from services.auth.__main__ import build
from services.auth.passkeys import Party
from services.auth.settings import AuthSettings
from services.auth.tests.factor_support import (
    UP,
    UV,
    Authenticator,
    login_options,
    passkey_login,
    plain,
    signed_in,
    someone,
    statements,
    struct,
    with_passkey,
)
from services.auth.tests.support import CHEAP, Auth, admin, outbox, superuser

LIST = factors_pb2.ListPasskeysRequest()


async def refused(auth: Auth, credential: dict[str, Any]) -> errors.Unauthenticated:
    with pytest.raises(errors.Unauthenticated) as failure:
        await passkey_login(auth, credential)
    return failure.value


async def not_registered(stub: Any, authenticator: Authenticator, **change: Any) -> list[str]:
    options = plain(await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()))
    with pytest.raises(errors.Invalid) as failure:
        await stub.RegisterPasskey(
            factors_pb2.RegisterPasskeyRequest(credential=struct(authenticator.create({**options, **change})))
        )
    return list(failure.value.fields)


class TestParty:
    @pytest.mark.parametrize(
        ("url", "host", "origins"),
        [
            ("https://suite.example", "suite.example", ("https://suite.example",)),
            ("http://127.0.0.1:8000", "localhost", ("http://127.0.0.1:8000", "http://localhost:8000")),
            ("http://[::1]:9000", "localhost", ("http://[::1]:9000", "http://localhost:9000")),
            ("http://localhost:8000", "localhost", ("http://localhost:8000",)),
        ],
    )
    async def test_it_follows_from_the_public_url(
        self, auth: Auth, url: str, host: str, origins: tuple[str, ...]
    ) -> None:
        settings: Any = auth.running.service.settings

        party = Party.of(settings.model_copy(update={"public_url": url}))

        assert (party.id, party.origins) == (host, origins)

    async def test_further_origins_are_taken_too(self, auth: Auth) -> None:
        settings: Any = auth.running.service.settings
        told = {"public_url": "https://suite.example", "webauthn_origins": "https://a.example, https://b.example"}

        assert Party.of(settings.model_copy(update=told)).origins[1:] == ("https://a.example", "https://b.example")


class TestRegister:
    async def test_it_is_listed_and_signs_in(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)

        authenticator = await with_passkey(stub, name="Mira's phone")

        (listed,) = (await stub.ListPasskeys(LIST)).passkeys
        answer = await passkey_login(auth, authenticator.get(await login_options(auth)))
        assert listed.name == "Mira's phone"
        assert answer.user.id == person.id

    async def test_the_options_ask_for_verification_and_know_what_there_is(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)

        options = plain(await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()))

        assert options["authenticatorSelection"]["userVerification"] == "required"
        assert options["attestation"] == "none"
        excluded = [base64.urlsafe_b64decode(each["id"] + "==") for each in options["excludeCredentials"]]
        assert excluded == [authenticator.id]

    async def test_the_same_one_is_not_registered_twice(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        _, other = await someone(auth, tenant)

        with pytest.raises(errors.AlreadyExists):
            await with_passkey(other, authenticator)

    async def test_a_challenge_works_once(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        options = plain(await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()))
        requests = [
            factors_pb2.RegisterPasskeyRequest(credential=struct(Authenticator().create(options))) for _ in range(10)
        ]

        answers = await asyncio.gather(*(stub.RegisterPasskey(each) for each in requests), return_exceptions=True)

        assert sum(not isinstance(answer, BaseException) for answer in answers) == 1

    async def test_anothers_challenge_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        _, other = await someone(auth, tenant)
        theirs = plain(await other.BeginPasskey(factors_pb2.BeginPasskeyRequest()))

        assert await not_registered(stub, Authenticator(), challenge=theirs["challenge"]) == ["credential"]

    async def test_a_challenge_for_signing_in_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        challenge = (await login_options(auth))["challenge"]

        assert await not_registered(stub, Authenticator(), challenge=challenge) == ["credential"]

    async def test_a_late_answer_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        options = plain(await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()))

        request = factors_pb2.RegisterPasskeyRequest(credential=struct(Authenticator().create(options)))

        with clock.shifted(timedelta(minutes=5, seconds=1)), pytest.raises(errors.Invalid):
            await stub.RegisterPasskey(request)

    @pytest.mark.parametrize(
        "authenticator",
        [
            Authenticator(origin="https://evil.example"),
            Authenticator(origin="http://localhost:8001"),
            Authenticator(rp_id="evil.example"),
            Authenticator(flags=UP),
            Authenticator(flags=UV),
        ],
        ids=["origin", "port", "party", "not verified", "not present"],
    )
    async def test_it_is_refused_for(self, auth: Auth, tenant: Tenant, authenticator: Authenticator) -> None:
        _, stub = await someone(auth, tenant)

        assert await not_registered(stub, authenticator) == ["credential"]

    async def test_the_person_is_told_and_the_trail_too(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, stub = await someone(auth, tenant)

        await with_passkey(stub)

        trail = [entry for entry in await outbox(databases, tenant.id, "aud") if "RegisterPasskey" in entry["action"]]
        assert await auth.letter(person.email) == ""
        assert [entry["actor"] for entry in trail] == [f"user:{person.id}"]


class TestDelete:
    async def test_it_signs_in_no_more(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        (listed,) = (await stub.ListPasskeys(LIST)).passkeys

        await stub.DeletePasskey(factors_pb2.DeletePasskeyRequest(id=listed.id))

        assert not (await stub.ListPasskeys(LIST)).passkeys
        await refused(auth, authenticator.get(await login_options(auth)))

    async def test_anothers_stays(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        await with_passkey(stub)
        (listed,) = (await stub.ListPasskeys(LIST)).passkeys
        _, other = await someone(auth, tenant)

        with pytest.raises(errors.NotFound):
            await other.DeletePasskey(factors_pb2.DeletePasskeyRequest(id=listed.id))

        assert (await stub.ListPasskeys(LIST)).passkeys


class TestLogin:
    async def test_by_address_too(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)

        options = await login_options(auth, person.email)

        allowed = [base64.urlsafe_b64decode(each["id"] + "==") for each in options["allowCredentials"]]
        assert allowed == [authenticator.id]
        assert (await passkey_login(auth, authenticator.get(options))).user.id == person.id

    async def test_the_session_tells_its_method(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)

        await passkey_login(auth, authenticator.get(await login_options(auth)))

        async with superuser(databases) as connection:
            methods = await connection.fetch("SELECT method FROM sessions WHERE user_id = $1 ORDER BY id", person.id)
        assert [row["method"] for row in methods] == ["password", "passkey"]

    async def test_an_answer_is_taken_once(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        credential = authenticator.get(await login_options(auth))

        calls = [passkey_login(auth, credential) for _ in range(20)]
        answers = await asyncio.gather(*calls, return_exceptions=True)

        assert sum(not isinstance(answer, BaseException) for answer in answers) == 1

    async def test_two_answers_to_one_challenge_are_not_both_taken(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        options = await login_options(auth)
        first, second = authenticator.get(options), authenticator.get(options)
        await passkey_login(auth, first)

        await refused(auth, second)

    async def test_a_late_answer_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        credential = authenticator.get(await login_options(auth))

        with clock.shifted(timedelta(minutes=5, seconds=1)):
            await refused(auth, credential)

    async def test_a_challenge_for_registering_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        options = plain(await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest()))

        await refused(auth, authenticator.get(options))

    @pytest.mark.parametrize(
        "change",
        [
            {"origin": "https://evil.example"},
            {"rp_id": "evil.example"},
            {"flags": UP},
            {"flags": UV},
            {"user_handle": b"somebody else's id"},
            {"id": b"a passkey that nobody has"},
            {"key": Authenticator().key},
        ],
        ids=["origin", "party", "not verified", "not present", "handle", "id", "key"],
    )
    async def test_it_is_refused_for(self, auth: Auth, tenant: Tenant, change: dict[str, Any]) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        vars(authenticator).update(change)

        failure = await refused(auth, authenticator.get(await login_options(auth)))

        assert failure.code == "UNAUTHENTICATED"

    @pytest.mark.parametrize("count", [1, 0])
    async def test_a_counter_that_does_not_go_up_is_suspected(
        self, auth: Auth, tenant: Tenant, databases: Databases, count: int
    ) -> None:
        person, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        await passkey_login(auth, authenticator.get(await login_options(auth)))
        authenticator.counter = count - 1

        failure = await refused(auth, authenticator.get(await login_options(auth)))

        trail = [entry for entry in await outbox(databases, tenant.id, "aud") if entry.get("error_code")]
        assert failure.code == "PASSKEY_SUSPECTED"
        assert [(entry["error_code"], entry["subject"]) for entry in trail] == [
            ("PASSKEY_SUSPECTED", f"user:{person.id}")
        ]

    async def test_one_without_a_counter_is_taken(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)

        for _ in range(2):
            authenticator.counter = -1
            assert await passkey_login(auth, authenticator.get(await login_options(auth)))

    async def test_a_disabled_user_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        disabled = users_pb2.User(id=person.id, status=users_pb2.USER_STATUS_DISABLED)
        request = users_pb2.UpdateUserRequest(id=person.id, user=disabled)
        request.update_mask.paths.append("status")
        await auth.stub(admin(tenant), expected_version="1").UpdateUser(request)

        await refused(auth, authenticator.get(await login_options(auth)))

    @pytest.mark.parametrize(
        "credential",
        [
            {},
            {"id": 7},
            {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": "x"},
            {"id": "é", "rawId": "é", "type": "public-key", "response": {"clientDataJSON": "AAAA"}},
            {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"clientDataJSON": None}},
            {"id": ["A"], "response": {"clientDataJSON": base64.b64encode(b'{"type":1}').decode()}},
        ],
    )
    async def test_nonsense_is_refused(self, auth: Auth, credential: dict[str, Any]) -> None:
        await refused(auth, credential)

    async def test_many_bad_answers_make_wait(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub, Authenticator())
        authenticator.key = Authenticator().key

        failures = []
        for _ in range(6):
            with pytest.raises(errors.Error) as failure:
                await passkey_login(auth, authenticator.get(await login_options(auth)))
            failures.append(failure.value)

        assert isinstance(failures[-1], errors.Exhausted)


class TestUnknownAddress:
    async def test_it_is_told_of_a_passkey_always_the_same(self, auth: Auth) -> None:
        email = f"{uuid7()}@nobody.example"

        first, second = await login_options(auth, email), await login_options(auth, email)

        assert first["allowCredentials"] == second["allowCredentials"]
        assert first["challenge"] != second["challenge"]

    async def test_it_cannot_be_told_from_a_known_one(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_passkey(stub)
        without = await auth.person(tenant)

        shapes = {
            self.shape(await login_options(auth, email))
            for email in (person.email, without.email, f"{uuid7()}@nobody.example")
        }

        assert len(shapes) == 1

    async def test_it_is_as_much_work_as_a_known_one(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        await with_passkey(stub)
        without = await auth.person(tenant)

        counted = []
        for email in (person.email, without.email, f"{uuid7()}@nobody.example"):
            async with statements(auth) as asked:
                await login_options(auth, email)
            counted.append(asked)

        assert counted[0] == counted[1] == counted[2]

    async def test_its_passkey_is_refused_as_a_known_one(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        known, decoy = await with_passkey(stub), Authenticator()
        known.key = Authenticator().key
        options = await login_options(auth, f"{uuid7()}@nobody.example")
        decoy.id = base64.urlsafe_b64decode(options["allowCredentials"][0]["id"] + "==")

        answers, counted = [], []
        for authenticator in (known, decoy):
            credential = authenticator.get(await login_options(auth))
            async with statements(auth) as asked:
                failure = await refused(auth, credential)
            answers.append((failure.message, failure.code))
            counted.append(asked)

        assert answers[0] == answers[1]
        assert counted[0] == counted[1]

    def shape(self, options: dict[str, Any]) -> bytes:
        (allowed,) = options.pop("allowCredentials")
        return orjson.dumps([sorted(options), options["rpId"], sorted(allowed), allowed["type"]])

    async def test_another_process_tells_the_same(self, auth: Auth, serve: Serve) -> None:
        other = Auth(await serve("auth", build, settings=AuthSettings, **CHEAP))
        email = f"{uuid7()}@nobody.example"

        here, there = await login_options(auth, email), await login_options(other, email)

        assert here["allowCredentials"] == there["allowCredentials"]


class TestProcesses:
    async def test_a_challenge_of_one_is_answered_at_another(self, auth: Auth, serve: Serve, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        other = Auth(await serve("auth", build, settings=AuthSettings, **CHEAP))

        answer = await passkey_login(other, authenticator.get(await login_options(auth)))

        assert answer.user.id == person.id


class TestStepUp:
    async def test_the_password_is_too_little_where_there_is_a_passkey(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        await with_passkey(stub)

        with pytest.raises(errors.Unauthenticated) as failure:
            await stub.StepUp(auth_pb2.StepUpRequest(password="tall ships in the harbour"))

        assert failure.value.code == "MFA_REQUIRED"

    async def test_a_passkey_is_enough(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        authenticator = await with_passkey(stub)
        answer = struct(authenticator.get(await login_options(auth)))

        assert await stub.StepUp(auth_pb2.StepUpRequest(passkey=answer))

    async def test_anothers_passkey_is_nothing(self, auth: Auth, tenant: Tenant) -> None:
        _, stub = await someone(auth, tenant)
        other_person, other = await someone(auth, tenant)
        authenticator = await with_passkey(other)
        assert await signed_in(auth, other_person)

        answer = struct(authenticator.get(await login_options(auth)))
        with pytest.raises(errors.Unauthenticated):
            await stub.StepUp(auth_pb2.StepUpRequest(passkey=answer))
