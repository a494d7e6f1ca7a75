"""A foreign service: plain grpcio, its own proto and database, registered by itself. See README.md.

Run with SWITCHYARD_REGISTRY_ADDRESS, SWITCHYARD_AUTH_ADDRESS and SWITCHYARD_SERVICE_CREDENTIAL in the environment.
Several instances share the file that GREETER_BOOK names.
"""

import importlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from grpc_tools import protoc
from joserfc import jwt
from joserfc.jwk import KeySet

HERE = Path(__file__).resolve().parent
PUBLISHED = HERE.parents[1]
CONTRACT = "acme/greeter/v1/greeter.proto"
PLATFORM = (
    "switchyard/auth/v1/auth.proto",
    "switchyard/registry/v1/registry.proto",
    "switchyard/locks/v1/locks.proto",
)
OTHERS = ("switchyard/options/v1/policy.proto", "buf/validate/validate.proto")
HEARTBEAT_S = 1.0
DEADLINE_S = 5.0
# How long a greeting may take that nobody else's may overtake, and how long one waits for another.
LEASE_S, PATIENCE_S = 5, 4

# The metadata with a pass of our own, for one tenant or for none.
OwnPass = Callable[[str], tuple[tuple[str, str], ...]]


def compile_protos(out: str) -> bytes:
    """Generate Python from the published protos and our own, put it on the path, and return our descriptor set."""
    includes = [
        f"-I{HERE / 'protos'}",
        f"-I{PUBLISHED / 'protos'}",
        f"-I{PUBLISHED / 'vendor/protos'}",
        f"-I{Path(protoc.__file__).parent / '_proto'}",
    ]
    described = f"{out}/contract.binpb"
    for arguments in (
        [f"--python_out={out}", CONTRACT, *PLATFORM, *OTHERS],
        [f"--grpc_python_out={out}", CONTRACT, *PLATFORM],
        ["--include_imports", "--include_source_info", f"--descriptor_set_out={described}", CONTRACT],
    ):
        if protoc.main(["protoc", *includes, *arguments]) != 0:
            sys.exit("the protos do not compile")
    sys.path.insert(0, out)
    return Path(described).read_bytes()


class StaleHolderError(Exception):
    """A newer holder of the lock has written."""


class Book:
    """The greetings of all tenants, numbered, in a file. It is fenced: a holder whose lease was lost writes nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        with closing(self._open()) as book:
            book.execute("CREATE TABLE IF NOT EXISTS fences (tenant PRIMARY KEY, token INTEGER NOT NULL)")
            book.execute("CREATE TABLE IF NOT EXISTS greetings (tenant, number, name, PRIMARY KEY (tenant, number))")

    def names(self, tenant: str) -> list[str]:
        """Whom a tenant has greeted."""
        with closing(self._open()) as book:
            return [name for (name,) in book.execute(_NAMES, (tenant,))]

    def add(self, tenant: str, name: str, *, number: int, token: int) -> None:
        """Write a greeting down under a lease with this token. Raises `StaleHolderError`."""
        with closing(self._open()) as book:
            book.execute("BEGIN IMMEDIATE")
            if book.execute(_FENCE, (tenant, token)).fetchone() is None:
                raise StaleHolderError
            book.execute("INSERT INTO greetings VALUES (?, ?, ?)", (tenant, number, name))
            book.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, timeout=DEADLINE_S)


_NAMES = "SELECT name FROM greetings WHERE tenant = ? ORDER BY number"
# The highest token that was seen, in the transaction of what is written under it.
_FENCE = """
    INSERT INTO fences VALUES (?, ?)
    ON CONFLICT (tenant) DO UPDATE SET token = excluded.token WHERE token <= excluded.token RETURNING token
