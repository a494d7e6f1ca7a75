"""A request from the socket to the answer, in this order: shape, id and trace, route, pass, rate limit, call.

Plain ASGI, because whatever stands between the server and this is paid for by every request.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import grpc.aio
import structlog
from opentelemetry.trace import SpanKind

from chassis import telemetry
from chassis.identity import REVOKED, Principal
from gateway import bodies, cache, errors, pages, raw
from gateway.backends import Backends, Unreachable, problem
from gateway.errors import Problem
from gateway.foreign import Rules
from gateway.headers import CACHE, POLICY, SECURITY, Head, Origins, Raw
from gateway.limits import Demand, Limiter, Verdict
from gateway.operation import Charges, Operation
from gateway.passes import Pass, Passes, asking
from gateway.routes import MethodNotAllowed, RouteTable
from gateway.settings import Settings
from gateway.trail import Trail
from gateway.transcode import Answer

# Path and query together.
URI_LEN_MAX: Final = 8192

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Request:
    """One request on its way."""

    __slots__ = ("head", "operation", "path", "query", "receive", "replayed", "verb", "verdict")

    def __init__(self, scope: Scope, receive: Receive, head: Head) -> None:
        self.head = head
        self.verb: str = scope["method"]
        self.path: str = scope["raw_path"].decode("ascii")
        self.query: str = scope["query_string"].decode("latin-1")
        self.receive = receive
        self.operation: Operation | None = None
        self.verdict: tuple[Demand, Verdict] | None = None
        self.replayed = False


class App:
    """The public listener's application. `sockets` answers websockets."""

    def __init__(
        self,
        settings: Settings,
        *,
        backends: Backends,
        passes: Passes,
        limiter: Limiter,
        answers: cache.Cache,
        sockets: Asgi,
        trail: Trail,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._passes = passes
        self._limiter = limiter
        self._answers = answers
        self._sockets = sockets
        self._trail = trail
        self._origins = Origins(settings.cors_origins)
        self._charges = Charges(settings)
        self._table = RouteTable.of(())
        self._operations: dict[object, Operation] = {}
        self._under_way = 0
        self._knows_routes = False

    def use(self, table: RouteTable) -> None:
        """Answer by these routes from now on."""
        foreign = self._backends.foreign
        self._operations = {
            route: Operation(route, is_foreign=route.service in foreign)
            for route in table.routes
            if not route.server_streaming
        }
        self._knows_routes = True
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or websocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._sockets(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        head = Head(scope, self._settings.trace_sample_ratio)
        telemetry.traceparent.set(head.traceparent)
        asking.set(head)
        request = Request(scope, receive, head)
        self._under_way += 1
        try:
            if head.traceparent.endswith("01"):
                with telemetry.span(f"{request.verb} {request.path}", SpanKind.SERVER):
                    status, headers, body = await self._answer(request)
            else:
                status, headers, body = await self._answer(request)
        except Problem as found:
            status, headers, body = self._refusal(found, request)
        except Exception:
            log.exception("request_failed", path=request.path, request_id=head.request_id)
            status, headers, body = self._refusal(Problem("INTERNAL"), request)
        finally:
            self._under_way -= 1
        took = time.perf_counter() - started
        headers += self._always(request, headers, len(body), status)
        headers.append((b"server-timing", b"total;dur=%.1f" % (took * 1e3)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        # What has no route is the noise of the internet.
        if request.operation is not None:
            request.operation.measure(request.verb, status, took)

    async def _answer(self, request: Request) -> tuple[int, list[Raw], bytes]:
        if len(request.path) + len(request.query) > URI_LEN_MAX:
            raise Problem("URI_TOO_LONG")
        if request.verb == "OPTIONS":
            preflight = self._origins.preflight(request.head)
            if preflight is not None:
                return 204, [*preflight, POLICY], b""
        page = pages.PAGES.get(request.path)
        if page is not None:
            return await page(request.verb, self._table)
        matched = self._table.match(request.verb, request.path)
        if matched is None:
            # Until the registry has been heard, nobody can say that there is no such thing.
            raise Problem("NOT_FOUND") if self._knows_routes else Problem("UNAVAILABLE", retry_after_s=1)
        if isinstance(matched, MethodNotAllowed):
            raise errors.method_not_allowed(matched.allowed)
        operation = request.operation = self._operations.get(matched.route)
        if operation is None:
            raise Problem("NOT_FOUND")
        bodies.check(request.head, takes_body=operation.takes_body, of_any_type=operation.raw)
        self._shed(operation)
        shown = None if operation.public else await self._pass(request)
        await self._limit(request, operation, shown)
        body = await bodies.read(request.receive) if operation.takes_body and request.head.has_body else b""
        if operation.raw:
            return await self._call_raw(request, operation, shown, body)
        answer = await self._call(request, operation, matched.params, shown, body)
        return answer.status, _sent(answer.headers, operation, replayed=request.replayed), answer.body

    def _shed(self, operation: Operation) -> None:
        if self._under_way > self._settings.concurrency_max and not operation.goes_last:
            raise Problem("OVERLOADED")

    async def _pass(self, request: Request) -> Pass:
        asked = request.head.asked()
        if asked is None:
            raise Problem("UNAUTHENTICATED")
        shown = self._passes.find(asked)
        if shown is None:
            # Whoever guesses credentials is held up before auth is.
            await self._charge(request, self._charges.exchange(request.head.address))
            shown = await self._passes.get(asked)
        if shown.networks:
            await self._trail.refuse_elsewhere(shown, request.head)
        return shown

    async def _limit(self, request: Request, operation: Operation, shown: Pass | None) -> None:
        if shown is None:
            await self._charge(request, self._charges.public(operation, request.head.address))
        else:
            await self._charge(request, self._charges.of(operation, shown))

    async def _charge(self, request: Request, demand: Demand) -> None:
        verdict = await self._limiter.check(demand)
        request.verdict = demand, verdict
        if not verdict.allowed:
            raise Problem("RATE_LIMITED", retry_after_s=verdict.wait_s)

    async def _call(
        self, request: Request, operation: Operation, params: Any, shown: Pass | None, body: bytes
    ) -> Answer:
        call = operation.transcoder.decode(params, request.query, body)
        principal = None if shown is None else shown.principal
        if call.guarded:
            _check_guarded(call.guarded, principal)
        denied = operation.read_permissions
        if denied and principal is not None:
            denied = frozenset(permission for permission in denied if not principal.may(permission))
        message = await self._ask(request, operation, call.message, shown)
        return operation.transcoder.encode(
            call,
            message,
            request_id=request.head.request_id,
            if_none_match=request.head.if_none_match,
            denied=denied,
        )

    async def _call_raw(
        self, request: Request, operation: Operation, shown: Pass | None, body: bytes
    ) -> tuple[int, list[Raw], bytes]:
        asked = raw.request(request.verb, request.path, request.query, request.head.all, body)
        return raw.answer(await self._ask(request, operation, asked, shown), operation.path)

    async def _ask(self, request: Request, operation: Operation, asked: Any, shown: Pass | None) -> Any:
        try:
            return await self._ask_once(request, operation, asked, shown)
        except Problem as found:
            if shown is None or found.code not in _STALE or found.refused_by != operation.path:
                raise _later(found) from None
        try:
            return await self._ask_once(request, operation, asked, await self._renewed(request, shown))
        except Problem as found:
            raise _later(found) from None

    async def _renewed(self, request: Request, stale: Pass) -> Pass:
        """A new pass for one that a service has refused, which may not know what the client has done since."""
        asked = request.head.asked()
        assert asked is not None
        await self._charge(request, self._charges.exchange(request.head.address))
        return await self._passes.renew(asked, stale)

    async def _ask_once(self, request: Request, operation: Operation, asked: Any, shown: Pass | None) -> Any:
        if operation.foreign is not None:
            return await self._foreign(request, operation, operation.foreign, asked, shown)
        return await self._message(request, operation, asked, shown)

    async def _foreign(
        self, request: Request, operation: Operation, rules: Rules, asked: Any, shown: Pass | None
    ) -> Any:
        """As `_message`, for a service that does not enforce its contract itself."""
        principal = None if shown is None else shown.principal
        told = request.head.circumstances(None if shown is None else shown.told, conditions=not operation.raw)
        try:
            rules.check(principal, asked)
            message = await self._message(request, operation, asked, shown)
        except Problem as found:
            if principal is not None:
                await self._trail.record(rules.record(principal, told, code=found.code))
            raise
        if principal is not None:
            await self._trail.record(rules.record(principal, told))
        return message

    async def _message(self, request: Request, operation: Operation, asked: Any, shown: Pass | None) -> Any:
        """The answer's message: from the cache where the contract allows it, else from the service."""
        head = request.head
        told = head.circumstances(None if shown is None else shown.told, conditions=not operation.raw)
        if operation.cache_s:
            principal = None if shown is None else shown.principal
            key = cache.key(principal, service=operation.service, path=request.path, query=request.query)
            message = self._answers.find(key)
            if message is None:
                asked_at = time.monotonic()
                message = await self._send(operation, asked, told, request)
                self._answers.keep(key, message, asked_at=asked_at, seconds=operation.cache_s)
            return message
        message = await self._send(operation, asked, told, request)
        if operation.changes:
            tenant = "" if shown is None else str(shown.principal.tenant)
            self._answers.drop(tenant, operation.service)
            if shown is not None and operation.service == AUTH:
                self._passes.outdate(shown)
        return message

    async def _send(self, operation: Operation, asked: Any, told: Any, request: Request) -> Any:
        keyed = b"idempotency-key" in request.head.told
        try:
            reply = await self._backends.call(
                operation.service,
                operation.path,
                asked.SerializeToString(),
                told,
                idempotent=operation.idempotent,
                deadline_s=operation.deadline_s or self._settings.deadline_s,
                trailers=keyed,
            )
        except Unreachable:
            raise Problem("UNAVAILABLE") from None
        except grpc.aio.AioRpcError as failure:
            raise problem(failure, body=operation.body) from None
        request.replayed = keyed and "idempotency-replayed" in reply.trailers
        return operation.parse(reply.body)

    def _refusal(self, found: Problem, request: Request) -> tuple[int, list[Raw], bytes]:
        body = found.body(request_id=request.head.request_id, trace_id=request.head.trace_id)
        headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in found.headers.items()]
        return found.status, [*headers, POLICY, CACHE], body

    def _always(self, request: Request, given: list[Raw], length: int, status: int) -> list[Raw]:
        is_raw = request.operation is not None and request.operation.raw
        headers: list[Raw] = [
            (b"x-request-id", request.head.request_id.encode()),
            *(raw.security(given) if is_raw else SECURITY),
        ]
        if status not in _WITHOUT_LENGTH:
            headers.append((b"content-length", b"%d" % length))
        if request.verdict is not None:
            demand, verdict = request.verdict
            headers.append((b"ratelimit", verdict.header))
            headers.append((b"ratelimit-policy", demand.policy))
        headers += self._origins.answer(request.head)
        return headers


def _later(found: Problem) -> Problem:
    """The same, but that a pass was refused which the client has never seen is not its business: it may try again."""
    return Problem("UNAVAILABLE") if found.code == REVOKED else found


# The service whose changes may change what passes say.
AUTH: Final = "auth"
# What a service says of a pass that a new one may put right.
_STALE: Final = frozenset({"STEP_UP_REQUIRED", REVOKED})
_WITHOUT_LENGTH: Final = frozenset({204, 304})


def _check_guarded(guarded: Any, principal: Principal | None) -> None:
    """The service checks the fields that are set; a patch that clears one is only seen here."""
    if principal is not None and principal.kind == "service":
        return
    missing = {
        path: [f"requires {permission}"]
        for path, permission in guarded.items()
        if principal is None or not principal.may(permission)
    }
    if missing:
        raise Problem("PERMISSION_DENIED", details=missing)


def _sent(headers: dict[str, str], operation: Operation, *, replayed: bool) -> list[Raw]:
    sent: list[Raw] = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    sent.append(POLICY)
    sent.append(operation.cache_control)
    if replayed:
        sent.append((b"idempotency-replayed", b"true"))
    return sent
