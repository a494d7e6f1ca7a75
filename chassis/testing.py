"""A pytest plugin: real servers, a real process's worth of a service, and whoever one wants to be.

PostgreSQL, NATS and Valkey are started once per test worker, on free ports, in a temporary folder. All tests
of a worker share one event loop and, for each service, one migrated database: a test keeps apart by its own tenant.

    async def test_create(serve: Serve, tenant: Tenant) -> None:
        running = await serve("inventory", build)
        inventory = InventoryServiceStub(running.channel(tenant.user()))

        item = await inventory.CreateItem(...)

An error raised at the other end arrives as its `chassis.errors` class. `running.sent()` drains the outbox to JetStream.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import grpc
import grpc.aio
import hypothesis
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from joserfc.jwk import KeySet, OKPKey
from nats.aio.client import Client as Nats
from pydantic import SecretStr
from switchyard.registry.v1 import registry_pb2
from switchyard.tenants.v1 import sites_pb2
from uuid_utils.compat import uuid7

from chassis import clock, errors, identity, migrate, outbox, policy, streams
from chassis.embedded import EmbeddedServers
from chassis.identity import Principal
from chassis.peers import Peer, Pool
from chassis.rpc import metadata
from chassis.service import Service
from chassis.settings import ServiceSettings
from chassis.sites import Sites

# The same cases in every run, however long the machine takes.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

PASSWORD = "testing"  # noqa: S105 - of databases that live as long as the tests

Build = Callable[[Service], None]


@cache
def signing_key() -> OKPKey:
    """The key that stands in for auth's."""
    return OKPKey.generate_key("Ed25519", parameters={"kid": "testing"}, auto_kid=False)


class Credentials:
    """What `chassis.credentials` gives, without an auth process."""

    def __init__(self, service: str) -> None:
        self._service = service

    async def keys(self) -> Mapping[str, object]:
        """The public keys."""
        return KeySet([signing_key()]).as_dict(private=False)

    async def issue(self, principal: Principal) -> str:
        """The service's own pass."""
        return await self.for_tenant(principal.tenant_id)

    async def for_tenant(self, tenant_id: UUID | None) -> str:
        """The service's own pass."""
        return identity.sign_pass(identity.service_principal(self._service, tenant_id), signing_key())

    async def close(self) -> None:
        """Nothing to close."""


class Directory:
    """What `chassis.directory` gives, from a table that the test fills."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._addresses = addresses
        self._peers: dict[str, Peer] = {}

    async def run(self) -> None:
        """Nothing to follow."""
        await asyncio.Event().wait()

    def pool(self, service: str) -> Pool:
        """The address in the table."""
        address = self._addresses.get(service)
        if address is None:
            return Pool(())
        if address not in self._peers:
            told = registry_pb2.Instance(address=address, weight=100, state=registry_pb2.INSTANCE_STATE_PASSING)
            self._peers[address] = Peer(told, grpc.aio.insecure_channel)
        return Pool([self._peers[address]])

    async def changed(self) -> None:
        """The table does not change by itself."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Close every channel."""
        for peer in self._peers.values():
            await peer.close()


class Unregistered:
    """What `chassis.registration` gives, without a registry."""

    async def run(self) -> None:
        """Nobody is told."""
        await asyncio.Event().wait()

    def tell(self) -> None:
        """Nobody is told."""

    async def drain(self) -> bool:
        """Nobody calls."""
        return False

    async def leave(self) -> None:
        """Nobody is told."""

    async def close(self) -> None:
        """Nothing to close."""


class EverySite(Sites):
    """Tenants as it never is: it has every site, but for the `closed` ones, each with the stations in `stations`."""

    def __init__(self) -> None:
        super().__init__(None)
        self.closed: set[str] = set()
        self.stations: dict[str, list[str]] = {}
        self.time_zone = "UTC"

    async def _resolve(self, site_ids: list[str]) -> Any:
        return [
            sites_pb2.ResolvedSite(
                id=site, name="A site", time_zone=self.time_zone, station_ids=self.stations.get(site)
            )
            for site in site_ids or self.stations
            if site not in self.closed
        ]


class TestedService(Service):
    """A service as it runs, but for the keys, the directory and the registry entry."""

    __test__ = False

    def __init__(self, name: str, settings: ServiceSettings, addresses: dict[str, str]) -> None:
        super().__init__(name, settings)
        self._addresses = addresses
        self.every_site = EverySite()

    def sites(self) -> EverySite:
        """Without tenants."""
        return self.every_site

    def make_credentials(self) -> Any:
        """Without auth."""
        return Credentials(self.name)

    def make_directory(self) -> Any:
        """Without a registry."""
        return Directory(self._addresses)

    def make_registration(self, address: str) -> Any:  # noqa: ARG002
        """Without a registry."""
        return Unregistered()


@dataclass(frozen=True)
class Running:
    """A served service."""

    service: Service

    def channel(self, principal: Principal | None = None, **told: str) -> Any:
        """An `ActingChannel`, for a generated stub: `principal` calls on it (nobody: without a pass).

        `told` is more metadata, with `_` for `-`.
        """
        return ActingChannel(grpc.aio.insecure_channel(self.service.address), principal, told)

    async def sent(self) -> None:
        """Send what is in the outbox to JetStream."""
        await outbox.Relay(self.service.database, self.service.nats).drain()


