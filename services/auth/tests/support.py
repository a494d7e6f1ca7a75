"""An auth process, people in it, and their passes as the gateway would get them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import grpc.aio
import orjson
from google.protobuf import json_format
from pydantic import SecretStr
from switchyard.auth.v1 import (
    access_pb2,
    access_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    factors_pb2_grpc,
    keys_pb2_grpc,
    oauth_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)
from switchyard.tenants.v1 import sites_pb2, sites_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import identity
from chassis.encryption import Vault
from chassis.identity import Principal
from chassis.testing import Databases, Running, Tenant
from services.auth import roles

PASSWORD = "tall ships in the harbour"
OPERATOR_EMAIL = "operator@switchyard.example"
# What tenants does not know; any other site is there.
NOWHERE = "00000000-0000-7000-8000-000000000000"
ROOT_SECRET = "a root secret of the tests"
MASTER_KEY = "a master key of the tests"
# Cheap, so that a test waits for the database and not for Argon2.
CHEAP: dict[str, Any] = {
    "argon2_memory_kib": 64,
    "argon2_time_cost": 1,
    "service_root_secret": ROOT_SECRET,
    "auth_master_key": MASTER_KEY,
    "bootstrap_operator_email": OPERATOR_EMAIL,
    "bootstrap_operator_password": PASSWORD,
}


@dataclass(frozen=True)
class Person:
    """A user and what they signed in with."""

    id: str
    email: str


class Stubs:
    """The methods of all of auth's contracts."""

    def __init__(self, channel: Any) -> None:
        stubs: tuple[Any, ...] = (
            auth_pb2_grpc.AuthServiceStub,
            factors_pb2_grpc.FactorsServiceStub,
            keys_pb2_grpc.KeysServiceStub,
            users_pb2_grpc.UsersServiceStub,
            access_pb2_grpc.AccessServiceStub,
            oauth_pb2_grpc.OauthServiceStub,
        )
        for stub in stubs:
            self.__dict__.update(vars(stub(channel)))


class Auth:
    """A served auth process, and short ways to what most tests need."""

    def __init__(self, running: Running, databases: Databases | None = None) -> None:
        self.running = running
        self.databases = databases

    def stub(self, principal: Principal | None = None, **told: str) -> Any:
        return Stubs(self.running.channel(principal, **told))

    async def person(self, tenant: Tenant, *, role: str = "staff", sites: tuple[str, ...] = ()) -> Person:
        email = f"{uuid7()}@north.example"
        user = users_pb2.User(email=email, name="Mira Lindqvist", role=role, password=PASSWORD, site_ids=sites)
        created = await self.stub(admin(tenant)).CreateUser(users_pb2.CreateUserRequest(user=user))
        return Person(created.id, email)

    async def sign_in(self, person: Person, **told: str) -> auth_pb2.LoginResponse:
        request = auth_pb2.LoginRequest(email=person.email, password=PASSWORD)
        signed_in: auth_pb2.LoginResponse = await self.stub(None, **told).Login(request)
        return signed_in

    async def letter(self, address: str) -> str:
        """The token of the last letter to an e-mail address."""
        assert self.databases is not None
        safe = vault(self)
        await safe.load()
        async with superuser(self.databases) as connection:
            rows = await connection.fetch("SELECT id, sealed FROM letters ORDER BY created_at DESC, id DESC LIMIT 300")
        opened = (orjson.loads(safe.open(row["sealed"], f"letters/{row['id']}")) for row in rows)
        return next(str(letter["token"]) for letter in opened if letter["to"] == address)

    async def accept(self, token: str, *, name: str = "Mira Lindqvist", password: str = PASSWORD) -> Any:
        """Accept an invitation."""
        request = users_pb2.AcceptInvitationRequest(token=token, name=name, password=password)
        return await self.stub().AcceptInvitation(request)

    async def exchange(self, credential: str, tenant: Tenant | None = None, site: str = "") -> Principal:
        tenant_id = str(tenant.id) if tenant else ""
        request = auth_pb2.ExchangeTokenRequest(credential=credential, tenant_id=tenant_id, site_id=site)
        issued = await self.stub().ExchangeToken(request)
        return await identity.Verifier(self.keys).verify(issued.token)

    async def keys(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json_format.MessageToDict(await self.stub().GetJwks(auth_pb2.GetJwksRequest()))
        return found


def vault(auth: Auth, master: str = MASTER_KEY, previous: str = "") -> Vault:
    """The vault of another process, not loaded yet."""
    return Vault(auth.running.service.database, master=SecretStr(master), previous=SecretStr(previous))


def admin(tenant: Tenant, *, sites: tuple[str, ...] = ()) -> Principal:
    """Somebody with the admin's permissions who is not in the table of members."""
    return tenant.user(permissions=roles.permissions("admin"), sites=sites)


async def own_role(auth: Auth, tenant: Tenant, name: str, *permissions: str) -> access_pb2.Role:
    """A role of the tenant's own."""
    role = access_pb2.Role(name=name, permissions=permissions)
    created: access_pb2.Role = await auth.stub(admin(tenant)).CreateRole(access_pb2.CreateRoleRequest(role=role))
    return created


class Tenants(sites_pb2_grpc.SitesServiceServicer):
    """A tenants service that knows every site but one."""

    async def ResolveSites(self, request: Any, _context: Any) -> sites_pb2.ResolveSitesResponse:
        known = [site.lower() for site in request.site_ids if site != NOWHERE]
        return sites_pb2.ResolveSitesResponse(sites=[sites_pb2.ResolvedSite(id=site) for site in known])


@asynccontextmanager
async def serving_tenants() -> AsyncIterator[str]:
    """Its address."""
    server = grpc.aio.server()
    sites_pb2_grpc.add_SitesServiceServicer_to_server(Tenants(), server)  # type: ignore[abstract] # all that is asked
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield address
    finally:
        await server.stop(None)


@asynccontextmanager
async def superuser(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(databases.admin("auth"))
    try:
        yield connection
    finally:
        await connection.close()


async def outbox(databases: Databases, tenant_id: object, kind: str) -> list[dict[str, Any]]:
    """What was written for the tenant: events of a class, or (`aud`) the audit trail."""
    subject = f"aud.{tenant_id}.%" if kind == "aud" else f"evt.{tenant_id}.auth.{kind}"
    async with superuser(databases) as connection:
        rows = await connection.fetch("SELECT envelope FROM outbox WHERE subject LIKE $1 ORDER BY seq", subject)
    return [orjson.loads(row["envelope"]) for row in rows]
