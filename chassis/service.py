"""The life of a process: build, serve, register, drain, close.

A service's `__main__` is

    def build(service: Service) -> None:
        inventory = InventoryServiceStub(service.channel("inventory"))
        service.serve(OrdersRpc(service.database, inventory))
        service.handle(HANDLERS)

    if __name__ == "__main__":
        Service("orders", Settings.load()).run(build)

Processes start in any order: what is not there yet is waited for, and until everything is there `/readyz` says what is
missing and the registry sends nobody here. On SIGTERM the process has the registry send no more calls, serves on until
none come, finishes those it has within `drain_s`, leaves the registry and closes what it opened in reverse order.
"""

import asyncio
import contextlib
import gc
import hashlib
import hmac
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio
import nats.errors
import structlog
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from nats.aio.client import Client as Nats
from nats.js.errors import BadRequestError, ServerError
from switchyard.locks.v1 import locks_pb2_grpc
from switchyard.tenants.v1 import sites_pb2_grpc

from chassis import (
    directory,
    faults,
    identity,
    inbox,
    outbox,
    paging,
    periodic,
    registration,
    revocation,
    stream_rules,
    streams,
    telemetry,
)
from chassis.buckets import Bucket
from chassis.credentials import Credentials
from chassis.db import Database
from chassis.locks import Locks
from chassis.operations import Operations
from chassis.rpc import client, server
from chassis.settings import ServiceSettings
from chassis.sites import Sites