"""


class Locks:
    """The platform's locks, asked at whichever of their processes the registry names."""

    def __init__(self, own_pass: OwnPass, registry: Any, registry_pb: Any, pb: Any, stub: Any) -> None:
        self._own_pass = own_pass
        self._registry = registry
        self._registry_pb = registry_pb
        self._pb = pb
        self._stub = stub

    @contextmanager
    def held(self, tenant: str, name: str) -> Iterator[int]:
        """Hold a tenant's lock; its fencing token. Raises `TimeoutError` when it is not to be had in time.

        The work is short, so that the lease is not renewed: it is lost when the work takes longer than it lives.
        """
        with grpc.insecure_channel(self._address()) as channel:
            locks = self._stub(channel)
            wish = self._pb.AcquireRequest(lock_name=name, timeout=LEASE_S, blocking_timeout=PATIENCE_S)
            lease = locks.Acquire(wish, metadata=self._own_pass(tenant), timeout=DEADLINE_S + PATIENCE_S)
            if not lease.acquired:
                raise TimeoutError
            try:
                yield lease.fencing_token
            finally:
                release = self._pb.ReleaseRequest(lock_id=lease.lock_id)
                # One that cannot be given back ends by itself.
                with suppress(grpc.RpcError):
                    locks.Release(release, metadata=self._own_pass(tenant), timeout=DEADLINE_S)

    def _address(self) -> str:
        request = self._registry_pb.WatchRequest(services=["locks"])
        watch = self._registry.Watch(request, timeout=DEADLINE_S)
        snapshot = next(watch)
        watch.cancel()
        passing = self._registry_pb.INSTANCE_STATE_PASSING
        addresses: list[str] = [instance.address for instance in snapshot.instances if instance.state == passing]
        if not addresses:
            raise TimeoutError
        return random.choice(addresses)  # noqa: S311 - whichever


