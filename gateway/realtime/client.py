"""One client's connection: the channels it has joined, the pass that lets it, and the frames it sends."""

import asyncio
from asyncio import TimerHandle
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, Protocol

import orjson

from chassis import clock
from gateway.errors import Problem
from gateway.limits import Bucket, Local, demand
from gateway.listener import FramesProtocol
from gateway.passes import AHEAD_S, Asked, Pass
from gateway.realtime import channels
from gateway.realtime.hub import Hub, Joined, Listener, Since, frame
from gateway.settings import Rate

# The client hears this long before its token ends.
REAUTH_AHEAD_S: Final = 30.0
# A pass that could not be exchanged because auth is away is tried again after this, until it ends.
RETRY_S: Final = 2.0
CHANNELS_MAX: Final = 100
# Frames that a client may send.
MESSAGES: Final = Rate(10, 100)

CLOSE_UNAUTHENTICATED: Final = 4401
CLOSE_DENIED: Final = 4403
CLOSE_POLICY: Final = 1008
CLOSE_RESTART: Final = 1012
CLOSE_TRY_LATER: Final = 1013


class GetPass(Protocol):
    """The pass for what a client shows, from where it is. Raises `Problem`."""

    async def __call__(self, wanted: Asked, *, fresh: bool = False) -> Pass:
        """Ask for it; `fresh` as in `Passes.get`."""
        ...


Read = Callable[[], Awaitable[bytes]]
# What reads the present state of a channel, as JSON, for who has a pass; None where no contract tells it.
GetState = Callable[[str, Pass], Read | None]


class Refused(Exception):
    """A command that is answered with an error frame; the connection stays."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class _Later:
    """Keeps the frames of one channel back until its state has been sent."""

    def __init__(self, push: Callable[[bytes], None]) -> None:
        self._push = push
        self._kept: list[bytes] = []
        self.push: Callable[[bytes], None] = self._kept.append

    def drop(self) -> None:
        """Forget what was kept: nobody waits for it."""
        self._kept.clear()

    def release(self) -> None:
        """Send what was kept, and from now on everything at once."""
        self.push = self._push
        for made in self._kept:
            self._push(made)
        self._kept.clear()


class Socket:
    """One client's connection."""

    def __init__(
        self, connection: FramesProtocol, asked: Asked, *, hub: Hub, get: GetPass, get_state: GetState
    ) -> None:
        self.connection = connection
        self.push: Callable[[bytes], None] = connection.push
        self.asked = asked
        self.shown: Pass | None = None
        self._hub = hub
        self._get = get
        self._get_state = get_state
        # The channels it listens to, with the tenant of each and what listens.
        self._joined: dict[str, tuple[str, Listener]] = {}
        # Channels whose state is being read.
        self._showing: dict[str, asyncio.Task[None]] = {}
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
        for name, (tenant, _) in tuple(self._joined.items()):
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
        """Be sent the state of one channel, then the data of its events. Raises `Refused`."""
        tenant = self._tenant_of(name)
        listener, state = self._listener(name)
        self._hub.join_bare(tenant, name, listener)
        self._joined[name] = tenant, listener
        if isinstance(listener, _Later):
            self._show(name, self._show_bare(state, listener))

    async def take(self, text: str | None) -> None:
        """Obey one frame of the client's."""
        now_us = asyncio.get_running_loop().time() * 1e6
        if not self._local.judge(self._messages, now_us).allowed:
            self.connection.finish(CLOSE_POLICY, "too many messages")
            return
        channel: object = None
        try:
            message = parse(text)
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
            self._join(text(message, "channel"), _since(message))
        elif kind == "unsubscribe":
            name = text(message, "channel")
            self._leave(name)
            self.tell(type="unsubscribed", channel=name)
        elif kind == "auth":
            await self._authenticate_again(text(message, "token"))
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
        self._stop_showing(name)
        listener, state = self._listener(name)
        joined = self._hub.join(tenant, name, listener, since)
        _, before = self._joined.get(name, (tenant, listener))
        if before is not listener:
            self._hub.leave(tenant, name, before)
        self._joined[name] = tenant, listener
        self.tell(type="subscribed", channel=name, offset=joined.offset, epoch=joined.epoch, recovered=joined.recovered)
        for missed in joined.missed:
            self.push(missed)
        if isinstance(listener, _Later):
            if joined.recovered:
                listener.release()
            else:
                self._show(name, self._show_state(name, joined, state, listener))

    def _listener(self, name: str) -> tuple[Listener, Any]:
        """Who listens to a channel, and its state to be asked for, where it has one."""
        assert self.shown is not None
        state = self._get_state(name, self.shown)
        return (self, None) if state is None else (_Later(self.push), state)

    def _show(self, name: str, showing: Coroutine[Any, Any, None]) -> None:
        self._showing[name] = asyncio.create_task(showing)

    async def _show_state(self, name: str, joined: Joined, state: Read, listener: _Later) -> None:
        """Send the state that the channel's coming events change: read after joining, it is not behind them."""
        try:
            data = await state()
        except asyncio.CancelledError:
            listener.drop()
            raise
        except Problem as problem:
            self.tell(type="error", channel=name, code=problem.code, message=problem.message)
        else:
            head = orjson.dumps({"type": "snapshot", "channel": name, "offset": joined.offset, "epoch": joined.epoch})
            self.push(frame(head[:-1] + b',"data":' + data + b"}"))
        finally:
            listener.release()

    async def _show_bare(self, state: Read, listener: _Later) -> None:
        try:
            self.push(frame(await state()))
        except Problem as problem:
            self.connection.finish(close_code(problem), problem.message)
        finally:
            listener.release()

    def _stop_showing(self, name: str) -> None:
        task = self._showing.pop(name, None)
        if task is not None:
            task.cancel()

    def _leave(self, name: str) -> None:
        joined = self._joined.pop(name, None)
        self._stop_showing(name)
        if joined is not None:
            tenant, listener = joined
            self._hub.leave(tenant, name, listener)

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
                self.connection.finish(close_code(problem), problem.message)
            elif _now() >= self.shown.ends_at:
                self.connection.finish(CLOSE_TRY_LATER, problem.message)
            else:
                self._timer = asyncio.get_running_loop().call_later(RETRY_S, self.renew)


def parse(sent: str | None) -> dict[str, Any]:
    """A frame of the client's. Raises `Refused`."""
    try:
        message = orjson.loads(sent or "")
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise Refused("VALIDATION_FAILED", "a frame is a JSON object")
    return message


def text(message: dict[str, Any], name: str) -> str:
    """A member that must be a string. Raises `Refused`."""
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


def close_code(problem: Problem) -> int:
    """The code with which a connection is closed for a problem."""
    if problem.kind.retryable:
        return CLOSE_TRY_LATER
    return CLOSE_DENIED if problem.kind.status is HTTPStatus.FORBIDDEN else CLOSE_UNAUTHENTICATED
