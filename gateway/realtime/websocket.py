"""`/ws`: one connection for all channels, in JSON text frames; and the paths of one channel alone.

A client shows its token in the `Authorization` header, as `?token=` or in its first frame; joins channels; and is told
of every event on them. What it may see is judged by its pass: at each join, whenever the pass is exchanged anew (about
once a minute), and within moments of a revocation.
"""

import asyncio
import contextlib
from asyncio import TimerHandle
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import orjson
import structlog

from chassis import clock
from chassis.revocation import Revocation
from gateway.errors import Problem
from gateway.headers import Head, asked
from gateway.limits import Bucket, Local, demand
from gateway.listener import EXTENSION, FramesProtocol
from gateway.passes import AHEAD_S, Asked, Pass, Passes, asking
from gateway.realtime import channels
from gateway.realtime.hub import Hub, Since, frame
from gateway.settings import Rate, Settings
from gateway.trail import Trail

PATH: Final = "/ws"
FIRST_FRAME_S: Final = 5.0
# The client hears this long before its token ends.
REAUTH_AHEAD_S: Final = 30.0
# A pass that could not be exchanged because auth is away is tried again after this, until it ends.
RETRY_S: Final = 2.0
CHANNELS_MAX: Final = 100
# Frames that a client may send.
MESSAGES: Final = Rate(10, 100)
# After a restart of the gateway, clients come back spread over this time.
RECONNECT_WITHIN_MS: Final = 5000

CLOSE_UNAUTHENTICATED: Final = 4401
CLOSE_DENIED: Final = 4403
CLOSE_POLICY: Final = 1008
CLOSE_RESTART: Final = 1012
CLOSE_TRY_LATER: Final = 1013

log = structlog.get_logger()


class GetPass(Protocol):
    """The pass for what a client shows, from where it is. Raises `Problem`."""

    async def __call__(self, wanted: Asked, *, fresh: bool = False) -> Pass:
        """Ask for it; `fresh` as in `Passes.get`."""
        ...


