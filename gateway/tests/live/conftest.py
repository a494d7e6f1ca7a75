"""A gateway as it runs, before a registry, an auth and a service that the tests hold in their hands."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import orjson
import pytest
import pytest_asyncio
from google.protobuf import json_format
from grpc_status import rpc_status
from grpc_tools import protoc
from joserfc.jwk import KeySet
from nats.aio.client import Client as Nats
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection, connect

from chassis import errors, identity
from chassis.embedded import EmbeddedServers
from chassis.identity import Principal
from chassis.testing import Tenant, signing_key
from gateway.contracts import Contract
from gateway.process import Gateway
from gateway.settings import Settings

ROOT = Path(__file__).parents[3]
SERVICE = "acme.kettles.v1.KettlesService"


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """Knows the credentials that a test gives out."""

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {}
        self.ends_at: dict[str, float] = {}
        self.exchanges: list[str] = []
        self.gate = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """Begin a test."""
        self.principals.clear()
        self.exchanges.clear()
        # Tenants that are suspended, and the networks of a credential.
        self.suspended: set[str] = set()
        self.networks: dict[str, list[str]] = {}
        self.lifetime_s = float(identity.PASS_LIFETIME_S)
        self.gate.set()

    def sign_in(self, principal: Principal, *, ends_in_s: float = 900, networks: Sequence[str] = ()) -> str:
        """A credential of the principal, which may be shown from some networks alone."""
        credential = f"token-{uuid7()}"
        self.networks[credential] = list(networks)
        self.principals[credential] = principal
        self.ends_at[credential] = time.time() + ends_in_s
        return credential

    async def ExchangeToken(self, request: Any, context: Any) -> Any:
        self.exchanges.append(request.credential)
        principal = self.principals.get(request.credential)
        await self.gate.wait()
        if principal is None:
            await _abort(context, errors.Unauthenticated())
        assert principal is not None
        if request.tenant_id and request.tenant_id != str(principal.tenant_id):
            await _abort(context, errors.Denied())
        if str(principal.tenant_id) in self.suspended:
            await _abort(context, errors.Denied(code="TENANT_SUSPENDED"))
        now = time.time() - identity.PASS_LIFETIME_S + self.lifetime_s
        token = identity.sign_pass(principal, signing_key(), now=now)
        issued = auth_pb2.Pass(token=token, allowed_networks=self.networks[request.credential])
        issued.expires_at.seconds = int(time.time() + self.lifetime_s)
        issued.credential_expires_at.FromNanoseconds(int(self.ends_at[request.credential] * 1e9))
        return issued

    async def GetJwks(self, request: Any, context: Any) -> Any:
        keys: Any = KeySet([signing_key()]).as_dict(private=False)
        return json_format.ParseDict(keys, auth_pb2.Jwks(), ignore_unknown_fields=True)


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Tells what the test has put in."""

    def __init__(self) -> None:
        self.instances: dict[str, registry_pb2.Instance] = {}
        self.contracts: dict[str, bytes] = {}
        # So many watchers find nobody.
        self.away = 0
        self._changed = asyncio.Condition()

    async def put(self, service: str, address: str, contract: bytes, **more: Any) -> str:
        """Register an instance."""
        digest = hashlib.sha256(contract).hexdigest()
        self.contracts[digest] = contract
        instance = registry_pb2.Instance(
            id=str(uuid7()),
            service=service,
            address=address,
            weight=100,
            contract_digest=digest,
            state=registry_pb2.INSTANCE_STATE_PASSING,
            **more,
        )
        await self._set(instance)
        return instance.id

    async def take_out(self, instance_id: str) -> None:
        """The instance is gone."""
        await self.turn(instance_id, registry_pb2.INSTANCE_STATE_GONE)

    async def turn(self, instance_id: str, state: registry_pb2.InstanceState) -> None:
        """The instance is in another state."""
        changed = registry_pb2.Instance()
        changed.CopyFrom(self.instances[instance_id])
        changed.state = state
        changed.changed_at.GetCurrentTime()
        await self._set(changed)

    async def _set(self, instance: registry_pb2.Instance) -> None:
        async with self._changed:
            self.instances[instance.id] = instance
            self._changed.notify_all()

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[registry_pb2.WatchResponse]:
        if self.away:
            self.away -= 1
            await _abort(context, errors.Unavailable())
        async with self._changed:
            while True:
                told = list(self.instances.values())
                yield registry_pb2.WatchResponse(revision=1, instances=told, snapshot=True)
                await self._changed.wait()

    async def GetContract(self, request: Any, context: Any) -> registry_pb2.Contract:
        return registry_pb2.Contract(descriptor_set=self.contracts[request.digest])


