"""Where calls go: the instances of all services, followed from the registry; the one place that knows the transport.

`chassis.peers` chooses the instance. Calls are tried again only where that is harmless, and only within a budget, so
that a service in trouble is not buried under retries.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import grpc
import grpc.aio
import structlog
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc

from chassis import directory
from chassis.peers import SERVING, Peer, Pool
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
CONTRACT_DEADLINE_S: Final = 5.0
RETRY_S: Final = 0.25
# While many processes start, one change follows another: they are looked at together.
GATHER_S: Final = 0.05
# How often services are looked for that were given up long ago.
LOOK_S: Final = 60.0

_UNAVAILABLE: Final = grpc.StatusCode.UNAVAILABLE
# An instance of another version does not know the method; the next one may.
_UNKNOWN_METHOD: Final = grpc.StatusCode.UNIMPLEMENTED
_FAILURES: Final = client.FAILURES | {_UNKNOWN_METHOD}

log = structlog.get_logger()

Told = tuple[tuple[str, str | bytes], ...]


class Unreachable(Exception):
    """No instance takes calls."""


class Reply(NamedTuple):
    """An answer as it came. `trailers` only where they were asked for."""

    body: bytes
    trailers: Mapping[str, str]


_NO_TRAILERS: Final[Mapping[str, str]] = {}


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
        self._directory = directory.Watched(registry_address, self._on_change, zone=zone)
        self._registry_channel = client.to_registry(registry_address)
        self._registry = registry_pb2_grpc.RegistryServiceStub(self._registry_channel)
        self._retries = Retries()
        # By service and method.
        self._candidates: dict[tuple[str, str], Pool] = {}
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
            chosen = candidates.choose(tried)
            attempt += 1
            chosen.under_way += 1
            try:
                call = chosen.unary(path)(request, timeout=deadline_s - (time.monotonic() - began), metadata=told)
                body = await call
                chosen.succeeded()
                return Reply(body, _texts(await call.trailing_metadata()) if trailers else _NO_TRAILERS)
            except grpc.aio.AioRpcError as failure:
                if not self._may_retry(chosen, candidates, failure, attempt, began, idempotent=idempotent):
                    raise
            except asyncio.CancelledError:
                if not client.was_given_up():
                    raise
                raise Unreachable from None
            finally:
                chosen.under_way -= 1
            tried = chosen
            # A short breath, growing and spread, unless there is another instance to go to at once.
            if len(candidates.peers) == 1:
                await asyncio.sleep(min(0.05 * 2**attempt, 0.4) * random.uniform(0.5, 1.0))  # noqa: S311

    def _may_retry(
        self,
        chosen: Peer,
        candidates: Pool,
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
        chosen.failed(candidates.peers, now)
        if client.never_sent(failure):
            return now - began < PATIENCE_S
        if code is _UNKNOWN_METHOD:
            return attempt < TRIES and len(candidates.peers) > 1
        return code is _UNAVAILABLE and idempotent and attempt < TRIES and self._retries.take()

    async def _wait_for(self, service: str, path: str, began: float) -> Pool:
        """The instances that know the method; waits for the first one."""
        try:
            async with asyncio.timeout(PATIENCE_S - (time.monotonic() - began)):
                while not (found := self._directory.pool(service)):
                    await self._directory.changed()
        except TimeoutError:
            raise Unreachable from None
        candidates = Pool(peer for peer in found.peers if self._knows(peer, path)) or found
        self._candidates[service, path] = candidates
        return candidates

    def _knows(self, peer: Peer, path: str) -> bool:
        contract = self._contracts.get(peer.told.contract_digest)
        return contract is not None and any(method.path == path for method in contract.methods)

    def _on_change(self) -> None:
        self._candidates.clear()
        self._dirty.set()

    async def _follow(self, on_table: Callable[[RouteTable], None]) -> None:
        """Read the contracts that instances announce, and build the routes anew when those that are live change."""
        while True:
            with contextlib.suppress(TimeoutError):
                # Before the registry was heard there are no routes to look at, and none is not what there is.
                async with asyncio.timeout(LOOK_S if self._known else None):
                    await self._dirty.wait()
            await asyncio.sleep(GATHER_S)
            self._dirty.clear()
            self._directory.connect()
            try:
                wanted = await self._wanted()
            except grpc.aio.AioRpcError as failure:
                log.info("contract_not_read", error=failure.details())
                self._dirty.set()
                await asyncio.sleep(RETRY_S)
                continue
            # A service that is down keeps its routes: they answer that it is not available. One given up does not.
            known = self._directory.services()
            live = {service: each for service, each in {**self._live, **wanted}.items() if service in known}
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
        """The contract of each service: its newest instance's that can be used, one that takes calls if any does."""
        wanted: dict[str, Contract] = {}
        served = set()
        # The service that came first keeps its routes against one that comes later.
        for told in sorted(self._directory.instances(gone=True), key=_age):
            # One that has never been well may never be.
            if not told.contract_digest or told.state == registry_pb2.INSTANCE_STATE_STARTING:
                continue
            contract = await self._contract(told)
            serves = told.state in SERVING
            if contract is None or (told.service in served and not serves):
                continue
            wanted[told.service] = contract
            enforced = told.metadata.get("enforces") == "contract"
            self.foreign = self.foreign - {told.service} if enforced else self.foreign | {told.service}
            if serves:
                served.add(told.service)
        return wanted

    async def _contract(self, told: registry_pb2.Instance) -> Contract | None:
        digest = told.contract_digest
        if digest not in self._contracts:
            request = registry_pb2.GetContractRequest(digest=digest)
            try:
                read = await self._registry.GetContract(request, timeout=CONTRACT_DEADLINE_S, wait_for_ready=True)
            except grpc.aio.AioRpcError as failure:
                if failure.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
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


def _age(told: registry_pb2.Instance) -> tuple[int, int]:
    return told.registered_at.ToNanoseconds(), told.epoch


def _texts(trailing: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    return {name: value for name, value in trailing or () if isinstance(value, str)}
