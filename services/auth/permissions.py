"""The permissions there are: what the contracts of the services that run now ask for, foreign services included.

What acts for the platform is left out, since no tenant can give it. Kept in memory and followed from the registry.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.message import DecodeError
from switchyard.options.v1 import policy_pb2
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc

from chassis import directory, errors, peers
from chassis.identity import Principal
from chassis.rpc import client

PLATFORM_PREFIX = "platform."
RETRY_S = 0.5
CONTRACT_DEADLINE_S = 5.0
# A process that has just started sees the registry within moments.
PATIENCE_S = 2.0
# What a contract may call a permission; anything else in one is not a permission.
_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+", re.ASCII)
# The generated types call an extension a FieldDescriptor, which the runtime's own types do not accept.
_METHOD_POLICY: Any = policy_pb2.policy
_FIELD_POLICY: Any = policy_pb2.field

log = structlog.get_logger()


class Asked(NamedTuple):
    """One method of a service asks for a permission."""

    permission: str
    service: str
    method: str
    platform: bool


@dataclass
class Permission:
    """Something that can be allowed. `methods` of other services than its own are told with their service."""

    name: str
    service: str
    methods: list[str] = field(default_factory=list)


class Permissions:
    """What some contracts ask for."""

    def __init__(self, asked: Iterable[Asked]) -> None:
        found = list(asked)
        self.platform: Collection[str] = {
            each.permission for each in found if each.platform or _is_platforms(each.permission)
        }
        self.known: Mapping[str, Permission] = dict(sorted(_gathered(found, without=self.platform).items()))

    def covered(self, granted: str) -> bool:
        """Whether a permission or pattern allows anything that there is."""
        if granted in self.known:
            return True
        holder = Principal("role", "", None, permissions=frozenset({granted}))
        return "*" in granted and any(holder.may(name) for name in self.known)

    def of_platform(self, permission: str) -> bool:
        """Whether it is the platform's, and no tenant can give it."""
        return permission in self.platform or _is_platforms(permission)


def read(service: str, descriptor_set: bytes, grpc_services: Iterable[str] = ()) -> list[Asked]:
    """What a contract asks for. `grpc_services` are those that it serves; unless given, those of its own package.

    Nothing, for what is no contract: other services' permissions do not depend on it.
    """
    try:
        files = list(FileDescriptorSet.FromString(descriptor_set).file)
    except DecodeError:
        log.warning("contract_not_readable", service=service)
        return []
    messages = dict(_messages(files))
    served = set(grpc_services) or _own(files)
    asked = []
    for method in _methods(files, served):
        policy = method.options.Extensions[_METHOD_POLICY]
        within = _of_fields((method.input_type, method.output_type), messages)
        wanted = {policy.permission, *policy.further_permissions, *within}
        named = (name for name in wanted if isinstance(name, str) and _NAME.fullmatch(name))
        asked += [Asked(name, service, method.name, policy.platform) for name in named]
    return asked


class Catalogue:
    """The permissions of the services that the registry knows now."""

    def __init__(self, registry_address: str) -> None:
        self._changed = asyncio.Event()
        self._directory = directory.Watched(registry_address, self._changed.set)
        self._channel = client.to_registry(registry_address)
        self._registry = registry_pb2_grpc.RegistryServiceStub(self._channel)
        self._contracts: dict[tuple[str, str], list[Asked]] = {}
        self._now = Permissions(())
        self._seen = asyncio.Event()

    async def now(self) -> Permissions:
        """What there is now. Raises `Unavailable` if the registry has not been seen within `PATIENCE_S`."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._seen.wait()
        except TimeoutError:
            message = "the services' contracts are not known yet"
            raise errors.Unavailable(message, retry_after_s=1) from None
        return self._now

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        following = asyncio.create_task(self._directory.run())
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    await self._take()
                except grpc.aio.AioRpcError as failure:
                    log.info("contract_not_read", error=failure.details())
                    self._changed.set()
                    await asyncio.sleep(RETRY_S)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await self._directory.close()
            await self._channel.close()

    async def _take(self) -> None:
        serving = [told for told in self._directory.instances() if told.state in peers.SERVING]
        contracts = {}
        for told in serving:
            key = (told.service, told.contract_digest)
            if told.contract_digest and key not in contracts:
                contracts[key] = self._contracts.get(key) or await self._read(told)
        self._contracts = contracts
        self._now = Permissions(each for asked in contracts.values() for each in asked)
        self._seen.set()

    async def _read(self, told: registry_pb2.Instance) -> list[Asked]:
        request = registry_pb2.GetContractRequest(digest=told.contract_digest)
        contract = await self._registry.GetContract(request, timeout=CONTRACT_DEADLINE_S)
        return read(told.service, contract.descriptor_set, told.grpc_services)


def _gathered(asked: Iterable[Asked], *, without: Collection[str]) -> dict[str, Permission]:
    found: dict[str, Permission] = {}
    own_first = sorted(asked, key=lambda each: (each.service != each.permission.split(".", 1)[0], each))
    for each in own_first:
        if each.permission in without:
            continue
        permission = found.setdefault(each.permission, Permission(each.permission, each.service))
        method = each.method if each.service == permission.service else f"{each.service}.{each.method}"
        if method not in permission.methods:
            permission.methods.append(method)
    return found


def _is_platforms(permission: str) -> bool:
    return permission.startswith(PLATFORM_PREFIX)


def _own(files: Iterable[FileDescriptorProto]) -> set[str]:
    """The gRPC services of the packages that no other file of the set imports."""
    files = list(files)
    imported = {name for file in files for name in file.dependency}
    packages = {file.package for file in files if file.name not in imported}
    return {f"{file.package}.{each.name}" for file in files if file.package in packages for each in file.service}


def _methods(files: Iterable[FileDescriptorProto], served: Collection[str]) -> Iterator[MethodDescriptorProto]:
    for file in files:
        for service in file.service:
            if f"{file.package}.{service.name}" in served:
                yield from service.method


def _messages(files: Iterable[FileDescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    """All messages by their full names, as fields refer to them."""
    todo = [(f".{file.package}.{message.name}", message) for file in files for message in file.message_type]
    while todo:
        name, message = todo.pop()
        yield name, message
        todo += [(f"{name}.{nested.name}", nested) for nested in message.nested_type]


def _of_fields(start: Iterable[str], messages: Mapping[str, DescriptorProto]) -> set[str]:
    """The permissions that the fields of messages demand, and of those that they lead to."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name in seen or name not in messages:
            continue
        seen.add(name)
        for entry in messages[name].field:
            policy = entry.options.Extensions[_FIELD_POLICY]
            found |= {policy.read_permission, policy.write_permission}
            todo.append(entry.type_name)
    return found