class Greeter:
    """Greets. The tenant comes from the verified pass, never from the request."""

    def __init__(self, pb: Any, keys: KeySet, book: Book, locks: Locks) -> None:
        self._pb = pb
        self._keys = keys
        self._book = book
        self._locks = locks

    def CreateGreeting(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Greet somebody by name. Between the look at the last number and the next, nobody else greets."""
        tenant, name = self._tenant(context), request.greeting.name
        try:
            with self._locks.held(tenant, "greeter.book") as token:
                number = len(self._book.names(tenant)) + 1
                self._book.add(tenant, name, number=number, token=token)
        except StaleHolderError:
            context.abort(grpc.StatusCode.ABORTED, "it took too long, and another was greeted; try again")
        except (TimeoutError, grpc.RpcError):
            context.abort(grpc.StatusCode.UNAVAILABLE, "too many are greeted, or the locks are away; try again")
        return self._greeting(number, name)

    def ListGreetings(self, _request: Any, context: grpc.ServicerContext) -> Any:
        """List whom the tenant has greeted."""
        names = self._book.names(self._tenant(context))
        greetings = [self._greeting(number, name) for number, name in enumerate(names, 1)]
        return self._pb.ListGreetingsResponse(greetings=greetings)

    def _greeting(self, number: int, name: str) -> Any:
        return self._pb.Greeting(id=str(number), name=name, text=f"Hello, {name}!")

    def _tenant(self, context: grpc.ServicerContext) -> str:
        token = dict(context.invocation_metadata()).get("switchyard-pass", "")
        try:
            claims = jwt.decode(str(token), self._keys, algorithms=["Ed25519"]).claims
            jwt.JWTClaimsRegistry(aud={"essential": True, "value": "switchyard"}).validate(claims)
        except Exception:  # noqa: BLE001 - whatever is wrong with a pass, the call is refused
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a valid pass is required")
        return str(claims["tid"])


class Membership:
    """Our entry in the registry."""

    def __init__(self, address: str, contract: bytes, own_pass: OwnPass, registry_pb: Any, registry: Any) -> None:
        self._own_pass = own_pass
        self._pb = registry_pb
        self._registry = registry
        self._contract = contract
        self._instance = registry_pb.Instance(
            id=str(uuid.uuid4()),
            version="1.0.0",
            address=address,
            weight=100,
            grpc_services=["acme.greeter.v1.GreeterService"],
        )
        self._stopped = threading.Event()

    def run(self) -> None:
        """Register and send heartbeats; whatever fails, begin again."""
        while not self._stopped.is_set():
            try:
                self._register_and_beat()
            except grpc.RpcError as failure:
                print(f"registry: {failure.details()}", file=sys.stderr)
            self._stopped.wait(HEARTBEAT_S)

    def leave(self) -> None:
        """Take the entry out before the process ends."""
        self._stopped.set()
        request = self._pb.DeregisterRequest(name="greeter", instance_id=self._instance.id)
        self._registry.Deregister(request, metadata=self._own_pass(""), timeout=DEADLINE_S)

    def _register_and_beat(self) -> None:
        request = self._pb.RegisterRequest(name="greeter", instance=self._instance, contract=self._contract)
        registered = self._registry.Register(
            request, metadata=self._own_pass(""), timeout=DEADLINE_S, wait_for_ready=True
        )
        beat = self._pb.HeartbeatRequest(
            name="greeter", instance_id=self._instance.id, epoch=registered.instance.epoch, ready=True
        )
        print("registered", flush=True)
        while not self._stopped.wait(HEARTBEAT_S):
            self._registry.Heartbeat(beat, metadata=self._own_pass(""), timeout=DEADLINE_S)


def main() -> None:
    """Serve until SIGTERM."""
    with tempfile.TemporaryDirectory() as out:
        contract = compile_protos(out)
        serve(contract, Book(os.environ.get("GREETER_BOOK") or f"{out}/book.db"))


def serve(contract: bytes, book: Book) -> None:
    """Serve the contract and keep it registered."""
    auth_pb = importlib.import_module("switchyard.auth.v1.auth_pb2")
    auth_grpc = importlib.import_module("switchyard.auth.v1.auth_pb2_grpc")
    registry_pb = importlib.import_module("switchyard.registry.v1.registry_pb2")
    registry_grpc = importlib.import_module("switchyard.registry.v1.registry_pb2_grpc")
    locks_pb = importlib.import_module("switchyard.locks.v1.locks_pb2")
    locks_grpc = importlib.import_module("switchyard.locks.v1.locks_pb2_grpc")
    greeter_pb = importlib.import_module("acme.greeter.v1.greeter_pb2")
    greeter_grpc = importlib.import_module("acme.greeter.v1.greeter_pb2_grpc")
    auth = auth_grpc.AuthServiceStub(grpc.insecure_channel(os.environ["SWITCHYARD_AUTH_ADDRESS"]))
    registry = registry_grpc.RegistryServiceStub(grpc.insecure_channel(os.environ["SWITCHYARD_REGISTRY_ADDRESS"]))
    credential = os.environ["SWITCHYARD_SERVICE_CREDENTIAL"]

    def own_pass(tenant: str) -> tuple[tuple[str, str], ...]:
        wanted = auth_pb.ExchangeTokenRequest(credential=credential, tenant_id=tenant)
        issued = auth.ExchangeToken(wanted, timeout=DEADLINE_S)
        return (("switchyard-pass", issued.token),)

    jwks = auth.GetJwks(auth_pb.GetJwksRequest(), timeout=DEADLINE_S, wait_for_ready=True)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    keys = KeySet.import_key_set(json_format.MessageToDict(jwks))
    locks = Locks(own_pass, registry, registry_pb, locks_pb, locks_grpc.LocksServiceStub)
    greeter_grpc.add_GreeterServiceServicer_to_server(Greeter(greeter_pb, keys, book, locks), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    membership = Membership(f"127.0.0.1:{port}", contract, own_pass, registry_pb, registry)
    threading.Thread(target=membership.run, daemon=True).start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    ended.wait()
    membership.leave()
    server.stop(DEADLINE_S).wait()


if __name__ == "__main__":
    main()
