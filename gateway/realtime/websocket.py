"""`/ws`: one connection for all channels, in JSON text frames; and the paths of one channel alone.

A client shows its token in the `Authorization` header, as `?token=` or in its first frame; joins channels; and is told
of every event on them. What it may see is judged by its pass: at each join, whenever the pass is exchanged anew (about
once a minute), and within moments of a revocation.
"""

import asyncio
import contextlib
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from chassis.revocation import Revocation
from gateway.errors import Problem
from gateway.headers import Head, asked
from gateway.listener import EXTENSION, FramesProtocol
from gateway.passes import Asked, Pass, Passes, asking
from gateway.realtime import channels, client
from gateway.realtime.hub import Hub, frame
from gateway.realtime.snapshots import Snapshots
from gateway.settings import Settings
from gateway.trail import Trail

PATH: Final = "/ws"
FIRST_FRAME_S: Final = 5.0
# After a restart of the gateway, clients come back spread over this time.
RECONNECT_WITHIN_MS: Final = 5000


class Sockets:
    """All connections of this gateway. Called as the ASGI application of websockets."""

    def __init__(self, settings: Settings, *, hub: Hub, snapshots: Snapshots, passes: Passes, trail: Trail) -> None:
        self._settings = settings
        self._hub = hub
        self._snapshots = snapshots
        self._passes = passes
        self._trail = trail
        self._open: set[client.Socket] = set()
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
        socket = None
        try:
            socket = await self._welcome(scope, receive, connection)
            if socket is not None:
                _join_only(socket, scope)
        except client.Refused as refused:
            if socket is not None:
                socket.end()
            connection.push(frame(orjson.dumps({"type": "error", "code": refused.code, "message": refused.message})))
            connection.finish(client.CLOSE_DENIED, refused.message)
            return
        except Problem as problem:
            connection.push(frame(orjson.dumps({"type": "error", "code": problem.code, "message": problem.message})))
            connection.finish(client.close_code(problem), problem.message)
            return
        if socket is not None:
            await self._serve(socket, receive)

    def move_away(self) -> int:
        """Send every client elsewhere: this gateway is about to stop. How many there were."""
        self._draining = True
        for socket in self._open:
            socket.tell(type="reconnect", within_ms=RECONNECT_WITHIN_MS)
            socket.connection.finish(client.CLOSE_RESTART, "the gateway restarts")
        return len(self._open)

    async def _welcome(self, scope: Any, receive: Any, connection: FramesProtocol) -> client.Socket | None:
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

        def get_state(name: str, shown: Pass) -> client.Read | None:
            return self._snapshots.of(name, shown, head)

        socket = client.Socket(connection, wanted, hub=self._hub, get=get, get_state=get_state)
        socket.admit(await get(wanted))
        return socket

    async def _serve(self, socket: client.Socket, receive: Any) -> None:
        assert socket.shown is not None
        tenant = str(socket.shown.principal.tenant)
        if self._by_tenant.get(tenant, 0) >= self._settings.sockets_tenant_max:
            socket.tell(type="error", code="SOCKETS_MAX", message="the tenant has too many connections")
            socket.connection.finish(client.CLOSE_TRY_LATER, "too many connections")
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
                socket.connection.finish(client.CLOSE_UNAUTHENTICATED, "the session has ended")
            else:
                socket.renew()


def _join_only(socket: client.Socket, scope: Any) -> None:
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
    with contextlib.suppress(client.Refused):
        first = client.parse(message.get("text"))
        if first.get("type") == "auth":
            tenant = first.get("tenant_id")
            return Asked(client.text(first, "token"), tenant if isinstance(tenant, str) else "")
    raise Problem("UNAUTHENTICATED", "the first frame must be an auth frame")


async def _refuse(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
