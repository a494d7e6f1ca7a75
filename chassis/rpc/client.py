"""Calling other services.

`Channel` looks like a gRPC channel to a generated stub. Every call goes to one of the instances that the directory
knows now (`chassis.peers` says to which), carries the current call's pass (or this service's own, for methods that are
for services alone), deadline and trace, and raises the same `Error` class that was raised at the other end. A call that
never reached an instance is tried again at another one; so is any failed call of a method that is idempotent.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from opentelemetry.trace import SpanKind

from chassis import call, errors, faults, policy, telemetry
from chassis.identity import Principal
from chassis.peers import Peer, Pool
from chassis.rpc import metadata

TRIES = 3
# Wait this long for an instance before giving up, in seconds: a restart in a blink is not an error.
PATIENCE_S = 2.0
# A channel to an instance that is gone is closed once its calls have ended, or after this many seconds.
DRAIN_S = 10.0
# What speaks against the instance that was called, and not against the call.
FAILURES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN})
# Connections that carry nothing are probed, so that a peer is found that is dead, or hangs: without the second and
# third line gRPC waits for a minute, and soon asks no more.
OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    # A restarted peer listens again within moments: do not wait the default of 20 s to look.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
# Of the registry's processes, each of its clients keeps to one, not all to the first; when that one is lost, the next
# that answers. A name is looked up again as soon as none of its addresses does.
_REGISTRY_OPTIONS = (
    *OPTIONS,
    ("grpc.service_config", '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A new channel makes a new connection, and does not find the old one that hangs.
    ("grpc.use_local_subchannel_pool", 1),
)


class Directory(Protocol):
    """Knows where the instances of a service listen."""

    def pool(self, service: str) -> Pool:
        """The instances that take calls now."""
        ...

    async def changed(self) -> None:
        """Return when anything has changed."""
        ...


def to_instance(address: str) -> grpc.aio.Channel:
    """A channel to one process at `host:port`."""
    return grpc.aio.insecure_channel(address, options=OPTIONS)


def to_registry(target: str) -> grpc.aio.Channel:
    """A channel to whichever process of the registry answers: `target` may have several addresses."""
    return grpc.aio.insecure_channel(target, options=_REGISTRY_OPTIONS)


IssuePass = Callable[[Principal], Awaitable[str]]


class Channel:
    """A channel to a service by name, for a generated stub. `issue_pass` gives this service's own pass for a tenant."""

    def __init__(self, service: str, directory: Directory, issue_pass: IssuePass, *, deadline_s: float) -> None:
        self._service = service
        self._directory = directory
        self._issue_pass = issue_pass
        self._deadline_s = deadline_s

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,  # noqa: FBT001, FBT002
    ) -> Callable[..., Awaitable[Any]]:
        """What a stub calls for each of its methods."""
        rules = _rules(method)

        async def invoke(request: Any, timeout: float | None = None, **_ignored: object) -> Any:  # noqa: ASYNC109
            deadline = time.monotonic() + (timeout or self._deadline_s)
            told = await self._told(rules)
            peer = None
            with telemetry.span(method, SpanKind.CLIENT):
                for attempt in range(1, TRIES + 1):
                    pool = await self._pool(deadline)
                    peer = pool.choose(peer)
                    remaining = max(deadline - time.monotonic(), 0.001)
                    try:
                        with _noting(peer, pool):
                            faults.point(f"{rules.descriptor.name}.before")
                            calling = peer.unary(method, request_serializer, response_deserializer)
                            answer = await calling(request, timeout=remaining, metadata=(*told, *_trace()))
                            faults.point(f"{rules.descriptor.name}.after")
                        return answer
                    except grpc.aio.AioRpcError as failure:
                        error = errors.from_rpc_error(failure)
                        again = isinstance(error, errors.Unavailable) and (rules.idempotent or never_sent(failure))
                        if not again or attempt == TRIES or time.monotonic() >= deadline:
                            raise error from failure
                    except asyncio.CancelledError:
                        if not was_given_up():
                            raise
                        raise errors.Unavailable from None
                    # A short breath, growing and spread, for the instance to come back or to be struck off.
                    await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311
            raise AssertionError

        return invoke

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,  # noqa: FBT001, FBT002
    ) -> Callable[..., AsyncIterator[Any]]:
        """A stream from one instance; it ends with an `Error` when the instance does."""
        rules = _rules(method)

        async def invoke(request: Any, **_ignored: object) -> AsyncIterator[Any]:
            peer = (await self._pool(time.monotonic() + self._deadline_s)).choose()
            stream = peer.stream(method, request_serializer, response_deserializer)
            replies = stream(request, metadata=(*await self._told(rules), *_trace()))
            try:
                async for reply in replies:
                    yield reply
            except grpc.aio.AioRpcError as failure:
                raise errors.from_rpc_error(failure) from failure
            except asyncio.CancelledError:
                if not was_given_up():
                    raise
                raise errors.Unavailable from None
            finally:
                # Its reader may end it at any reply.
                replies.cancel()

        return invoke

    async def _pool(self, deadline: float) -> Pool:
        """The instances to choose from; waits for the first one. Raises `Unavailable`."""
        patience = min(deadline, time.monotonic() + PATIENCE_S)
        while not (pool := self._directory.pool(self._service)):
            try:
                await asyncio.wait_for(self._directory.changed(), patience - time.monotonic())
            except TimeoutError:
                message = f"no instance of {self._service} takes calls"
                raise errors.Unavailable(message, retry_after_s=1) from None
        return pool

    async def _told(self, rules: policy.Method) -> tuple[tuple[str, str | bytes], ...]:
        if rules.public:
            return ()
        current = call.current()
        own = rules.for_services_only or not current.token
        told: list[tuple[str, str | bytes]] = [
            (metadata.PASS, await self._issue_pass(current.principal) if own else current.token),
            (metadata.REQUEST_ID, current.request_id),
        ]
        if own and current.principal.kind != "service":
            told.append((metadata.ON_BEHALF_OF, current.principal.name))
            if current.principal.actor:
                told.append((metadata.ACTOR, current.principal.actor))
        if current.address:
            told.append((metadata.ADDRESS, current.address))
        return tuple(told)


def _trace() -> tuple[tuple[str, str], ...]:
    parent = telemetry.traceparent.get()
    return ((metadata.TRACEPARENT, parent),) if parent else ()


def _rules(method: str) -> policy.Method:
    service, name = method.strip("/").split("/")
    return policy.of(descriptor_pool.Default().FindServiceByName(service))[name]


@contextmanager
def _noting(peer: Peer, pool: Pool) -> Iterator[None]:
    """Note a call of an instance: while it is under way, and how it ends."""
    peer.under_way += 1
    try:
        yield
        peer.succeeded()
    except grpc.aio.AioRpcError as failure:
        if failure.code() in FAILURES:
            peer.failed(pool.peers, time.monotonic())
        else:
            peer.succeeded()
        raise
    finally:
        peer.under_way -= 1


def was_given_up() -> bool:
    """Of a call that was cancelled: whether by nobody who waits for it, but because its instance is gone."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


def never_sent(failure: grpc.aio.AioRpcError) -> bool:
    """Whether a call failed because no connection could be made: nothing of it has left."""
    # The words of gRPC core; it says so in no other way.
    details = failure.details() or ""
    unavailable = failure.code() is grpc.StatusCode.UNAVAILABLE
    return unavailable and ("failed to connect" in details or "Connection refused" in details)
