"""The exchange: which credentials are taken, what they become, and what they never become."""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from switchyard.auth.v1 import auth_pb2, users_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors, identity
from chassis.testing import Serve, Tenant, signing_key
from services.auth import access_tokens, roles
from services.auth.__main__ import build
from services.auth.settings import AuthSettings
from services.auth.tests.support import CHEAP, OPERATOR_EMAIL, PASSWORD, ROOT_SECRET, Auth, Person, admin


def service_credential(name: str, secret: str = ROOT_SECRET) -> str:
    return f"svc_{name}.{hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()}"


async def operator_token(auth: Auth) -> str:
    return (await auth.sign_in(Person("", OPERATOR_EMAIL))).access_token


async def join(auth: Auth, tenant: Tenant, person: Person, role: str = "staff") -> None:
    user = users_pb2.User(email=person.email, name="Mira", role=role, password="another fine pass phrase")
    await auth.stub(admin(tenant)).CreateUser(users_pb2.CreateUserRequest(user=user))
    await auth.accept(await auth.letter(person.email))


def claims_of(token: str) -> dict[str, Any]:
    _, body, _ = token.split(".")
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


class TestAccessToken:
    async def test_it_becomes_the_member_with_the_roles_permissions(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, role="manager")
        token = (await auth.sign_in(person)).access_token

        principal = await auth.exchange(token)

        assert (principal.kind, principal.id, principal.tenant_id) == ("user", person.id, tenant.id)
        assert principal.permissions == roles.permissions("manager")

    async def test_an_expired_one_is_told_so(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token

        with clock.shifted(timedelta(minutes=16)), pytest.raises(errors.Unauthenticated) as refusal:
            await auth.exchange(token)

        assert refusal.value.code == "TOKEN_EXPIRED"

    async def test_it_is_not_taken_as_a_pass(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token

        with pytest.raises(errors.Unauthenticated):
            await identity.Verifier(auth.keys).verify(token)

    async def test_a_pass_is_not_taken_as_an_access_token(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        issued = await auth.stub().ExchangeToken(auth_pb2.ExchangeTokenRequest(credential=token))

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(issued.token)

    async def test_the_pass_is_not_kept_longer_than_the_credential_lives(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token

        with clock.shifted(timedelta(minutes=14, seconds=30)):
            issued = await auth.stub().ExchangeToken(auth_pb2.ExchangeTokenRequest(credential=token))

        assert issued.expires_at == issued.credential_expires_at

    @pytest.mark.parametrize("credential", ["x", "a.b.c", "....", "svc_", "svc_x", "cat_x", "sto_", "é.è.ê", "\x00"])
    async def test_nonsense_is_refused(self, auth: Auth, credential: str) -> None:
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(credential)


class TestForgedAccessToken:
    async def test_one_of_a_foreign_key_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        claims = claims_of((await auth.sign_in(await auth.person(tenant))).access_token)

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(self.signed(claims, signing_key()))

    async def test_a_foreign_key_under_our_keys_name_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        claims = claims_of((await auth.sign_in(await auth.person(tenant))).access_token)
        known = (await auth.keys())["keys"][0]["kid"]

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(self.signed(claims, OKPKey.generate_key("Ed25519", parameters={"kid": known})))

    async def test_an_unsigned_one_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        _, body, _ = token.split(".")
        header = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"

        for credential in (f"{header}.{body}.", f"{token.rpartition('.')[0]}."):
            with pytest.raises(errors.Unauthenticated):
                await auth.exchange(credential)

    async def test_one_signed_with_the_public_key_as_a_secret_is_refused(self, auth: Auth, tenant: Tenant) -> None:
        claims = claims_of((await auth.sign_in(await auth.person(tenant))).access_token)
        public = (await auth.keys())["keys"][0]
        secret = OctKey.import_key(public["x"].ljust(64, "="))
        forged = jwt.encode({"alg": "HS256", "kid": public["kid"], "typ": "at+jwt"}, claims, secret)

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(forged)

    async def test_another_session_in_the_claims_breaks_the_signature(self, auth: Auth, tenant: Tenant) -> None:
        mine = (await auth.sign_in(await auth.person(tenant))).access_token.split(".")
        theirs = (await auth.sign_in(await auth.person(tenant, role="admin"))).access_token.split(".")

        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(f"{mine[0]}.{theirs[1]}.{mine[2]}")

    def signed(self, claims: dict[str, Any], key: OKPKey) -> str:
        header = {"alg": "Ed25519", "kid": key.kid, "typ": access_tokens.TYPE}
        return jwt.encode(header, claims, key, algorithms=["Ed25519"])


class TestTenant:
    async def test_a_tenant_that_is_not_the_members_is_denied(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        theirs = Tenant()
        await auth.person(theirs)

        answers = []
        for other in (theirs, Tenant()):
            with pytest.raises(errors.Denied) as refusal:
                await auth.exchange(token, other)
            answers.append((refusal.value.message, refusal.value.code, refusal.value.metadata))

        assert answers[0] == answers[1]

    async def test_a_member_of_two_has_to_say_which(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant)
        await join(auth, Tenant(), person)
        token = (await auth.sign_in(person)).access_token

        with pytest.raises(errors.Invalid) as refusal:
            await auth.exchange(token)

        assert set(refusal.value.fields) == {"X-Tenant-ID"}

    async def test_each_tenant_gives_its_own_role(self, auth: Auth, tenant: Tenant) -> None:
        person, other = await auth.person(tenant), Tenant()
        await join(auth, other, person, "manager")
        token = (await auth.sign_in(person)).access_token

        here, there = await auth.exchange(token, tenant), await auth.exchange(token, other)

        assert (here.roles, there.roles) == (("staff",), ("manager",))

    async def test_an_operator_has_none_unless_they_say(self, auth: Auth) -> None:
        principal = await auth.exchange(await operator_token(auth))

        assert (principal.tenant_id, principal.permissions) == (None, roles.OPERATOR_PERMISSIONS)

    async def test_an_operator_is_admin_inside_a_tenant(self, auth: Auth, tenant: Tenant) -> None:
        principal = await auth.exchange(await operator_token(auth), tenant)

        assert principal.tenant_id == tenant.id
        assert principal.may("anything.there.is")


class TestSite:
    async def test_a_pass_can_be_narrowed(self, auth: Auth, tenant: Tenant) -> None:
        token = (await auth.sign_in(await auth.person(tenant))).access_token
        site = str(uuid7())

        principal = await auth.exchange(token, site=site)

        assert principal.sites == {site}

    async def test_it_cannot_be_widened(self, auth: Auth, tenant: Tenant) -> None:
        person = await auth.person(tenant, sites=(str(uuid7()),))
        token = (await auth.sign_in(person)).access_token

        with pytest.raises(errors.Denied):
            await auth.exchange(token, site=str(uuid7()))


class TestServiceCredential:
    async def test_it_becomes_the_service_in_the_tenant_asked_for(self, auth: Auth, tenant: Tenant) -> None:
        principal = await auth.exchange(service_credential("orders"), tenant)

        assert (principal.kind, principal.id, principal.tenant_id) == ("service", "orders", tenant.id)
        assert not principal.permissions

    @pytest.mark.parametrize(
        "credential",
        [
            service_credential("orders", "another secret"),
            service_credential("orders").replace("orders", "inventory"),
            service_credential("orders")[:-1],
            service_credential(""),
        ],
    )
    async def test_a_wrong_one_is_refused(self, auth: Auth, credential: str) -> None:
        with pytest.raises(errors.Unauthenticated):
            await auth.exchange(credential)


class TestKeys:
    async def test_two_processes_have_one_key(self, auth: Auth, serve: Serve, tenant: Tenant) -> None:
        second = Auth(await serve("auth", build, settings=AuthSettings, **CHEAP))
        token = (await auth.sign_in(await auth.person(tenant))).access_token

        principal = await second.exchange(token)

        assert principal.tenant_id == tenant.id
        assert await second.keys() == await auth.keys()

    async def test_the_password_of_the_operator_works(self, auth: Auth) -> None:
        request = auth_pb2.LoginRequest(username=OPERATOR_EMAIL.upper(), password=PASSWORD)

        signed_in = await auth.stub().Login(request)

        assert not signed_in.tenants