# Once the registry has said that this process drains, it serves on until nobody has called it for this long: a watcher
# that has not heard yet is answered. Who calls all the same, as with an address of their own, is waited for no longer
# than half of `drain_s`.
QUIET_S = 0.3
# Work that has not ended this long after it was cancelled is cancelled again.
CANCEL_AGAIN_S = 0.5
# NATS servers that were away are looked for this often.
EXAMINE_EVERY_S = 10.0
_SERVER_OPTIONS = (
    # Two processes must never share a port by accident.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

_T = TypeVar("_T")

log = structlog.get_logger()


class Service:
    """One process of a service."""

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.settings = settings
        self._stopping = asyncio.Event()
        self._ready = False
        self._has_streams = False
        # Set once every dependency has been seen.
        self.ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._work: list[Coroutine[Any, Any, None]] = []
        self._services: list[ServiceDescriptor] = []
        self._handlers: inbox.Handlers = {}
        self._needed: list[Callable[[], Awaitable[bool]]] = []
        self._buckets: list[Bucket] = []
        self._is_production = settings.environment == "production"

    def run(self, build: Callable[["Service"], None]) -> None:
        """Build and serve until SIGTERM or SIGINT."""
        telemetry.set_up(self.name, self.settings)
        if self.settings.environment == "development":
            faults.arm(self.settings.fault)
        try:
            uvloop.run(self._main(build))
        except stream_rules.UnsafeError as failure:
            sys.stderr.write(f"{failure}\n")
            raise SystemExit(2) from None

    # What `build` uses.

    def serve(self, servicer: server.Servicer) -> None:
        """Serve a contract."""
        self.server.add(servicer)
        self._services.append(servicer.service)

    def channel(self, service: str) -> Any:
        """A `chassis.rpc.client.Channel` to another service by name, for a generated stub."""
        return client.Channel(service, self.directory, self.credentials.issue, deadline_s=self.settings.deadline_s)

    def handle(self, handlers: inbox.Handlers) -> None:
        """Handle others' events."""
        self._handlers = handlers

    def bucket(self, name: str, *, history: int = 1) -> Bucket:
        """A key-value bucket, which is there before the process serves."""
        made = Bucket(self.nats, name, replicas=self.settings.stream_replicas, history=history)
        self._buckets.append(made)
        return made

    def every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again."""
        self._work.append(periodic.every(interval_s, work))

    def needs(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Be ready only once `check` has said yes."""
        self._needed.append(check)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the process ends."""
        self._work.append(work)

    def pager(self) -> paging.Pager:
        """Reads pages; its cursors are good in every process of this service."""
        secret = self.settings.service_credential.get_secret_value().encode()
        return paging.Pager(hmac.new(secret, b"cursor", hashlib.sha256).digest())

    def sites(self) -> Sites:
        """The sites of the callers' tenants."""
        return Sites(sites_pb2_grpc.SitesServiceStub(self.channel("tenants")))

    def locks(self) -> Locks:
        """The locks of the callers' tenants; this service is who holds them."""
        return Locks(locks_pb2_grpc.LocksServiceStub(self.channel("locks")))

    # What the tests' service makes in another way.

    def make_credentials(self) -> Credentials:
        """How the process proves who it is."""
        return Credentials(self.settings.auth_address, self.settings.service_credential.get_secret_value())

    def make_directory(self) -> directory.Watched:
        """How the process finds the others."""
        return directory.Watched(self.settings.registry_address, zone=self.settings.zone)

    def make_registration(self, address: str) -> registration.Registration:
        """How the others find this process."""
        settings = self.settings
        return registration.Registration(
            self.name,
            registry_address=settings.registry_address,
            credentials=self.credentials,
            instance=registration.instance(
                settings.version, address, settings.zone, self._services, pid=str(os.getpid()), enforces="contract"
            ),
            contract_bytes=registration.contract(self._services),
            ready=lambda: self._ready,
            on_superseded=self._stopping.set,
        )

    # The life.

    async def _main(self, build: Callable[["Service"], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with self.running(build):
            tidying = asyncio.create_task(_tidy(self.ready))
            await self._stopping.wait()
            tidying.cancel()
            log.info("draining")

    @contextlib.asynccontextmanager
    async def running(self, build: Callable[["Service"], None]) -> AsyncIterator[None]:
        """Open, build and serve; drain and close at the end."""
        async with contextlib.AsyncExitStack() as stack:
            await self._open(stack)
            build(self)
            await self._until_there(self._streams())
            self._has_streams = True
            await self._begin(stack)
            yield

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        self.credentials = self.make_credentials()
        stack.push_async_callback(self.credentials.close)
        self.database = Database(self.name, settings.database_url.get_secret_value(), pool=settings.database_pool)
        stack.push_async_callback(self.database.close)
        self.directory = self.make_directory()
        stack.push_async_callback(self.directory.close)
        self.revocations = revocation.Revocations()
        self.verifier = identity.Verifier(self.credentials.keys, self.revocations.is_void)
        self._grpc = grpc.aio.server(options=_SERVER_OPTIONS)
        self.server = server.Server(self._grpc, verifier=self.verifier, database=self.database)
        self.revocations.on_revocation(self.server.revoke)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        # Until NATS is there, and JetStream has a leader, /readyz says so.
        self.nats = Nats()
        self._operate(stack)
        self.nats = await self._until_there(streams.connect(settings.nats_url, self.name))
        stack.push_async_callback(self.nats.close)
        await self.revocations.follow(self.nats)

    def _operate(self, stack: contextlib.AsyncExitStack) -> None:
        checks = {
            "database": self.database.ready,
            "nats": self._nats_ready,
            "streams": self._streams_ready,
            "keys": self.verifier.ready,
        }
        operations = Operations(checks, host=self.settings.ops_host, port=self.settings.ops_port)
        operations.start()
        stack.push_async_callback(operations.stop)

    async def _until_there(self, coming: Coroutine[Any, Any, _T]) -> _T:
        waiting = asyncio.ensure_future(coming)
        stopped = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not waiting.done():
            waiting.cancel()
            raise SystemExit(0)
        return waiting.result()

    async def _streams(self) -> None:
        """Until the streams are there and, in production, can lose nothing that they acknowledge.

        Nothing is begun before. Raises `stream_rules.UnsafeError`.
        """
        while True:
            try:
                refused = await self._make_streams()
                safe = not self._is_production or not (await self._examine()).unknown
                if safe and refused is None:
                    return
            except nats.errors.Error as failure:
                refused = failure
            if refused is not None:
                log.info("streams_not_ready", error=str(refused))
            await asyncio.sleep(registration.RETRY_S)

    async def _make_streams(self) -> nats.errors.Error | None:
        """Make them, or bring them to our configuration; what NATS has against it."""
        try:
            await streams.ensure(self.nats, replicas=self.settings.stream_replicas)
            for bucket in self._buckets:
                await bucket.ensure()
        except (BadRequestError, ServerError) as failure:
            # Not for now, but for good: the examination says why.
            return failure
        return None

    async def _examine_the_rest(self) -> None:
        """Look again until no server is away: it comes back as it is configured then.

        A fault that is found now is told and ends nothing: a suite that stopped would lose more than it might.
        """
        while True:
            with contextlib.suppress(nats.errors.Error):
                try:
                    findings = await self._examine()
                except stream_rules.UnsafeError as failure:
                    log.error("nats_unsafe", reason=str(failure))  # noqa: TRY400 -- the reason is the message
                else:
                    if not findings.away and not findings.unknown:
                        return
            await asyncio.sleep(EXAMINE_EVERY_S)

    async def _examine(self) -> stream_rules.Findings:
        """What is known of streams and servers. Raises `stream_rules.UnsafeError`, and what NATS raises."""
        names = [*streams.NAMES, *(each.stream for each in self._buckets)]
        findings = await stream_rules.examine(self.nats, names, self.settings.nats_monitor_urls)
        for line in findings.away:
            log.warning("nats_server_not_examined", reason=line)
        for line in findings.unknown:
            log.info("nats_not_examined", reason=line)
        if findings.faults:
            raise stream_rules.UnsafeError(findings.faults)
        return findings

    async def _begin(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        port = self._grpc.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
        self.address = f"{settings.advertise_host}:{port}"
        await self._grpc.start()
        self.registration = self.make_registration(self.address)
        # Left last to first: no new calls, then none at all, then no more work, then out of the registry.
        stack.push_async_callback(self.registration.close)
        stack.push_async_callback(self.registration.leave)
        stack.push_async_callback(self._end_work)
        stack.push_async_callback(self._drain)
        relay = outbox.Relay(self.database, self.nats)
        self._work += [self.directory.run(), self._prepare(), relay.run(), self.registration.run()]
        if self._is_production:
            self._work.append(self._examine_the_rest())
        if self._handlers:
            self._work.append(inbox.Inbox(self.database, self.nats, self._handlers).run())
        self._tasks = [asyncio.create_task(work) for work in self._work]
        for task in self._tasks:
            task.add_done_callback(self._on_task_done)
        log.info("serving", address=self.address)

    async def _prepare(self) -> None:
        """Become ready: everything that a call needs has been seen once."""
        while not (await self.database.ready() and await self.verifier.ready()):
            await asyncio.sleep(registration.RETRY_S)
        for check in self._needed:
            while not await check():
                await asyncio.sleep(0.05)
        self._ready = True
        self.ready.set()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        self.registration.tell()
        log.info("ready")

    async def _nats_ready(self) -> bool:
        return self.nats.is_connected

    async def _streams_ready(self) -> bool:
        return self._has_streams

    async def _drain(self) -> None:
        """Have no new calls sent here, then take no more, then finish those that are under way."""
        ends_at = time.monotonic() + self.settings.drain_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_s / 2):
                if await self.registration.drain():
                    await self._until_quiet()
        self._ready = False
        await self._health.enter_graceful_shutdown()
        self.server.drain()
        await self._grpc.stop(max(ends_at - time.monotonic(), 0.0))

    async def _until_quiet(self) -> None:
        began = time.monotonic()
        while (wait_s := max(began, self.server.called_at) + QUIET_S - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)

    async def _end_work(self) -> None:
        for task in self._tasks:
            task.remove_done_callback(self._on_task_done)
        pending = set(self._tasks)
        while pending:
            for task in pending:
                task.cancel()
            # Before Python 3.12 `asyncio.wait_for` may swallow a cancellation that meets its result: ask again.
            _done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            # Work that must go on has died of a bug: a clean restart is better than half a process.
            log.error("background_work_died", exc_info=failure)
            self._stopping.set()


async def _tidy(ready: asyncio.Event) -> None:
    """Take what a process begins with out of the garbage collector's rounds: a whole one stops it for 100 ms."""
    await ready.wait()
    gc.collect()
    gc.freeze()
