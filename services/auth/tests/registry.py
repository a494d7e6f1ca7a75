"""A registry that tells what a test has put in."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from switchyard.options.v1 import policy_pb2
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import migrate

# The generated types call an extension a FieldDescriptor, which the runtime's own types do not accept.
METHOD_POLICY: Any = policy_pb2.policy
FIELD_POLICY: Any = policy_pb2.field


def contracts() -> dict[str, bytes]:
    """The contracts of all services of the suite, by name."""
    found: dict[str, bytes] = {}
    for path in sorted((migrate.ROOT / "gen/switchyard").glob("*/v1/*.binpb")):
        # Serialized sets that stand one after the other are one set.
        found[path.parts[-3]] = found.get(path.parts[-3], b"") + path.read_bytes()
    return found


def foreign(permission: str = "acme.pets.feed", *, platform: bool = False, field: str = "") -> bytes:
    """A contract of somebody else's with one method."""
    file = FileDescriptorProto(name="acme.proto", package="acme.pets.v1")
    service = file.service.add(name="PetsService")
    method = service.method.add(name="Feed", input_type=".acme.pets.v1.Pet", output_type=".acme.pets.v1.Pet")
    policy = policy_pb2.MethodPolicy(permission=permission, platform=platform)
    method.options.Extensions[METHOD_POLICY].CopyFrom(policy)
    pet = file.message_type.add(name="Pet")
    collar = pet.field.add(name="collar", number=1, type=FieldDescriptorProto.TYPE_MESSAGE)
    collar.type_name = ".acme.pets.v1.Pet.Collar"
    price = pet.nested_type.add(name="Collar").field.add(name="price", number=1)
    price.options.Extensions[FIELD_POLICY].read_permission = field
    return FileDescriptorSet(file=[file]).SerializeToString()


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """Instances and their contracts."""

    def __init__(self) -> None:
        self.address = ""
        self._instances: dict[str, registry_pb2.Instance] = {}
        self._contracts: dict[str, bytes] = {}
        self._changed = asyncio.Condition()

    async def put(self, service: str, contract: bytes, **more: Any) -> str:
        """Register an instance; its id."""
        digest = hashlib.sha256(contract).hexdigest()
        self._contracts[digest] = contract
        state = registry_pb2.INSTANCE_STATE_PASSING
        told = {"service": service, "address": "127.0.0.1:1", "contract_digest": digest, "state": state, **more}
        instance = registry_pb2.Instance(id=str(uuid7()), **told)
        await self._set(instance)
        return instance.id

    async def take_out(self, instance_id: str) -> None:
        """The instance is gone."""
        await self._set(registry_pb2.Instance(id=instance_id, state=registry_pb2.INSTANCE_STATE_GONE))

    async def _set(self, instance: registry_pb2.Instance) -> None:
        async with self._changed:
            self._instances[instance.id] = instance
            self._changed.notify_all()

    async def Watch(self, _request: Any, _context: Any) -> AsyncIterator[registry_pb2.WatchResponse]:
        async with self._changed:
            while True:
                yield registry_pb2.WatchResponse(revision=1, instances=self._instances.values(), snapshot=True)
                await self._changed.wait()

    async def GetContract(self, request: Any, _context: Any) -> registry_pb2.Contract:
        return registry_pb2.Contract(descriptor_set=self._contracts[request.digest])


@asynccontextmanager
async def serving() -> AsyncIterator[Registry]:
    """A registry at an address of its own."""
    registry = Registry()  # type: ignore[abstract] # only what is asked of it here
    server = grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    registry.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield registry
    finally:
        await server.stop(None)
