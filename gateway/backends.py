"""Where calls go: the instances of all services, followed from the registry; the one place that knows the transport.

An instance is chosen by the power of two choices over the calls that it has under way; one that fails again and again
is left alone for a while. Calls are tried again only where that is harmless, and only within a budget, so that a
service in trouble is not buried under retries.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import grpc
import grpc.aio
import structlog
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc

from chassis import directory
from chassis.rpc import client
from gateway.contracts import Contract, ContractError
from gateway.errors import Problem, from_rpc
from gateway.routes import RouteTable

TRIES: Final = 3
# A restart in a blink is not an error: a call waits this long for an instance, or for one to accept a connection.
PATIENCE_S: Final = 2.0
# Retries that a gateway may make: a fifth of its calls, and a few at any time.
RETRY_SHARE: Final = 0.2
RETRY_STOCK: Final = 20.0
# Failures in a row after which an instance is left alone, first for one second, then for twice as long each time.
EJECT_AFTER: Final = 5
EJECT_FIRST_S, EJECT_MAX_S = 1.0, 30.0
# An instance in another zone counts as if it had so many more calls under way: preferred until it is busy.
FAR: Final = 2
CONTRACT_DEADLINE_S: Final = 5.0
RETRY_S: Final = 0.25

_UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE
# An instance of another version does not know the method; the next one may.
_UNKNOWN_METHOD: Final = grpc.StatusCode.UNIMPLEMENTED
_FAILURES: Final = frozenset(
    {_UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN, _UNKNOWN_METHOD}
)

log = structlog.get_logger()

Told = tuple[tuple[str, str | bytes], ...]


class Unreachable(Exception):
    """No instance takes calls."""


class Reply(NamedTuple):
    """An answer as it came. `trailers` only where they were asked for."""

    body: bytes
    trailers: Mapping[str, str]


_NO_TRAILERS: Final[Mapping[str, str]] = {}


class Instance:
    """One process of a service, as this gateway knows it."""

    __slots__ = (
        "address",
        "channel",
        "digest",
        "ejected_until",
        "ejections",
        "failures",
        "far",
        "stubs",
        "under_way",
        "weight",
    )

    def __init__(self, address: str, digest: str, channel: grpc.aio.Channel, *, weight: int, far: bool) -> None:
        self.address = address
        self.digest = digest
        self.channel = channel
        self.weight = weight
        self.far = FAR if far else 0
        self.under_way = 0
        self.failures = 0
        self.ejections = 0
        self.ejected_until = 0.0
        self.stubs: dict[str, Any] = {}

    @property
    def load(self) -> float:
        """Calls under way for its weight; the lower the better."""
        return (self.under_way + 1 + self.far) / self.weight

    def stub(self, path: str) -> Any:
        """Calls one method with bytes and answers with bytes."""
        found = self.stubs.get(path)
        if found is None:
            found = self.stubs[path] = self.channel.unary_unary(path)
        return found

    def succeeded(self) -> None:
        """Note an answer, whatever it says."""
        self.failures = 0
        self.ejections = 0

    def failed(self, peers: Sequence["Instance"], now: float) -> None:
        """Note a failure, and leave the instance alone if that was one too many, but never more than half of all."""
        self.failures += 1
        ejected = sum(peer.ejected_until > now for peer in peers)
        if self.failures < EJECT_AFTER or (ejected + 1) * 2 > len(peers):
            return
        self.failures = 0
        self.ejected_until = now + min(EJECT_FIRST_S * 2**self.ejections, EJECT_MAX_S)
        self.ejections += 1
        log.warning("instance_ejected", address=self.address)


class Retries:
    """The budget of retries: every call pays in a little, every retry takes out one."""

    def __init__(self) -> None:
        self._stock = RETRY_STOCK

    def pay_in(self) -> None:
        """Note a call."""
        self._stock = min(RETRY_STOCK, self._stock + RETRY_SHARE)

    def take(self) -> bool:
        """Whether a retry may be made."""
        if self._stock < 1:
            return False
        self._stock -= 1
        return True


class Backends:
    """The services behind the gateway."""

    def __init__(self, registry_address: str, *, zone: str) -> None:
        self._directory = directory.Watched(registry_address, self._on_change)
        self._registry_channel = grpc.aio.insecure_channel(registry_address, options=client.OPTIONS)
        self._registry = registry_pb2_grpc.RegistryServiceStub(self._registry_channel)
        self._zone = zone
        self._retries = Retries()
        self._instances: dict[str, Instance] = {}
        self._by_service: dict[str, list[Instance]] = {}
        self._candidates: dict[tuple[str, str], list[Instance]] = {}
        # Contracts by digest, None for one that cannot be used; those that are live, by service, oldest service first.
        self._contracts: dict[str, Contract | None] = {}
        self._live: dict[str, Contract] = {}
        # Services that leave it to the gateway to enforce their contracts.
        self.foreign: frozenset[str] = frozenset()
        self._dirty = asyncio.Event()
        self._known = False

    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        """Follow the registry until cancelled; `on_table` is given the routes whenever the set of contracts changes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._directory.run())
            group.create_task(self._follow(on_table))

    async def known(self) -> bool:
        """Whether the registry's snapshot was seen and its contracts were read."""
        return self._known

    async def close(self) -> None:
        """Close every channel."""
        await self._directory.close()
        await self._registry_channel.close()

    async def call(
        self,
        service: str,
        path: str,
        request: bytes,
        told: Told,
        *,
        idempotent: bool,
        deadline_s: float,
        trailers: bool = False,
    ) -> Reply:
        """Call a method with a serialized message. Raises `grpc.aio.AioRpcError`, or `Unreachable`."""
        self._retries.pay_in()
        began = time.monotonic()
        attempt, tried = 0, None
        while True:
            candidates = self._candidates.get((service, path)) or await self._wait_for(service, path, began)
            chosen = _choose(candidates, tried)
            attempt += 1
            chosen.under_way += 1
            try:
                call = chosen.stub(path)(request, timeout=deadline_s - (time.monotonic() - began), metadata=told)
                body = await call
                chosen.succeeded()
                return Reply(body, _texts(await call.trailing_metadata()) if trailers else _NO_TRAILERS)
            except grpc.aio.AioRpcError as failure:
                if not self._may_retry(chosen, candidates, failure, attempt, began, idempotent=idempotent):
                    raise
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled us: the instance was given up, and its channel closed under the call.
                raise Unreachable from None
            finally:
                chosen.under_way -= 1
            tried = chosen
            # A short breath, growing and spread, unless there is another instance to go to at once.
            if len(candidates) == 1:
                await asyncio.sleep(min(0.05 * 2**attempt, 0.4) * random.uniform(0.5, 1.0))  # noqa: S311

    def _may_retry(
        self,
        chosen: Instance,
        candidates: Sequence[Instance],
        failure: grpc.aio.AioRpcError,
        attempt: int,
        began: float,
        *,
        idempotent: bool,
    ) -> bool:
        now = time.monotonic()
        code = failure.code()
        if code not in _FAILURES:
            chosen.succeeded()
            return False
        chosen.failed(candidates, now)
        if _never_sent(failure):
            return now - began < PATIENCE_S
        if code is _UNKNOWN_METHOD:
            return attempt < TRIES and len(candidates) > 1
        return code is _UNAVAILABLE and idempotent and attempt < TRIES and self._retries.take()

    async def _wait_for(self, service: str, path: str, began: float) -> list[Instance]:
        """The instances that know the method; waits for the first one."""
        try:
            async with asyncio.timeout(PATIENCE_S - (time.monotonic() - began)):
                while not self._by_service.get(service):
                    await self._directory.changed()
        except TimeoutError:
            raise Unreachable from None
        found = self._by_service[service]
        knowing = [instance for instance in found if self._knows(instance, path)]
        self._candidates[service, path] = knowing or found
        return knowing or found

    def _knows(self, instance: Instance, path: str) -> bool:
        contract = self._contracts.get(instance.digest)
        return contract is not None and any(method.path == path for method in contract.methods)

    def _on_change(self) -> None:
        instances: dict[str, Instance] = {}
        by_service: dict[str, list[Instance]] = {}
        for told in self._directory.instances():
            if told.state not in directory.SERVING or not told.contract_digest:
                continue
            instances[told.id] = self._instances.get(told.id) or self._meet(told)
            by_service.setdefault(told.service, []).append(instances[told.id])
        self._instances, self._by_service = instances, by_service
        self._candidates.clear()
        self._dirty.set()

    def _meet(self, told: registry_pb2.Instance) -> Instance:
        channel = self._directory.channel(told.address)
        # Connect now, not when the first call waits for it.
        channel.get_state(try_to_connect=True)
        return Instance(
            told.address,
            told.contract_digest,
            channel,
            weight=told.weight or 1,
            far=bool(self._zone) and told.zone != self._zone,
        )

    async def _follow(self, on_table: Callable[[RouteTable], None]) -> None:
        """Read the contracts that instances announce, and build the routes anew when those that are live change."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                wanted = await self._wanted()
            except grpc.aio.AioRpcError as failure:
                log.info("contract_not_read", error=failure.details())
                self._dirty.set()
                await asyncio.sleep(RETRY_S)
                continue
            # A service without instances keeps its routes: they answer that it is not available.
            live = {**self._live, **wanted}
            if live != self._live or not self._known:
                self._live = live
                table, refused = await asyncio.to_thread(_table, tuple(live.values()))
                for service in refused:
                    log.error("routes_refused", service=service)
                for clash in table.clashes:
                    log.error("route_clash", clash=str(clash))
                on_table(table)
                self._known = True
            self._candidates.clear()

    async def _wanted(self) -> dict[str, Contract]:
        """The contract of each service: its newest instance's that can be used."""
        wanted: dict[str, Contract] = {}
        serving = [told for told in self._directory.instances() if told.id in self._instances]
        # The service that came first keeps its routes against one that comes later.
        for told in sorted(serving, key=lambda told: (told.registered_at.ToNanoseconds(), told.epoch)):
            contract = await self._contract(told)
            if contract is not None:
                wanted[told.service] = contract
                enforced = told.metadata.get("enforces") == "contract"
                self.foreign = self.foreign - {told.service} if enforced else self.foreign | {told.service}
        return wanted

    async def _contract(self, told: registry_pb2.Instance) -> Contract | None:
        digest = told.contract_digest
        if digest not in self._contracts:
            request = registry_pb2.GetContractRequest(digest=digest)
            read = await self._registry.GetContract(request, timeout=CONTRACT_DEADLINE_S, wait_for_ready=True)
            try:
                self._contracts[digest] = await asyncio.to_thread(
                    Contract.of, told.service, read.descriptor_set, services=tuple(told.grpc_services) or None
                )
            except ContractError as refusal:
                log.error("contract_refused", service=told.service, address=told.address, why=str(refusal))  # noqa: TRY400 -- the reason is the message
                self._contracts[digest] = None
        return self._contracts[digest]


