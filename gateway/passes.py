"""Credentials for passes: asked of auth once for each (credential, tenant, site) and kept until the pass ends.

What auth revokes is dropped at once when its event arrives, and ends by itself within a pass's life when none does.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple, Protocol

import grpc.aio
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc

from chassis import clock, errors, revocation
from chassis.identity import Principal, Verifier
from chassis.revocation import Revocation
from chassis.rpc import client, metadata
from gateway.backends import Told, problem
from gateway.errors import Problem
from gateway.limits import Demand

DEADLINE_S: Final = 5.0
# auth refuses a longer one anyway.
CREDENTIAL_LEN_MAX: Final = 8192
# A pass is not used in its last seconds: the service that verifies it has a clock of its own.
MARGIN_S: Final = 3.0
# A pass that is in use is exchanged anew this long before its end, so that nobody waits for it.
AHEAD_S: Final = 15.0
# A refusal is repeated for so long without asking again.
REFUSED_S: Final = 1.0
# About 3 kB each.
PASSES_MAX: Final = 20_000
REFUSALS_MAX: Final = 10_000
# Revocations are remembered for as long as an exchange could have begun before them.
REVOKED_S: Final = 2 * DEADLINE_S
TRIES: Final = 3


class Asked(NamedTuple):
    """What a client shows. `tenant` and `site` are UUIDs as text, or empty."""

    credential: str
    tenant: str = ""
    site: str = ""


class Pass:
    """A pass and what follows from it.

    Times are in seconds since 1970; `credential_ends_at` is infinite for a token without an end. `networks` are those
    that the credential may be shown from; none: anywhere.
    """

    __slots__ = (
        "credential_ends_at",
        "demands",
        "ends_at",
        "has_strayed",
        "marks",
        "networks",
        "principal",
        "token",
        "told",
    )

    def __init__(
        self,
        token: str,
        principal: Principal,
        ends_at: float,
        credential_ends_at: float,
        networks: Iterable[str] = (),
    ) -> None:
        self.token = token
        self.principal = principal
        self.ends_at = ends_at
        self.credential_ends_at = credential_ends_at
        self.told = (metadata.PASS, token)
        # What its calls are charged to, by rate class; filled by who charges.
        self.demands: dict[str, Demand] = {}
        self.marks = revocation.marks(principal)
        # Whether it was shown from elsewhere.
        self.has_strayed = False
        self.networks = tuple(ip_network(each, strict=False) for each in networks)

    def may_come_from(self, address: str) -> bool:
        """Whether the credential may be shown from a client's address."""
        if not self.networks:
            return True
        found = _plain(address)
        return found is not None and any(found in network for network in self.networks)


class Asking(Protocol):
    """Who shows a credential: a request's head."""

    def circumstances(self, carried: tuple[str, str] | None, *, conditions: bool = True) -> Told:
        """The metadata that tells of it."""
        ...


# Set by whoever takes a request in, for auth to know from where a credential is shown.
asking: Final[ContextVar[Asking | None]] = ContextVar("asking", default=None)


