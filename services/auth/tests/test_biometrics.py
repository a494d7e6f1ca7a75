"""Keys of devices: who may enrol them, what they open, and what is refused."""

import asyncio
import base64
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from switchyard.auth.v1 import auth_pb2, factors_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.testing import Databases, Tenant
from services.auth.tests.factor_support import someone, statements
from services.auth.tests.support import Auth, Person, admin, outbox, superuser


class Device:
    """A till with a key."""

    def __init__(self, key: Any = None, device_id: str = "") -> None:
        self.key = key or ed25519.Ed25519PrivateKey.generate()
        self.id = device_id or f"till-{uuid7()}"

    @property
    def public_key(self) -> str:
        kind, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return base64.b64encode(self.key.public_key().public_bytes(kind, form)).decode()

    def sign(self, text: str) -> str:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            signed = self.key.sign(text.encode())
        else:
            signed = self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return base64.b64encode(signed).decode()

    def enrolment(self, tenant: Tenant, person: Person, **change: str) -> factors_pb2.RegisterBiometricRequest:
        text = f"switchyard-enrol:{tenant.id}:{person.id}:{self.id}"
        told = {"user_id": person.id, "device_id": self.id, "public_key": self.public_key, "signature": self.sign(text)}
        return factors_pb2.RegisterBiometricRequest(**{**told, **change})

    async def challenge(self, auth: Auth) -> str:
        request = factors_pb2.CreateBiometricChallengeRequest(device_id=self.id)
        return str((await auth.stub().CreateBiometricChallenge(request)).challenge)

    async def login(self, auth: Auth, **change: str) -> auth_pb2.LoginResponse:
        challenge = change.pop("challenge", "") or await self.challenge(auth)
        told = {"device_id": self.id, "challenge": challenge, "signature": self.sign(challenge)}
        answer: auth_pb2.LoginResponse = await auth.stub().BiometricLogin(
            factors_pb2.BiometricLoginRequest(**{**told, **change})
        )
        return answer


async def enrolled(auth: Auth, tenant: Tenant, person: Person, key: Any = None) -> Device:
    device = Device(key)
    await auth.stub(admin(tenant)).RegisterBiometric(device.enrolment(tenant, person))
    return device


async def somebody(auth: Auth, tenant: Tenant, **more: Any) -> Person:
    """Somebody who has signed in with the password."""
    person = await auth.person(tenant, **more)
    await auth.sign_in(person)
    return person


async def refused(auth: Auth, device: Device, **change: str) -> errors.Unauthenticated:
    with pytest.raises(errors.Unauthenticated) as failure:
        await device.login(auth, **change)
    return failure.value


