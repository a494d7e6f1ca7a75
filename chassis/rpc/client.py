"""Calling other services.

`Channel` looks like a gRPC channel to a generated stub. Every call goes to one of the instances that the directory
knows now, carries the current call's pass (or this service's own, for methods that are for services alone), deadline
and trace, and raises the same `Error` class that was raised at the other end. A call that never reached an instance is
tried again at another one; so is any failed call of a method that is idempotent.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from opentelemetry.trace import SpanKind

from chassis import call, errors, faults, policy, telemetry
from chassis.identity import Principal
from chassis.rpc import metadata

TRIES = 3
# Wait this long for an instance before giving up, in seconds: a restart in a blink is not an error.
PATIENCE_S = 2.0
# A channel to an instance that is gone is closed once its calls have ended, or after this many seconds.
DRAIN_S = 10.0
# TCP connections that carry nothing are probed, so that a dead peer is found.
OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    # A restarted peer listens again within moments: do not wait the default of 20 s to look.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Directory(Protocol):
    """Knows where the instances of a service listen."""

    def addresses(self, service: str) -> Sequence[str]:
        """Addresses (`host:port`) of the instances that take calls now."""
        ...

    def channel(self, address: str) -> grpc.aio.Channel:
        """The open channel to an address."""
        ...

    async def changed(self) -> None:
        """Return when anything has changed."""
        ...


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
            with telemetry.span(method, SpanKind.CLIENT):
                for attempt in range(1, TRIES + 1):
                    address = await self._pick(deadline)
                    stub = self._directory.channel(address).unary_unary(
                        method, request_serializer, response_deserializer
                    )
                    try:
                        remaining = max(deadline - time.monotonic(), 0.001)
                        faults.point(f"{rules.descriptor.name}.before")
                        answer = await stub(request, timeout=remaining, metadata=(*told, *_trace()))
                        faults.point(f"{rules.descriptor.name}.after")
                        return answer
                    except grpc.aio.AioRpcError as failure:
                        error = errors.from_rpc_error(failure)
                        again = isinstance(error, errors.Unavailable) and (rules.idempotent or _never_sent(failure))
                        if not again or attempt == TRIES or time.monotonic() >= deadline:
                            raise error from failure
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
            address = await self._pick(time.monotonic() + self._deadline_s)
            stub = self._directory.channel(address).unary_stream(method, request_serializer, response_deserializer)
            try:
                async for reply in stub(request, metadata=(*await self._told(rules), *_trace())):
                    yield reply
            except grpc.aio.AioRpcError as failure:
                raise errors.from_rpc_error(failure) from failure

        return invoke

    async def _pick(self, deadline: float) -> str:
        patience = min(deadline, time.monotonic() + PATIENCE_S)
        while True:
            addresses = self._directory.addresses(self._service)
            if addresses:
                return random.choice(addresses)  # noqa: S311
            try:
                await asyncio.wait_for(self._directory.changed(), patience - time.monotonic())
            except TimeoutError:
                message = f"no instance of {self._service} takes calls"
                raise errors.Unavailable(message, retry_after_s=1) from None

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


def _never_sent(failure: grpc.aio.AioRpcError) -> bool:
    # The words of gRPC core for a connection that could not be made; nothing of the call has left.
    details = failure.details() or ""
    return "failed to connect" in details or "Connection refused" in details