class Kettles(grpc.GenericRpcHandler):
    """The service: what it answers is up to the test; what it was asked and told is kept."""

    def __init__(self, contract: Contract) -> None:
        self._methods = {method.path: method for method in contract.methods}
        self.kettle = contract.methods[1].response
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.trailers: tuple[tuple[str, str], ...] = ()

    def begin(self) -> None:
        """Begin a test."""
        self.answers.clear()
        self.calls.clear()
        self.trailers = ()

    def service(self, details: Any) -> Any:
        method = self._methods.get(details.method)
        if method is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._answer(method), method.request.FromString, method.response.SerializeToString
        )

    def _answer(self, method: Any) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            self.calls.append((method.name, request, dict(context.invocation_metadata())))
            make = self.answers.get(method.name, lambda _: method.response())
            try:
                reply = make(request)
                reply = await reply if asyncio.iscoroutine(reply) else reply
            except errors.Error as failure:
                await _abort(context, failure)
            context.set_trailing_metadata(self.trailers)
            return reply

        return answer


async def _abort(context: Any, failure: errors.Error) -> None:
    await context.abort_with_status(rpc_status.to_status(errors.to_status(failure)))


@pytest.fixture(scope="session")
def kettles_set() -> bytes:
    """The descriptor set of the kettles' contract."""
    bundled = Path(protoc.__file__).parent / "_proto"
    here = Path(__file__).parent / "protos"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        includes = [f"-I{each}" for each in (here, ROOT / "protos", ROOT / "vendor/protos", bundled)]
        flags = ["--include_imports", "--include_source_info", f"--descriptor_set_out={out.name}"]
        assert protoc.main(["protoc", *includes, *flags, "kettles.proto"]) == 0
        return Path(out.name).read_bytes()


@asynccontextmanager
async def _serving(add: Callable[[grpc.aio.Server], None]) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@dataclass
class House:
    """The gateway and everything behind it."""

    gateway: Gateway
    auth: Auth
    registry: Registry
    kettles: Kettles
    contract: bytes
    nats: Nats
    http: httpx.AsyncClient
    instance: str
    settings: Settings
    tenant: Tenant = field(default_factory=Tenant)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def kitchen(self) -> Any:
        """The class of what GetKitchen answers with."""
        methods = Contract.of("kettles", self.contract).methods
        return next(method.response for method in methods if method.name == "GetKitchen")

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        return f"http://127.0.0.1:{self.gateway.port}"

    def bearer(self, principal: Principal | None = None, **how: Any) -> dict[str, str]:
        """The headers of a principal: a user who may do everything with kettles, unless given."""
        shown = principal or self.tenant.user(permissions={"kettles.read", "kettles.write", "kettles.price"})
        return {"Authorization": f"Bearer {self.auth.sign_in(shown, **how)}"}

    async def another(self, kettles: Kettles | None = None) -> tuple[Kettles, str]:
        """A second instance, and its id in the registry."""
        added = kettles or Kettles(Contract.of("kettles", self.contract))
        address = await self.stack.enter_async_context(
            _serving(lambda server: server.add_generic_rpc_handlers((added,)))
        )
        return added, await self.registry.put("kettles", address, self.contract, grpc_services=[SERVICE])

    async def second_gateway(self) -> "House":
        """The same house seen through another gateway."""
        gateway, http = await _begin(self.stack, self.settings)
        return replace(self, gateway=gateway, http=http)

    async def publish(
        self,
        kind: str,
        data: dict[str, Any],
        *,
        audience: str = "",
        tenant: str | None = None,
        subject: str = "kettles",
    ) -> dict[str, Any]:
        """Publish an event as a service's relay does; its envelope."""
        of = tenant or str(self.tenant.id)
        service, name = kind.split(".")
        event = {"specversion": "1.0", "id": str(uuid7()), "type": f"acme.{service}.v1.{name}", "data": data}
        event["subject"] = subject
        headers = {"Nats-Msg-Id": event["id"], **({"Switchyard-Audience": audience} if audience else {})}
        await self.nats.jetstream().publish(f"evt.{of}.{kind}", orjson.dumps(event), headers=headers)
        return event

    async def socket(
        self, headers: dict[str, str] | None = None, query: str = "", path: str = "/ws"
    ) -> ClientConnection:
        """A websocket."""
        url = f"ws://127.0.0.1:{self.gateway.port}{path}{query}"
        return await self.stack.enter_async_context(connect(url, additional_headers=headers))