class TestRegister:
    async def test_a_manager_enrols_a_member_of_staff(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person = await somebody(auth, tenant)
        manager, stub = await someone(auth, tenant, role="manager")
        device = Device()

        key = await stub.RegisterBiometric(device.enrolment(tenant, person))

        trail = [entry for entry in await outbox(databases, tenant.id, "aud") if "RegisterBiom" in entry["action"]]
        assert (key.user_id, key.device_id) == (person.id, device.id)
        assert [entry["actor"] for entry in trail] == [f"user:{manager.id}"]
        assert await auth.letter(person.email) == ""

    async def test_who_may_do_less_than_the_user_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant, role="admin")
        _, manager = await someone(auth, tenant, role="manager")

        with pytest.raises(errors.Denied):
            await manager.RegisterBiometric(Device().enrolment(tenant, person))

    async def test_staff_may_not_enrol_anybody(self, auth: Auth, tenant: Tenant) -> None:
        person, stub = await someone(auth, tenant)

        with pytest.raises(errors.Denied):
            await stub.RegisterBiometric(Device().enrolment(tenant, person))

    async def test_a_user_of_sites_that_one_does_not_see_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        mine, theirs = str(uuid7()), str(uuid7())
        person = await somebody(auth, tenant, sites=(theirs,))
        _, manager = await someone(auth, tenant, role="manager", sites=(mine,))

        with pytest.raises(errors.NotFound):
            await manager.RegisterBiometric(Device().enrolment(tenant, person))

    async def test_a_user_of_more_sites_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        mine, theirs = str(uuid7()), str(uuid7())
        person = await somebody(auth, tenant, sites=(mine, theirs))
        _, manager = await someone(auth, tenant, role="manager", sites=(mine,))

        with pytest.raises(errors.Denied):
            await manager.RegisterBiometric(Device().enrolment(tenant, person))

    async def test_a_user_of_another_tenant_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, Tenant())

        for user_id in (person.id, str(uuid4())):
            with pytest.raises(errors.NotFound):
                await auth.stub(admin(tenant)).RegisterBiometric(Device().enrolment(tenant, Person(user_id, "")))

    async def test_a_disabled_user_is_not_found(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant)
        await disable(auth, tenant, person)

        with pytest.raises(errors.NotFound):
            await auth.stub(admin(tenant)).RegisterBiometric(Device().enrolment(tenant, person))

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"signature": base64.b64encode(b"x" * 64).decode()}, "signature"),
            ({"signature": "not base64!"}, "signature"),
            ({"device_id": "another"}, "signature"),
            ({"public_key": base64.b64encode(b"no key").decode()}, "public_key"),
            ({"public_key": "é"}, "public_key"),
            ({"public_key": Device(ec.generate_private_key(ec.SECP384R1())).public_key}, "public_key"),
            ({"public_key": Device(rsa.generate_private_key(65537, 1024)).public_key}, "public_key"),
        ],
    )
    async def test_a_key_that_the_device_does_not_hold_is_refused(
        self, auth: Auth, tenant: Tenant, change: dict[str, str], field: str
    ) -> None:
        person = await somebody(auth, tenant)

        with pytest.raises(errors.Invalid) as failure:
            await auth.stub(admin(tenant)).RegisterBiometric(Device().enrolment(tenant, person, **change))

        assert list(failure.value.fields) == [field]

    async def test_a_proof_for_another_tenant_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant)

        with pytest.raises(errors.Invalid):
            await auth.stub(admin(tenant)).RegisterBiometric(Device().enrolment(Tenant(), person))

    async def test_a_device_has_one_key_for_a_user(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant)
        old = await enrolled(auth, tenant, person)
        new = Device(device_id=old.id)

        await auth.stub(admin(tenant)).RegisterBiometric(new.enrolment(tenant, person))

        await refused(auth, old)
        assert await new.login(auth)


async def disable(auth: Auth, tenant: Tenant, person: Person) -> None:
    disabled = users_pb2.User(id=person.id, status=users_pb2.USER_STATUS_DISABLED)
    request = users_pb2.UpdateUserRequest(id=person.id, user=disabled)
    request.update_mask.paths.append("status")
    await auth.stub(admin(tenant), expected_version="1").UpdateUser(request)