class Auth:
    """What the gateway asks of auth, at its fixed address."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=client.OPTIONS)
        self._stub = auth_pb2_grpc.AuthServiceStub(self._channel)

    async def exchange(self, asked: Asked) -> auth_pb2.Pass:
        """The pass for a credential. Raises `Problem`."""
        request = auth_pb2.ExchangeTokenRequest(credential=asked.credential, tenant_id=asked.tenant, site_id=asked.site)
        who = asking.get()
        told = who.circumstances(None, conditions=False) if who is not None else ()
        try:
            # Waiting for the connection bridges a restart of auth.
            issued: auth_pb2.Pass = await self._stub.ExchangeToken(
                request, timeout=DEADLINE_S, wait_for_ready=True, metadata=told
            )
        except grpc.aio.AioRpcError as failure:
            if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Problem("UNAVAILABLE") from None
            raise problem(failure) from None
        return issued

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class Passes:
    """The passes that are in use."""

    def __init__(self, auth: Auth, verifier: Verifier) -> None:
        self._auth = auth
        self._verifier = verifier
        # What a dropped key signed is good nowhere any more.
        verifier.on_dropped(self.forget)
        self._passes: OrderedDict[bytes, Pass] = OrderedDict()
        self._by_mark: dict[str, set[bytes]] = {}
        self._exchanges: dict[bytes, asyncio.Task[Pass]] = {}
        self._refused: OrderedDict[bytes, tuple[Problem, float]] = OrderedDict()
        self._revoked: OrderedDict[str, float] = OrderedDict()
        self._listeners: list[Callable[[Revocation], None]] = []

    def find(self, asked: Asked) -> Pass | None:
        """The pass that is kept, without awaiting; None when it must be asked for with `get`."""
        key = _key(asked)
        kept = self._passes.get(key)
        if kept is None:
            return None
        remaining_s = kept.ends_at - _now()
        if remaining_s <= MARGIN_S:
            return None
        if remaining_s < AHEAD_S and key not in self._exchanges:
            self._begin(key, asked)
        return kept

    async def get(self, asked: Asked, *, fresh: bool = False) -> Pass:
        """The pass for a credential; exchanges of one credential at one time are one. Raises `Problem`.

        With `fresh` only a pass will do that has more than half of its life before it.
        """
        kept = self.find(asked)
        if kept is not None and not (fresh and kept.ends_at - _now() < AHEAD_S * 2):
            return kept
        key = _key(asked)
        refused = self._refused.get(key)
        if refused is not None and refused[1] > _now():
            raise refused[0].with_traceback(None)
        exchange = self._exchanges.get(key) or self._begin(key, asked)
        # One client that goes away does not take the others' exchange with it.
        return await asyncio.shield(exchange)

    async def renew(self, asked: Asked, stale: Pass) -> Pass:
        """A pass that was issued after `stale`, which a service has refused. Raises `Problem`."""
        key = _key(asked)
        under_way = self._exchanges.get(key)
        if under_way is not None:
            # Begun before, it may know as little.
            stale = await asyncio.shield(under_way)
        if self._passes.get(key) is stale:
            self._drop(key)
        return await self.get(asked)

    def on_revocation(self, listener: Callable[[Revocation], None]) -> None:
        """Tell `listener` of every revocation, after the passes have been dropped."""
        self._listeners.append(listener)

    def take_event(self, tenant: str, kind: str, payload: bytes) -> None:
        """Drop what an event revokes; `kind` is `<service>.<Event>`, `payload` the CloudEvent."""
        found = revocation.read(tenant, kind, payload)
        if found is not None:
            self.revoke(found)

    def forget(self) -> None:
        """Drop every pass: each is asked for anew when it is needed."""
        for key in tuple(self._passes):
            self._drop(key)

    def revoke(self, revoked: Revocation) -> None:
        """Drop passes, those included that are being asked for at this moment."""
        self._void(revoked.marks)
        if revoked.lifts:
            self._refused.clear()
        for listener in self._listeners:
            listener(revoked)

    def outdate(self, shown: Pass) -> None:
        """Ask anew for whoever has just changed something at auth, such as where they act, before its event comes."""
        if shown.principal.session_id:
            self._void({f"session {shown.principal.session_id}"})

    def _void(self, marks: Collection[str]) -> None:
        now = _now()
        for mark in marks:
            self._revoked[mark] = now
            self._revoked.move_to_end(mark)
            for key in tuple(self._by_mark.get(mark, ())):
                self._drop(key)
        while self._revoked and next(iter(self._revoked.values())) < now - REVOKED_S:
            self._revoked.popitem(last=False)

    def _begin(self, key: bytes, asked: Asked) -> "asyncio.Task[Pass]":
        task = self._exchanges[key] = asyncio.create_task(self._exchange(key, asked))
        task.add_done_callback(lambda done: self._end(key, done))
        return task

    def _end(self, key: bytes, task: "asyncio.Task[Pass]") -> None:
        self._exchanges.pop(key, None)
        failure = None if task.cancelled() else task.exception()
        if not isinstance(failure, Problem) or failure.kind.retryable:
            return
        self._drop(key)
        self._refused[key] = (failure, _now() + REFUSED_S)
        if len(self._refused) > REFUSALS_MAX:
            self._refused.popitem(last=False)

    async def _exchange(self, key: bytes, asked: Asked) -> Pass:
        if len(asked.credential) > CREDENTIAL_LEN_MAX:
            raise Problem("UNAUTHENTICATED")
        for _ in range(TRIES):
            began = _now()
            made = await self._ask(asked)
            # A revocation that came while auth was answering may or may not be in its answer: ask again.
            if not any(self._revoked.get(mark, 0.0) >= began for mark in made.marks):
                self._keep(key, made)
                return made
        raise Problem("UNAVAILABLE")

    async def _ask(self, asked: Asked) -> Pass:
        issued = await self._auth.exchange(asked)
        try:
            principal = await self._verifier.verify(issued.token)
        except errors.Error as failure:
            # auth has just signed it: its keys have not reached us yet.
            raise Problem("UNAVAILABLE") from failure
        ends = issued.credential_expires_at
        return Pass(
            issued.token,
            principal,
            ends_at=float(issued.expires_at.seconds),
            credential_ends_at=ends.seconds + ends.nanos / 1e9 if ends.seconds else float("inf"),
            networks=issued.allowed_networks,
        )

    def _keep(self, key: bytes, made: Pass) -> None:
        self._drop(key)
        self._passes[key] = made
        for mark in made.marks:
            self._by_mark.setdefault(mark, set()).add(key)
        if len(self._passes) > PASSES_MAX:
            self._drop(next(iter(self._passes)))

    def _drop(self, key: bytes) -> None:
        dropped = self._passes.pop(key, None)
        for mark in dropped.marks if dropped is not None else ():
            keys = self._by_mark[mark]
            keys.discard(key)
            if not keys:
                del self._by_mark[mark]


def _now() -> float:
    return clock.now().timestamp()


def _plain(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _key(asked: Asked) -> bytes:
    # The digest and not the credential is kept: a memory dump holds nothing that lasts longer than a pass.
    return hashlib.sha256("\0".join(asked).encode()).digest()