def problem(failure: grpc.aio.AioRpcError, *, body: str = "") -> Problem:
    """The problem of a failed call; `body` is the body selector of its binding."""
    trailing = failure.trailing_metadata() or ()
    packed = next((value for name, value in trailing if name == "grpc-status-details-bin"), None)
    number: int = failure.code().value[0]
    return from_rpc(number, failure.details() or "", packed if isinstance(packed, bytes) else None, body=body)


def _table(contracts: Sequence[Contract]) -> tuple[RouteTable, list[str]]:
    """The routes of all contracts, and the services whose routes cannot be served."""
    try:
        return RouteTable.of(contracts), []
    except ContractError:
        usable = [contract for contract in contracts if _is_servable(contract)]
        refused = [contract.service for contract in contracts if contract not in usable]
        return RouteTable.of(usable), refused


def _is_servable(contract: Contract) -> bool:
    try:
        RouteTable.of([contract])
    except ContractError as refusal:
        log.error("contract_refused", service=contract.service, why=str(refusal))  # noqa: TRY400 -- the reason is the message
        return False
    return True


def _choose(candidates: Sequence[Instance], tried: Instance | None) -> Instance:
    count = len(candidates)
    if count == 1:
        return candidates[0]
    now = time.monotonic()
    # Two at random, the less busy of them: as good as knowing everything, without a herd.
    first = candidates[int(random.random() * count)]  # noqa: S311
    second = candidates[int(random.random() * count)]  # noqa: S311
    best = first if first.load <= second.load else second
    if best.ejected_until <= now and best is not tried:
        return best
    usable = [each for each in candidates if each.ejected_until <= now and each is not tried]
    return min(usable or candidates, key=lambda each: each.load)


def _never_sent(failure: grpc.aio.AioRpcError) -> bool:
    # The words of gRPC core for a connection that could not be made; nothing of the call has left.
    details = failure.details() or ""
    return failure.code() is _UNAVAILABLE and ("failed to connect" in details or "Connection refused" in details)


def _texts(trailing: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    return {name: value for name, value in trailing or () if isinstance(value, str)}
