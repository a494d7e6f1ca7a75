"""Serving methods under their policies.

Around every method: the pass is verified, the policy enforced, the message validated (protovalidate), the call made
current, an `Error` turned into a status, anything else into "internal error" with its stack in the log.

A servicer is a class with `service` (the descriptor) and one `async def` per method: `(self, request)`, or
`(self, request, session)` under `@transactional`, which opens the transaction, honours the `Idempotency-Key` in it and
commits with the answer; `@prepared` says what happens before the transaction.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status
from opentelemetry.trace import SpanKind

from chassis import audit, call, errors, idempotency, identity, policy, telemetry
from chassis.db import Database
from chassis.identity import Principal
from chassis.revocation import Revocation
from chassis.rpc import held, metadata, validation

ANONYMOUS = Principal(kind="anonymous", id="", tenant_id=None)
# Seconds; the hot path is well under ten milliseconds.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TRANSACTIONAL = "__transactional__"
_PREPARE = "__prepare__"
_NO_ATTEMPT = frozenset({"TOKEN_EXPIRED", "STEP_UP_REQUIRED"})

log = structlog.get_logger()

Method = TypeVar("Method", bound=Callable[..., Awaitable[Message]])
Told = Mapping[str, str | bytes]
Context = grpc.aio.ServicerContext[Any, Any]


class Servicer(Protocol):
    """What `Server.add` takes."""

    @property
    def service(self) -> ServiceDescriptor:
        """The contract."""
        ...


def transactional(method: Method) -> Method:
    """Mark a method that runs in one transaction and is given its session."""
    setattr(method, _TRANSACTIONAL, True)
    return method


def prepared(prepare: Callable[[Any, Any], Awaitable[object]]) -> Callable[[Method], Method]:
    """Mark a transactional method with what runs before its transaction; the result is the method's third argument.

    `prepare` is `async def (self, request)`: it asks other services and does what takes long, for which no transaction
    waits.
    """

    def mark(method: Method) -> Method:
        setattr(method, _PREPARE, prepare)
        return method

    return mark


class Server:
    """Adds servicers to a gRPC server. `database` is needed for transactional methods and to record refusals."""

    def __init__(self, grpc_server: grpc.aio.Server, *, verifier: identity.Verifier, database: Database | None) -> None:
        self._grpc = grpc_server
        self._verifier = verifier
        self._database = database
        self._streams = held.Streams()
        # When the last call began, on the monotonic clock.
        self.called_at = 0.0
        self._duration = telemetry.meter().create_histogram(
            "rpc.server.call.duration", unit="s", explicit_bucket_boundaries_advisory=_BUCKETS
        )

    def add(self, servicer: Servicer) -> None:
        """Serve every method of the servicer's contract. Raises `TypeError` for one missing or without policy."""
        descriptor = servicer.service
        policies = policy.of(descriptor)
        handlers = {}
        for method in descriptor.methods:
            implementation = getattr(servicer, method.name, None)
            if implementation is None:
                message = f"{type(servicer).__name__} lacks {method.name}"
                raise TypeError(message)
            handlers[method.name] = self._handler(method, policies[method.name], implementation)
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(descriptor.full_name, handlers),))

    def _handler(self, method: MethodDescriptor, rules: policy.Method, implementation: Any) -> Any:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        answer = self._streaming if method.server_streaming else self._unary
        return make(
            answer(rules, implementation),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=_serialize,
        )

    def _unary(self, rules: policy.Method, implementation: Any) -> Callable[..., Awaitable[Message]]:
        labels = {code: {"rpc.method": rules.path, "rpc.response.status_code": code.name} for code in grpc.StatusCode}
        perform = self._perform(rules, implementation)

        async def answer(request: Message, context: Context) -> Message:
            started = time.perf_counter()
            code = grpc.StatusCode.OK
            told = _told(context)
            token = telemetry.traceparent.set(str(told.get(metadata.TRACEPARENT, "")))
            answering: call.Call | None = None
            try:
                answering = await self._authenticate(rules, told)
                with telemetry.span(rules.path, SpanKind.SERVER), call.answering(answering):
                    reply = await perform(request, answering)
                if answering.trailers:
                    context.set_trailing_metadata(tuple(answering.trailers.items()))
                return reply
            except errors.Error as failure:
                code = failure.status
                await self._record_refusal(answering, failure)
                await context.abort_with_status(rpc_status.to_status(errors.to_status(failure)))
            except Exception:
                code = grpc.StatusCode.INTERNAL
                log.exception("rpc_failed", method=rules.path)
                await context.abort_with_status(rpc_status.to_status(errors.to_status(errors.Internal())))
            finally:
                self._duration.record(time.perf_counter() - started, labels[code])
                telemetry.traceparent.reset(token)
            raise AssertionError  # abort_with_status has raised

        return answer

    def _perform(self, rules: policy.Method, implementation: Any) -> Callable[..., Awaitable[Message]]:
        in_transaction = getattr(implementation, _TRANSACTIONAL, False)
        patches = "update_mask" in rules.descriptor.input_type.fields_by_name

        async def perform(request: Message, answering: call.Call) -> Message:
            check(rules, answering)
            validation.check(request, patches=patches)
            policy.check_writes(request, answering.principal.may)
            reply: Message
            if in_transaction:
                reply = await self._transact(rules, request, answering, implementation)
            else:
                reply = await implementation(request)
            policy.hide_unreadable(reply, answering.principal.may)
            return reply

        return perform

    def _streaming(self, rules: policy.Method, implementation: Any) -> Callable[..., AsyncIterator[Message]]:
        async def answer(request: Message, context: Context) -> AsyncIterator[Message]:
            try:
                answering = await self._authenticate(rules, _told(context))
                with call.answering(answering):
                    check(rules, answering)
                    validation.check(request, patches=False)
                    async for reply in self._streams.until_ended(answering.principal, implementation(request)):
                        yield reply
            except errors.Error as failure:
                await context.abort_with_status(rpc_status.to_status(errors.to_status(failure)))

        return answer

    def drain(self) -> None:
        """End the streams, which would otherwise go on for ever; calls finish by themselves."""
        self._streams.drain()

    def revoke(self, revoked: Revocation) -> None:
        """End the streams of passes that are void."""
        self._streams.revoke(revoked)

    async def _authenticate(self, rules: policy.Method, told: Told) -> call.Call:
        self.called_at = time.monotonic()
        token = str(told.get(metadata.PASS, ""))
        principal = ANONYMOUS
        if token:
            principal = self._verifier.cached(token) or await self._verify(token, rules)
        if principal.kind == "service" and metadata.ON_BEHALF_OF in told:
            principal = replace(
                principal,
                on_behalf_of=str(told[metadata.ON_BEHALF_OF]),
                actor=str(told.get(metadata.ACTOR, "")),
            )
        if rules.platform and principal.tenant_id is not None:
            principal = replace(principal, tenant_id=None)
        return _call(rules, told, principal, token)

    async def _verify(self, token: str, rules: policy.Method) -> Principal:
        try:
            return await self._verifier.verify(token)
        except errors.Unauthenticated as failure:
            failure.metadata[errors.REFUSED_BY] = rules.path
            raise

    async def _transact(
        self, rules: policy.Method, request: Message, answering: call.Call, implementation: Any
    ) -> Message:
        assert self._database is not None
        keyed = bool(answering.idempotency_key and rules.audit)
        if keyed:
            answering.fingerprint = idempotency.fingerprint(request)
        prepare = getattr(implementation, _PREPARE, None)
        known = () if prepare is None else (await prepare(implementation.__self__, request),)
        async with self._database.transaction() as session:
            if keyed and (stored := await idempotency.begin(session)) is not None:
                return GetMessageClass(rules.descriptor.output_type).FromString(stored)
            reply: Message = await implementation(request, session, *known)
            if keyed:
                await idempotency.store(session, reply)
        return reply

    async def _record_refusal(self, answering: call.Call | None, failure: errors.Error) -> None:
        """Leave denials and failed sign-ins in the trail, each in a transaction of its own."""
        if self._database is None or answering is None:
            return
        denied = isinstance(failure, errors.Denied)
        # That what was good has ended, or must be shown again, is nobody's attempt at anything.
        if not denied and (answering.category != "authentication" or failure.code in _NO_ATTEMPT):
            return
        try:
            with call.answering(answering):
                async with self._database.transaction() as session:
                    outcome = audit.DENIED if denied else audit.FAILURE
                    audit.add(session, outcome=outcome, error_code=failure.code)
        except errors.Error as second:
            log.warning("refusal_not_recorded", action=answering.action, error=repr(second))