class ActingChannel:
    """A channel for a generated stub. The answer's trailing metadata is kept in `trailers`."""

    def __init__(self, channel: grpc.aio.Channel, principal: Principal | None, told: Mapping[str, str]) -> None:
        self._channel = channel
        self._told = [(name.replace("_", "-"), value) for name, value in told.items()]
        if principal is not None:
            self._told.append((metadata.PASS, identity.sign_pass(principal, signing_key())))
        self.trailers: dict[str, str] = {}

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **_more: object
    ) -> Callable[..., Awaitable[Any]]:
        """What a stub calls for each of its methods."""
        call = self._channel.unary_unary(method, request_serializer, response_deserializer)

        async def invoke(request: Message) -> object:
            made = call(request, metadata=self._told, timeout=20)
            try:
                answer = await made
            except grpc.aio.AioRpcError as failure:
                raise errors.from_rpc_error(failure) from failure
            self.trailers = {str(name): str(value) for name, value in await made.trailing_metadata() or ()}
            return answer

        return invoke

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **_more: object
    ) -> Callable[..., Any]:
        """What a stub calls for each of its streams."""
        call = self._channel.unary_stream(method, request_serializer, response_deserializer)
        return lambda request: call(request, metadata=self._told)


@dataclass(frozen=True)
class Tenant:
    """A tenant that no other test knows."""

    id: UUID = field(default_factory=uuid7)

    def user(
        self,
        *,
        permissions: Iterable[str] | None = None,
        sites: Iterable[str] = (),
        roles: tuple[str, ...] = ("admin",),
    ) -> Principal:
        """A user who has just signed in; with every permission that any contract names, unless some are given."""
        granted = all_permissions() if permissions is None else frozenset(permissions)
        return Principal(
            "user",
            str(uuid7()),
            self.id,
            str(uuid7()),
            roles,
            granted,
            frozenset(map(str, sites)),
            authenticated_at=int(clock.now().timestamp()),
        )

    def client(self, *, permissions: Iterable[str] = (), roles: tuple[str, ...] = ("staff",)) -> Principal:
        """An OAuth client that acts on its own account."""
        return Principal("client", str(uuid7()), self.id, "", roles, frozenset(permissions))

    def kiosk(self, site: str) -> Principal:
        """A kiosk of a site."""
        granted = frozenset({"inventory.catalog.read", "orders.create", "orders.read"})
        return Principal("kiosk", str(uuid7()), self.id, "", ("kiosk",), granted, frozenset({site}))

    def service(self, name: str) -> Principal:
        """Another service, acting in this tenant."""
        return identity.service_principal(name, self.id)


def all_permissions() -> frozenset[str]:
    """Every permission that a contract known to this process names."""
    return frozenset(method.permission for service in _services() for method in policy.of(service).values())


def _services() -> Iterable[ServiceDescriptor]:
    pool = descriptor_pool.Default()
    for path in sorted((migrate.ROOT / "protos").rglob("*.proto")):
        try:
            file = pool.FindFileByName(str(path.relative_to(migrate.ROOT / "protos")))
        except KeyError:
            continue
        yield from file.services_by_name.values()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers() -> AsyncIterator[EmbeddedServers]:
    """Real PostgreSQL, NATS and Valkey of this worker."""
    with tempfile.TemporaryDirectory(prefix="switchyard-") as folder:
        running = await EmbeddedServers.start(Path(folder), fsync=False)
        try:
            yield running
        finally:
            await running.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_client(servers: EmbeddedServers) -> AsyncIterator[Nats]:
    """A connection to NATS with the suite's streams."""
    connection = await streams.connect(servers.nats_url, "tests")
    await streams.ensure(connection, replicas=1)
    yield connection
    await connection.close()


class Databases:
    """The migrated databases of this worker, one a service."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self._urls: dict[str, str] = {}

    async def url(self, service: str) -> str:
        """The URL with which a process of the service connects."""
        if service not in self._urls:
            await migrate.provision(self.admin_url, service, PASSWORD)
            await asyncio.to_thread(migrate.upgrade, self.admin_url, service)
            parts = urlsplit(self.admin_url)
            name = migrate.database(service)
            host = f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}"
            self._urls[service] = urlunsplit(parts._replace(netloc=host, path=f"/{name}"))
        return self._urls[service]

    def admin(self, service: str) -> str:
        """The URL with which a superuser connects to the service's database: for tampering."""
        return migrate.url_of(self.admin_url, migrate.database(service))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def databases(servers: EmbeddedServers) -> Databases:
    """The databases of this worker."""
    return Databases(servers.postgres_url)


Serve = Callable[..., Awaitable[Running]]


@pytest_asyncio.fixture(loop_scope="session")
async def serve(servers: EmbeddedServers, databases: Databases, nats_client: Nats) -> AsyncIterator[Serve]:  # noqa: ARG001 - the streams must be there
    """A function that serves a service in this process: name, build, and `addresses` of others, `settings` class."""
    async with AsyncExitStack() as stack:

        async def start(
            name: str,
            build: Build,
            *,
            addresses: Mapping[str, str] | None = None,
            settings: type[ServiceSettings] = ServiceSettings,
            **more: object,
        ) -> Running:
            values: dict[str, Any] = {
                "database_url": SecretStr(await databases.url(name)),
                "nats_url": servers.nats_url,
                "service_credential": SecretStr(f"svc_{name}.testing"),
                "drain_s": 1.0,
                **more,
            }
            service = TestedService(name, settings(**values), dict(addresses or {}))
            await stack.enter_async_context(service.running(build))
            await asyncio.wait_for(service.ready.wait(), 20)
            return Running(service)

        yield start


@pytest.fixture
def tenant() -> Tenant:
    """A tenant of this test alone."""
    return Tenant()
