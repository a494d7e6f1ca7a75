"""A foreign service: plain grpcio, its own proto, registered by itself. See README.md.

Run with SWITCHYARD_REGISTRY_ADDRESS, SWITCHYARD_AUTH_ADDRESS and SWITCHYARD_SERVICE_CREDENTIAL in the environment.
"""

import importlib
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections import defaultdict
from concurrent import futures
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
PLATFORM = ("switchyard/auth/v1/auth.proto", "switchyard/registry/v1/registry.proto")
OTHERS = ("switchyard/options/v1/policy.proto", "buf/validate/validate.proto")
HEARTBEAT_S = 1.0
DEADLINE_S = 5.0


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


class Greeter:
    """Keeps each tenant's greetings in memory. The tenant comes from the verified pass, never from the request."""

    def __init__(self, pb: Any, keys: KeySet) -> None:
        self._pb = pb
        self._keys = keys
        self._greetings: dict[str, list[Any]] = defaultdict(list)

    def CreateGreeting(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Greet somebody by name."""
        greeted = self._greetings[self._tenant(context)]
        greeting = self._pb.Greeting(
            id=str(len(greeted) + 1), name=request.greeting.name, text=f"Hello, {request.greeting.name}!"
        )
        greeted.append(greeting)
        return greeting

    def ListGreetings(self, _request: Any, context: grpc.ServicerContext) -> Any:
        """List whom the tenant has greeted."""
        return self._pb.ListGreetingsResponse(greetings=self._greetings[self._tenant(context)])

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

    def __init__(self, address: str, contract: bytes, keys_and_passes: Any, registry_pb: Any, registry: Any) -> None:
        self._auth = keys_and_passes
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
        self._registry.Deregister(request, metadata=self._auth(), timeout=DEADLINE_S)

    def _register_and_beat(self) -> None:
        request = self._pb.RegisterRequest(name="greeter", instance=self._instance, contract=self._contract)
        registered = self._registry.Register(request, metadata=self._auth(), timeout=DEADLINE_S, wait_for_ready=True)
        beat = self._pb.HeartbeatRequest(
            name="greeter", instance_id=self._instance.id, epoch=registered.instance.epoch, ready=True
        )
        print("registered", flush=True)
        while not self._stopped.wait(HEARTBEAT_S):
            self._registry.Heartbeat(beat, metadata=self._auth(), timeout=DEADLINE_S)


def main() -> None:
    """Serve until SIGTERM."""
    with tempfile.TemporaryDirectory() as out:
        contract = compile_protos(out)
        serve(contract)


def serve(contract: bytes) -> None:
    """Serve the contract and keep it registered."""
    auth_pb = importlib.import_module("switchyard.auth.v1.auth_pb2")
    auth_grpc = importlib.import_module("switchyard.auth.v1.auth_pb2_grpc")
    registry_pb = importlib.import_module("switchyard.registry.v1.registry_pb2")
    registry_grpc = importlib.import_module("switchyard.registry.v1.registry_pb2_grpc")
    greeter_pb = importlib.import_module("acme.greeter.v1.greeter_pb2")
    greeter_grpc = importlib.import_module("acme.greeter.v1.greeter_pb2_grpc")
    auth = auth_grpc.AuthServiceStub(grpc.insecure_channel(os.environ["SWITCHYARD_AUTH_ADDRESS"]))
    registry = registry_grpc.RegistryServiceStub(grpc.insecure_channel(os.environ["SWITCHYARD_REGISTRY_ADDRESS"]))
    credential = os.environ["SWITCHYARD_SERVICE_CREDENTIAL"]

    def own_pass() -> tuple[tuple[str, str], ...]:
        issued = auth.ExchangeToken(auth_pb.ExchangeTokenRequest(credential=credential), timeout=DEADLINE_S)
        return (("switchyard-pass", issued.token),)

    jwks = auth.GetJwks(auth_pb.GetJwksRequest(), timeout=DEADLINE_S, wait_for_ready=True)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    keys = KeySet.import_key_set(json_format.MessageToDict(jwks))
    greeter_grpc.add_GreeterServiceServicer_to_server(Greeter(greeter_pb, keys), server)
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