class TestLogin:
    @pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())])
    async def test_it_signs_its_user_in(self, auth: Auth, tenant: Tenant, key: Any) -> None:
        person = await somebody(auth, tenant)
        device = await enrolled(auth, tenant, person, key)

        answer = await device.login(auth)

        assert answer.user.id == person.id
        assert (await auth.exchange(answer.access_token)).tenant_id == tenant.id

    async def test_the_session_is_the_tenants_alone(self, auth: Auth, tenant: Tenant, databases: Databases) -> None:
        person, other = await somebody(auth, tenant), Tenant()
        device = await enrolled(auth, tenant, person)
        async with superuser(databases) as connection:
            await connection.execute(
                "INSERT INTO memberships (tenant_id, user_id, name, role, site_ids, status, version, created_at, "
                "updated_at, consented_at) VALUES ($1, $2, 'x', 'admin', '{}', 'active', 1, now(), now(), now())",
                other.id,
                person.id,
            )

        answer = await device.login(auth)

        assert [access.tenant_id for access in answer.tenants] == [str(tenant.id)]
        with pytest.raises(errors.Denied):
            await auth.exchange(answer.access_token, other)

    async def test_the_session_cannot_change_how_the_user_signs_in(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant)
        device = await enrolled(auth, tenant, person)
        stub = auth.stub(await auth.exchange((await device.login(auth)).access_token))

        with pytest.raises(errors.Unauthenticated) as failure:
            await stub.BeginPasskey(factors_pb2.BeginPasskeyRequest())
        with pytest.raises(errors.Denied):
            await stub.ListPasskeys(factors_pb2.ListPasskeysRequest())

        assert failure.value.code == "STEP_UP_REQUIRED"

    async def test_of_many_with_one_challenge_one_comes_in(self, auth: Auth, tenant: Tenant) -> None:
        device = await enrolled(auth, tenant, await somebody(auth, tenant))
        challenge = await device.challenge(auth)

        calls = [device.login(auth, challenge=challenge) for _ in range(20)]
        answers = await asyncio.gather(*calls, return_exceptions=True)

        assert sum(not isinstance(answer, BaseException) for answer in answers) == 1

    async def test_a_late_answer_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        device = await enrolled(auth, tenant, await somebody(auth, tenant))
        challenge = await device.challenge(auth)

        with clock.shifted(timedelta(minutes=2, seconds=1)):
            await refused(auth, device, challenge=challenge)

    async def test_the_challenge_of_another_device_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        device = await enrolled(auth, tenant, await somebody(auth, tenant))
        challenge = await Device().challenge(auth)

        await refused(auth, device, challenge=challenge)

    @pytest.mark.parametrize("challenge", ["x", "switchyard-enrol:a:b:c"])
    async def test_a_challenge_that_was_never_given_is_refused(
        self, auth: Auth, tenant: Tenant, challenge: str
    ) -> None:
        device = await enrolled(auth, tenant, await somebody(auth, tenant))

        await refused(auth, device, challenge=challenge)

    async def test_without_a_password_login_within_30_days_it_is_asked_for(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant)
        device = await enrolled(auth, tenant, person)

        with clock.shifted(timedelta(days=31)):
            failure = await refused(auth, device)
            await auth.sign_in(person)
            assert await device.login(auth)

        assert failure.code == "PASSWORD_LOGIN_REQUIRED"

    async def test_who_never_signed_in_with_the_password_is_asked_for_it(self, auth: Auth, tenant: Tenant) -> None:
        device = await enrolled(auth, tenant, await auth.person(tenant))

        assert (await refused(auth, device)).code == "PASSWORD_LOGIN_REQUIRED"

    async def test_a_disabled_user_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        person = await somebody(auth, tenant)
        device = await enrolled(auth, tenant, person)
        await disable(auth, tenant, person)

        await refused(auth, device)

    async def test_who_holds_keys_of_several_says_whose(self, auth: Auth, tenant: Tenant) -> None:
        first, second = await somebody(auth, tenant), await somebody(auth, tenant)
        device = await enrolled(auth, tenant, first)
        other = Device(device_id=device.id)
        await auth.stub(admin(tenant)).RegisterBiometric(other.enrolment(tenant, second))

        assert (await other.login(auth)).user.id == second.id
        assert (await device.login(auth, user_id=first.id)).user.id == first.id
        await refused(auth, device, user_id=second.id)

    async def test_the_unknown_is_answered_as_the_known(self, auth: Auth, tenant: Tenant) -> None:
        known = await enrolled(auth, tenant, await somebody(auth, tenant))
        known.key = ed25519.Ed25519PrivateKey.generate()

        failures, counted = [], []
        for device in (known, Device()):
            challenge = await device.challenge(auth)
            async with statements(auth) as asked:
                failures.append(await refused(auth, device, challenge=challenge))
            counted.append(asked)

        assert len({(failure.message, failure.code) for failure in failures}) == 1
        assert counted[0] == counted[1]

    async def test_many_bad_answers_make_wait(self, auth: Auth, tenant: Tenant) -> None:
        device = await enrolled(auth, tenant, await somebody(auth, tenant))
        device.key = ed25519.Ed25519PrivateKey.generate()

        for _ in range(5):
            await refused(auth, device)
        with pytest.raises(errors.Exhausted):
            await device.login(auth)
