"""The post: sends what points of sale are to be told, with no transaction open, at least once.

Each message is one process's at a time, for a lease. What a POS says is kept in a transaction of its own.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from standardwebhooks.webhooks import Webhook

from chassis import call, clock, codec, errors, identity, periodic, telemetry
from chassis.db import Database
from chassis.encryption import Vault
from services.orders import pos, pos_store
from services.orders.pos import Parcel
from services.orders.pos_addresses import Forbidden, Guard, Unresolved
from services.orders.pos_store import Due

EVERY_S = 0.5
TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 3.0
# Messages on their way from this process; of one tenant no more than a quarter, so that its slow POS keeps nobody
# else's orders waiting.
FLYING_MAX = 32
FLYING_OF_TENANT = 8
# Looked at in one round: what many slow tenants wait for must not hide the others.
DUE_MAX = 512
# What is read of an answer: far more than a confirmation takes.
ANSWER_BYTES_MAX = 16 * 1024
REFERENCE_LENGTH_MAX = 200
# What a POS may ask us to wait at most.
WAIT_MAX_S = 3600.0

log = structlog.get_logger()


class NotTaken(Exception):
    """The POS did not take the message this time. The message is a code, for it stands in tables and logs."""

    def __init__(self, code: str, *, wait_s: float = 0.0) -> None:
        super().__init__(code)
        self.code = code
        self.wait_s = wait_s


@dataclass(frozen=True)
class Taken:
    """The POS took the message, and perhaps answered the order at once."""

    verdict: str = ""
    reference: str = ""


class Post:
    """Sends what waits. Many processes may do it at once."""

    def __init__(self, database: Database, vault: Vault, guard: Guard) -> None:
        self._database = database
        self._vault = vault
        self._guard = guard
        # No proxy of the environment: it would connect wherever it likes.
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)
        self._flying: dict[asyncio.Task[None], Due] = {}
        self._counted = telemetry.meter().create_counter("switchyard.orders.forwards")
        self._failed = telemetry.meter().create_gauge("switchyard.orders.forwards_failed")

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            await periodic.every(EVERY_S, self.send)
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up what is on its way: it is sent again when its lease has ended."""
        for task in self._flying:
            task.cancel()
        await self.landed()
        await self._client.aclose()

    async def landed(self) -> None:
        """Wait for what is on its way."""
        await asyncio.gather(*self._flying, return_exceptions=True)

    async def send(self) -> None:
        """Set off with what is due, without waiting for the answers."""
        if len(self._flying) >= FLYING_MAX:
            return
        async with self._transaction(None) as session:
            due = await pos_store.due(session, at=clock.now(), each=FLYING_OF_TENANT, most=DUE_MAX)
            self._failed.set(await pos_store.failed(session))
        of_tenant = Counter(flying.tenant_id for flying in self._flying.values())
        for one in due:
            free = len(self._flying) < FLYING_MAX and of_tenant[one.tenant_id] < FLYING_OF_TENANT
            if free and one not in self._flying.values():
                of_tenant[one.tenant_id] += 1
                task = asyncio.create_task(self._send(one))
                self._flying[task] = one
                task.add_done_callback(self._flying.pop)

    async def _send(self, due: Due) -> None:
        principal = identity.service_principal(self._database.service, due.tenant_id)
        with call.answering(call.Call(principal, "orders.SendToPos", category="financial")):
            try:
                await self._send_one(due)
            except errors.Error as failure:
                log.info("forward_delayed", order_id=str(due.order_id), error=failure.code)
            except Exception:
                log.exception("forward_broken", order_id=str(due.order_id))

    async def _send_one(self, due: Due) -> None:
        async with self._transaction(due.tenant_id) as session:
            parcel = await pos.take(session, self._vault, due)
        if parcel is None:
            return
        try:
            taken = await self._deliver(parcel)
        except NotTaken as failure:
            async with self._transaction(due.tenant_id) as session:
                given_up = await pos.not_sent(session, parcel, failure.code, wait_s=failure.wait_s)
            log.warning(
                "forward_failed", order_id=str(due.order_id), error=failure.code, tries=parcel.tries, given_up=given_up
            )
            self._counted.add(1, {"outcome": "failed" if given_up else "delayed"})
            return
        async with self._transaction(due.tenant_id) as session:
            await pos.sent(session, parcel, taken.verdict, taken.reference)
        self._counted.add(1, {"outcome": taken.verdict or "sent"})

    async def _deliver(self, parcel: Parcel) -> Taken:
        """Hand a message over. Raises `NotTaken`."""
        try:
            address = await self._guard.resolve(parcel.url)
            async with asyncio.timeout(TIMEOUT_S):
                return await self._exchange(parcel, address)
        except Forbidden as failure:
            raise NotTaken("ADDRESS_FORBIDDEN") from failure
        except Unresolved as failure:
            raise NotTaken("NAME_NOT_RESOLVED") from failure
        except (TimeoutError, httpx.TimeoutException) as failure:
            raise NotTaken("TIMED_OUT") from failure
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise NotTaken("NOT_REACHED") from failure

    async def _exchange(self, parcel: Parcel, address: str) -> Taken:
        url, body = httpx.URL(parcel.url), _body(parcel)
        request = self._client.build_request(
            "POST",
            # To the address that was checked; the name is still what the certificate is for and what the POS is told.
            url.copy_with(host=address),
            content=body,
            headers={"host": url.netloc.decode(), **_headers(parcel, body)},
            extensions={"sni_hostname": url.host},
        )
        response = await self._client.send(request, stream=True)
        try:
            if not response.is_success:
                raise NotTaken(f"ANSWERED_{response.status_code}", wait_s=_wait_s(response))
            return _taken(await _read(response))
        finally:
            await response.aclose()

    def _transaction(self, tenant_id: UUID | None) -> AbstractAsyncContextManager[AsyncSession]:
        return self._database.transaction(identity.service_principal(self._database.service, tenant_id))


def _body(parcel: Parcel) -> bytes:
    told = {"order": codec.to_json(parcel.order)}
    moment = clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps({"type": f"order.{parcel.due.kind}", "timestamp": moment, "data": told})


def _headers(parcel: Parcel, body: bytes) -> Mapping[str, str]:
    now = clock.now()
    return {
        "content-type": "application/json",
        # Nothing is unpacked: a small answer could be made to fill the memory.
        "accept-encoding": "identity",
        "user-agent": "Switchyard",
        "webhook-id": parcel.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(parcel.secret).sign(parcel.message_id, now, body.decode()),
    }


async def _read(response: httpx.Response) -> bytes:
    """The answer's body; nothing when it is too long to be meant for us, or broken: the message is taken anyway."""
    read = b""
    try:
        async for piece in response.aiter_raw():
            read += piece
            if len(read) > ANSWER_BYTES_MAX:
                return b""
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return b""
    return read


def _taken(body: bytes) -> Taken:
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Taken()
    if not isinstance(told, dict) or told.get("confirmed") is not True:
        return Taken()
    reference = told.get("reference")
    if not isinstance(reference, str) or len(reference) > REFERENCE_LENGTH_MAX or not reference.isprintable():
        return Taken("confirmed")
    return Taken("confirmed", reference)


def _wait_s(response: httpx.Response) -> float:
    told = response.headers.get("retry-after", "")
    return min(float(told), WAIT_MAX_S) if told.isascii() and told.isdigit() else 0.0