MakeHouse = Callable[..., Awaitable[House]]


@asynccontextmanager
async def _houses(servers: EmbeddedServers, nats: Nats, contract: bytes) -> AsyncIterator[MakeHouse]:
    async with AsyncExitStack() as stack:

        async def make(**more: Any) -> House:
            auth = Auth()  # type: ignore[abstract]  # what the gateway does not call is left out
            registry = Registry()  # type: ignore[abstract]  # the same
            kettles = Kettles(Contract.of("kettles", contract))
            enter = stack.enter_async_context
            auth_at = await enter(
                _serving(lambda server: auth_pb2_grpc.add_AuthServiceServicer_to_server(auth, server))
            )
            registry_at = await enter(
                _serving(lambda server: registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server))
            )
            kettles_at = await enter(_serving(lambda server: server.add_generic_rpc_handlers((kettles,))))
            instance = await registry.put("kettles", kettles_at, contract, grpc_services=[SERVICE])
            values: dict[str, Any] = {
                "http_port": 0,
                "auth_address": auth_at,
                "registry_address": registry_at,
                "nats_url": servers.nats_url,
                "valkey_url": servers.valkey_url,
                "drain_s": 2.0,
                **more,
            }
            settings = Settings(**values)
            gateway, http = await _begin(stack, settings)
            return House(gateway, auth, registry, kettles, contract, nats, http, instance, settings, stack=stack)

        yield make


async def _begin(stack: AsyncExitStack, settings: Settings) -> tuple[Gateway, httpx.AsyncClient]:
    gateway = Gateway(settings)
    running = asyncio.create_task(gateway.run())
    stack.push_async_callback(_stop, gateway, running)
    async with asyncio.timeout(20):
        while not await gateway.ready():
            await asyncio.sleep(0.01)
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}"))
    return gateway, http


async def _stop(gateway: Gateway, running: "asyncio.Task[None]") -> None:
    gateway.stop()
    await running


@pytest_asyncio.fixture(loop_scope="session")
async def make_house(servers: EmbeddedServers, nats_client: Nats, kettles_set: bytes) -> AsyncIterator[MakeHouse]:
    """A function that builds a house for one test; its arguments are the gateway's settings."""
    async with _houses(servers, nats_client, kettles_set) as make:
        yield make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_house(servers: EmbeddedServers, nats_client: Nats, kettles_set: bytes) -> AsyncIterator[House]:
    """A house for all tests that leave it as they found it; starting one takes half a second."""
    async with _houses(servers, nats_client, kettles_set) as make:
        yield await make()


@pytest_asyncio.fixture(loop_scope="session")
async def house(shared_house: House) -> AsyncIterator[House]:
    """The shared house with nobody in it yet."""
    shared_house.auth.begin()
    shared_house.kettles.begin()
    async with AsyncExitStack() as stack:
        yield replace(shared_house, tenant=Tenant(), stack=stack)