class Refused(Exception):
    """A command that is answered with an error frame; the connection stays."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Socket:
    """One client's connection."""

    def __init__(self, connection: FramesProtocol, asked: Asked, *, hub: Hub, get: GetPass) -> None:
        self.connection = connection
        self.push: Callable[[bytes], None] = connection.push
        self.asked = asked
        self.shown: Pass | None = None
        self._hub = hub
        self._get = get
        # The channels it listens to, with the tenant of each.
        self._joined: dict[str, str] = {}
        self._warned = False
        self._timer: TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._local = Local()
        self._messages = demand(Bucket("messages", "", MESSAGES))

    def tell(self, **members: object) -> None:
        """Send one frame of the protocol."""
        self.push(frame(orjson.dumps(members)))

    def admit(self, shown: Pass) -> None:
        """Take a pass, and leave the channels that it does not allow."""
        self.shown = shown
        for name, tenant in tuple(self._joined.items()):
            if channels.tenant_of(shown.principal, name) != tenant:
                self._leave(name)
                self.tell(type="unsubscribed", channel=name, code="PERMISSION_DENIED")
        self._schedule()

    def renew(self) -> None:
        """Ask for a new pass: the old one is about to end, or void."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())

    def end(self) -> None:
        """Leave every channel; the connection has gone."""
        for name in tuple(self._joined):
            self._leave(name)
        if self._timer is not None:
            self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()

    def join_bare(self, name: str) -> None:
        """Listen to the data of one channel's events. Raises `Refused`."""
        tenant = self._tenant_of(name)
        self._hub.join_bare(tenant, name, self)
        self._joined[name] = tenant

    async def take(self, text: str | None) -> None:
        """Obey one frame of the client's."""
        now_us = asyncio.get_running_loop().time() * 1e6
        if not self._local.judge(self._messages, now_us).allowed:
            self.connection.finish(CLOSE_POLICY, "too many messages")
            return
        channel: object = None
        try:
            message = _parse(text)
            channel = message.get("channel")
            await self._obey(message)
        except Refused as refused:
            told = {"channel": channel} if isinstance(channel, str) else {}
            self.tell(type="error", code=refused.code, message=refused.message, **told)

    async def _obey(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ping":
            self.tell(type="pong")
        elif kind == "subscribe":
            self._join(_text(message, "channel"), _since(message))
        elif kind == "unsubscribe":
            name = _text(message, "channel")
            self._leave(name)
            self.tell(type="unsubscribed", channel=name)
        elif kind == "auth":
            await self._authenticate_again(_text(message, "token"))
        else:
            raise Refused("VALIDATION_FAILED", "type must be one of auth, ping, subscribe, unsubscribe")

    def _tenant_of(self, name: str) -> str:
        assert self.shown is not None
        tenant = channels.tenant_of(self.shown.principal, name)
        if tenant is None:
            # Whether there is such a channel is not told to those who may not join it.
            raise Refused("PERMISSION_DENIED", "no such channel, or not yours")
        return tenant

    def _join(self, name: str, since: Since | None) -> None:
        tenant = self._tenant_of(name)
        if len(self._joined) >= CHANNELS_MAX and name not in self._joined:
            raise Refused("CHANNELS_MAX", f"a connection has at most {CHANNELS_MAX} channels")
        joined = self._hub.join(tenant, name, self, since)
        self._joined[name] = tenant
        self.tell(type="subscribed", channel=name, offset=joined.offset, epoch=joined.epoch, recovered=joined.recovered)
        for missed in joined.missed:
            self.push(missed)

    def _leave(self, name: str) -> None:
        tenant = self._joined.pop(name, None)
        if tenant is not None:
            self._hub.leave(tenant, name, self)

    async def _authenticate_again(self, token: str) -> None:
        assert self.shown is not None
        wanted = self.asked._replace(credential=token)
        try:
            shown = await self._get(wanted)
        except Problem as problem:
            raise Refused(problem.code, problem.message) from None
        if (shown.principal.id, shown.principal.tenant_id) != (
            self.shown.principal.id,
            self.shown.principal.tenant_id,
        ):
            raise Refused("UNAUTHENTICATED", "the token is another principal's: open another connection")
        self.asked = wanted
        self._warned = False
        self.admit(shown)
        self.tell(type="authenticated")

    def _schedule(self) -> None:
        assert self.shown is not None
        if self._timer is not None:
            self._timer.cancel()
        ends_at = self.shown.credential_ends_at
        warned_or_closed_at = ends_at if self._warned else ends_at - REAUTH_AHEAD_S
        at = min(warned_or_closed_at, self.shown.ends_at - AHEAD_S)
        self._timer = asyncio.get_running_loop().call_later(max(0.05, at - _now()), self._on_time)

    def _on_time(self) -> None:
        assert self.shown is not None
        now = _now()
        if now >= self.shown.credential_ends_at:
            self.connection.finish(CLOSE_UNAUTHENTICATED, "the token has expired")
            return
        if not self._warned and now >= self.shown.credential_ends_at - REAUTH_AHEAD_S:
            self._warned = True
            self.tell(type="reauth", expires_in=max(0, int(self.shown.credential_ends_at - now)))
        if now >= self.shown.ends_at - AHEAD_S:
            self.renew()
        else:
            self._schedule()

    async def _renew(self) -> None:
        assert self.shown is not None
        try:
            self.admit(await self._get(self.asked, fresh=True))
        except Problem as problem:
            if not problem.kind.retryable:
                self.connection.finish(_close_code(problem), problem.message)
            elif _now() >= self.shown.ends_at:
                self.connection.finish(CLOSE_TRY_LATER, problem.message)
            else:
                self._timer = asyncio.get_running_loop().call_later(RETRY_S, self.renew)


class Sockets:
    """All connections of this gateway. Called as the ASGI application of websockets."""

    def __init__(self, settings: Settings, *, hub: Hub, passes: Passes, trail: Trail) -> None:
        self._settings = settings
        self._hub = hub
        self._passes = passes
        self._trail = trail
        self._open: set[Socket] = set()
        self._by_tenant: dict[str, int] = {}
        self._draining = False
        passes.on_revocation(self._on_revocation)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection until it ends."""
        await receive()
        connection: FramesProtocol = scope["extensions"][EXTENSION]
        if scope["path"] != PATH and scope["path"] not in channels.PATHS:
            await _refuse(send, 404, b"not found\n")
            return
        if self._draining or len(self._open) >= self._settings.sockets_max:
            await _refuse(send, 503, b"try again\n")
            return
        await send({"type": "websocket.accept"})
        try:
            socket = await self._welcome(scope, receive, connection)
            if socket is not None:
                _join_only(socket, scope)
        except Refused as refused:
            connection.push(frame(orjson.dumps({"type": "error", "code": refused.code, "message": refused.message})))
            connection.finish(CLOSE_DENIED, refused.message)
            return
        except Problem as problem:
            connection.push(frame(orjson.dumps({"type": "error", "code": problem.code, "message": problem.message})))
            connection.finish(_close_code(problem), problem.message)
            return
        if socket is not None:
            await self._serve(socket, receive)

    def move_away(self) -> int:
        """Send every client elsewhere: this gateway is about to stop. How many there were."""
        self._draining = True
        for socket in self._open:
            socket.tell(type="reconnect", within_ms=RECONNECT_WITHIN_MS)
            socket.connection.finish(CLOSE_RESTART, "the gateway restarts")
        return len(self._open)

    async def _welcome(self, scope: Any, receive: Any, connection: FramesProtocol) -> Socket | None:
        """Authenticate the client; None if it has gone. Raises `Problem`."""
        head = Head(scope, self._settings.trace_sample_ratio)
        asking.set(head)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        wanted = head.asked(query.get("token", [""])[-1])
        if wanted is None:
            wanted = await _first_frame(receive)
        if wanted is None:
            return None
        tenant = wanted.tenant.encode() or query.get("tenant_id", [""])[-1].encode()
        wanted = asked(wanted.credential, tenant, wanted.site.encode())

        async def get(wanted: Asked, *, fresh: bool = False) -> Pass:
            shown = await self._passes.get(wanted, fresh=fresh)
            await self._trail.refuse_elsewhere(shown, head)
            return shown

        socket = Socket(connection, wanted, hub=self._hub, get=get)
        socket.admit(await get(wanted))
        return socket

    async def _serve(self, socket: Socket, receive: Any) -> None:
        assert socket.shown is not None
        tenant = str(socket.shown.principal.tenant)
        if self._by_tenant.get(tenant, 0) >= self._settings.sockets_tenant_max:
            socket.tell(type="error", code="SOCKETS_MAX", message="the tenant has too many connections")
            socket.connection.finish(CLOSE_TRY_LATER, "too many connections")
            socket.end()
            return
        self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + 1
        self._open.add(socket)
        try:
            if self._draining:
                self.move_away()
            while (message := await receive())["type"] == "websocket.receive":
                await socket.take(message.get("text"))
        finally:
            self._open.discard(socket)
            self._by_tenant[tenant] -= 1
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]
            socket.end()

    def _on_revocation(self, revocation: Revocation) -> None:
        for socket in self._open:
            if socket.shown is None or revocation.marks.isdisjoint(socket.shown.marks):
                continue
            if revocation.final:
                socket.connection.finish(CLOSE_UNAUTHENTICATED, "the session has ended")
            else:
                socket.renew()


def _close_code(problem: Problem) -> int:
    if problem.kind.retryable:
        return CLOSE_TRY_LATER
    return CLOSE_DENIED if problem.kind.status is HTTPStatus.FORBIDDEN else CLOSE_UNAUTHENTICATED


def _join_only(socket: Socket, scope: Any) -> None:
    """Join the channel that the path names, if it names one. Raises `Refused`."""
    name = channels.PATHS.get(scope["path"])
    if name is not None:
        site = parse_qs(scope["query_string"].decode("latin-1")).get("site_id", [socket.asked.site])[-1]
        socket.join_bare(name.format(site))


async def _first_frame(receive: Any) -> Asked | None:
    """What the first frame shows; None if the client has gone. Raises `Problem`."""
    try:
        async with asyncio.timeout(FIRST_FRAME_S):
            message = await receive()
    except TimeoutError:
        raise Problem("UNAUTHENTICATED", "an auth frame was expected within 5 s") from None
    if message["type"] != "websocket.receive":
        return None
    with contextlib.suppress(Refused):
        first = _parse(message.get("text"))
        if first.get("type") == "auth":
            tenant = first.get("tenant_id")
            return Asked(_text(first, "token"), tenant if isinstance(tenant, str) else "")
    raise Problem("UNAUTHENTICATED", "the first frame must be an auth frame")


async def _refuse(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _parse(text: str | None) -> dict[str, Any]:
    try:
        message = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise Refused("VALIDATION_FAILED", "a frame is a JSON object")
    return message


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value:
        raise Refused("VALIDATION_FAILED", f"{name} must be a string")
    return value


def _since(message: dict[str, Any]) -> Since | None:
    """The last event seen: `since: {offset, epoch}`, or both beside the channel."""
    since = message.get("since")
    told = since if isinstance(since, dict) else message
    offset = told.get("offset") if since is None or isinstance(since, dict) else since
    epoch = told.get("epoch")
    if offset is None and epoch is None:
        return None
    if not isinstance(offset, int) or not isinstance(epoch, str):
        raise Refused("VALIDATION_FAILED", "since must have an offset (a number) and an epoch (a string)")
    return Since(offset, epoch)


def _now() -> float:
    return clock.now().timestamp()
