"""The public listener: uvicorn with bounds on what a connection may send before the application sees it.

Websockets are uvicorn's too; the application writes ready-made frames straight to the transport, which serves a
thousand clients in the time that one send each takes otherwise.
"""

import asyncio
import contextlib
import socket
from asyncio import TimerHandle
from collections.abc import Iterator
from typing import Any, Final

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ProtocolError
from websockets.protocol import State

from gateway.settings import Settings

# The path, the query and all headers together; beyond it nobody means well.
HEAD_LEN_MAX: Final = 64 * 1024
# A request's head that has begun must be whole after this; a connection that has sent nothing is closed then, too.
HEAD_DEADLINE_S: Final = 10.0
# Longer than load balancers keep idle connections, so that they close first and no request meets a closing one.
KEEP_ALIVE_S: Final = 75
# What a websocket client may say at once: commands, not documents.
MESSAGE_LEN_MAX: Final = 64 * 1024
PING_EVERY_S, PONG_WITHIN_S = 25.0, 20.0
# What may wait for a slow client.
WAITING_LEN_MAX: Final = 1024 * 1024
CLOSE_SLOW: Final = 4008
# How the application finds the connection in an ASGI scope.
EXTENSION: Final = "switchyard.frames"

_TOO_LARGE: Final = orjson.dumps(
    {
        "type": "urn:switchyard:problem:headers-too-large",
        "title": "Headers too large",
        "status": 431,
        "code": "HEADERS_TOO_LARGE",
        "message": "the headers are over the limit",
        "details": {},
        "request_id": "",
        "trace_id": "",
        "retryable": False,
    }
)
_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_TOO_LARGE), _TOO_LARGE)
)


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bound on the head's size and on the time that it takes."""

    _head_len = 0
    _waiting: TimerHandle | None = None
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Counted before the head is whole: one of any length would be kept in memory otherwise.
        self._head_len += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_len = 0
        elif self._head_len > HEAD_LEN_MAX:
            self.transport.write(_REFUSAL)
            self.transport.close()
        elif self._waiting is None:
            self._wait()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._waiting is not None:
            self._wait_no_more()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_DEADLINE_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class FramesProtocol(WebSocketsSansIOProtocol):
    """A websocket that the application can write ready-made frames to, and close, without waiting."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: Any = self.scope["extensions"]
            extensions[EXTENSION] = self

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        # Whoever does not answer will not read what still waits.
        self.transport.abort()

    def push(self, made: bytes) -> None:
        """Send a frame. A client that does not read is closed, and does not slow the others down."""
        if self.close_sent or self.disconnected:
            return
        if self.transport.get_write_buffer_size() > WAITING_LEN_MAX:
            self.finish(CLOSE_SLOW, "too slow: subscribe again with the last offset")
        else:
            self.transport.write(made)

    def finish(self, code: int, reason: str) -> None:
        """Close, with the client's answer awaited for a while; then the connection is cut."""
        if self.close_sent or self.disconnected or self.conn.state is not State.OPEN:
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        with contextlib.suppress(ProtocolError):
            self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """Serves an ASGI application in public."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self._socket = _bind(settings.http_host, settings.http_port)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws=FramesProtocol,
                ws_max_size=MESSAGE_LEN_MAX,
                ws_ping_interval=PING_EVERY_S,
                ws_ping_timeout=PONG_WITHIN_S,
                # Compressed frames cannot be shared, and cost more than they save for events of a kilobyte.
                ws_per_message_deflate=False,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(settings.drain_s),
            )
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        port: int = self._socket.getsockname()[1]
        return port

    async def run(self) -> None:
        """Serve until `stop`; then no connection is accepted, and requests under way are finished."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` end."""
        self._server.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.setblocking(False)  # noqa: FBT003 -- the standard library's own signature
    return bound