def check(rules: policy.Method, answering: call.Call) -> None:
    """Enforce a method's policy on the principal. Raises `Unauthenticated`, `Denied` or `FailedPrecondition`."""
    principal = answering.principal
    if not rules.public:
        if principal is ANONYMOUS:
            raise errors.Unauthenticated
        if principal.kind not in rules.audience:
            message = f"a {principal.kind} may not call this"
            raise errors.Denied(
                message, code="PERMISSION_DENIED", metadata={"audience": ",".join(sorted(rules.audience))}
            )
        # What a service may do is said by the audience; what the others may do, by their roles.
        if rules.permission and principal.kind != "service" and not _holds(rules, principal):
            raise errors.Denied.missing(rules.permission)
        if rules.step_up:
            _check_fresh(rules, principal)
        if principal.tenant_id is None and not (rules.platform or rules.tenant_optional):
            raise errors.Invalid(fields={"X-Tenant-ID": ["is required: the credential names no tenant"]})
    if rules.idempotency_key_required and not answering.idempotency_key:
        message = "an Idempotency-Key is required"
        raise errors.FailedPrecondition(message, code="IDEMPOTENCY_KEY_REQUIRED")
    if rules.if_match_required and answering.expected_version is None:
        message = "an If-Match is required"
        raise errors.FailedPrecondition(message, code="PRECONDITION_REQUIRED")


def _check_fresh(rules: policy.Method, principal: Principal) -> None:
    try:
        policy.check_fresh(principal)
    except errors.Unauthenticated as failure:
        failure.metadata[errors.REFUSED_BY] = rules.path
        raise


def _holds(rules: policy.Method, principal: Principal) -> bool:
    return principal.may_for_platform(rules.permission) if rules.platform else principal.may(rules.permission)


def _call(rules: policy.Method, told: Told, principal: Principal, token: str) -> call.Call:
    version = told.get(metadata.EXPECTED_VERSION)
    return call.Call(
        principal=principal,
        action=rules.action,
        category=rules.audit,
        method=rules,
        token=token,
        idempotency_key=str(told.get(metadata.IDEMPOTENCY_KEY, "")),
        expected_version=int(version) if version is not None else None,
        request_id=str(told.get(metadata.REQUEST_ID, "")),
        address=str(told.get(metadata.ADDRESS, "")),
        user_agent=_text(told.get(metadata.USER_AGENT, b"")),
        audit_context=_text(told.get(metadata.AUDIT_CONTEXT, b"")),
    )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _told(context: Context) -> Told:
    return cast("Told", dict(context.invocation_metadata() or ()))


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
