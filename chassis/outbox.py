"""The relay from a service's outbox table to JetStream.

Nothing is remembered but which rows were sent, so that ids which commit out of order are never skipped. One relay of a
service works at a time (advisory lock); it wakes when this process commits, and polls for what other processes did. A
crash between sending and marking sends again under the same `Nats-Msg-Id`. Sent rows are kept for a while: they can be
sent once more if JetStream loses its data.

Audit events are numbered here, without gaps per tenant and in the order in which they were committed, before they are
sent.
"""

import asyncio
from collections.abc import Sequence

import asyncpg
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.js.errors import Error as JetStreamError

from chassis import telemetry
from chassis.db import Database

# Rows taken at once: large enough to keep JetStream busy, small enough to mark soon.
BATCH = 500
# A safety net for what other processes of the service committed.
POLL_S = 0.5
PUBLISH_TIMEOUT_S = 5.0
RETRY_S = 0.5
# Any number, the same in every process of the service: databases have their own advisory locks.
_LEADER_LOCK = 70_001

_TAKE = """
    SELECT seq, id::text AS id, tenant_id, subject, audience, envelope, audit_number
    FROM outbox WHERE sent_at IS NULL ORDER BY seq LIMIT $1
"""
_NUMBER = """
    WITH waiting AS (
        SELECT seq, tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY seq) AS place
        FROM outbox WHERE seq = ANY($1::bigint[])
    ), counted AS (
        INSERT INTO audit_counters AS c (tenant_id, last)
        SELECT tenant_id, count(*) FROM waiting GROUP BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET last = c.last + excluded.last
        RETURNING tenant_id, last
    ), sizes AS (SELECT tenant_id, count(*) AS size FROM waiting GROUP BY tenant_id)
    UPDATE outbox SET audit_number = counted.last - sizes.size + waiting.place
    FROM waiting JOIN counted USING (tenant_id) JOIN sizes USING (tenant_id)
    WHERE outbox.seq = waiting.seq
    RETURNING outbox.seq, outbox.audit_number
"""
_MARK = "UPDATE outbox SET sent_at = now() WHERE seq = ANY($1::bigint[])"
# What is kept for a time only, and for how long: the inbox longer than JetStream keeps events, the keys as promised.
_PRUNE = """
    DELETE FROM outbox WHERE sent_at < now() - interval '2 days';
    DELETE FROM inbox WHERE handled_at < now() - interval '8 days';
    DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours';
"""
_PRUNE_EVERY_S = 600.0

log = structlog.get_logger()


class Relay:
    """Sends a service's outbox to JetStream for as long as it runs."""

    def __init__(self, database: Database, nats: Nats) -> None:
        self._database = database
        self._nats = nats
        self._sent = telemetry.meter().create_counter("switchyard.outbox.sent")

    async def run(self) -> None:
        """Relay until cancelled; what fails is tried again."""
        while True:
            try:
                await self._lead()
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                nats.errors.Error,
                JetStreamError,
            ) as failure:
                log.warning("outbox_relay_interrupted", error=repr(failure))
            await asyncio.sleep(RETRY_S)

    async def drain(self) -> None:
        """Send what is there now, once; for tests and for the end of a process."""
        connection = await self._connect()
        try:
            while await self._send_batch(connection):
                pass
        finally:
            await connection.close()

    async def _connect(self) -> asyncpg.Connection:
        connection = await self._database.connect()
        # The role that may see every tenant's outbox rows, and nothing else.
        await connection.execute(f"SET ROLE switchyard_{self._database.service}_relay")
        return connection

    async def _lead(self) -> None:
        connection = await self._connect()
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):
                await asyncio.sleep(RETRY_S)
            pruned_at = float("-inf")
            while True:
                self._database.committed.clear()
                while await self._send_batch(connection):
                    pass
                now = asyncio.get_running_loop().time()
                if now - pruned_at > _PRUNE_EVERY_S:
                    await connection.execute(_PRUNE)
                    pruned_at = now
                await self._wait()
        finally:
            await connection.close()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._database.committed.wait(), POLL_S)
        except TimeoutError:
            return

    async def _send_batch(self, connection: asyncpg.Connection) -> bool:
        rows = await connection.fetch(_TAKE, BATCH)
        if not rows:
            return False
        numbers = {row["seq"]: row["audit_number"] for row in rows}
        unnumbered = [row["seq"] for row in rows if row["audit_number"] is None and row["subject"].startswith("aud.")]
        if unnumbered:
            numbers |= {row["seq"]: row["audit_number"] for row in await connection.fetch(_NUMBER, unnumbered)}
        # Whatever was acknowledged is marked, even when a later one failed.
        outcomes = await asyncio.gather(*self._publish_all(rows, numbers), return_exceptions=True)
        sent = [row["seq"] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
        if sent:
            await connection.execute(_MARK, sent)
            self._sent.add(len(sent))
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return True

    def _publish_all(
        self, rows: Sequence[asyncpg.Record], numbers: dict[int, int | None]
    ) -> list["asyncio.Task[None]"]:
        # Tasks begin in the order in which they are made, and each writes to the socket before it first waits:
        # JetStream receives the rows in order.
        return [asyncio.create_task(self._publish(row, numbers[row["seq"]])) for row in rows]

    async def _publish(self, row: asyncpg.Record, audit_number: int | None) -> None:
        name = "service_sequence" if audit_number is not None else "sequence"
        number = audit_number if audit_number is not None else f'"{row["seq"]}"'
        payload = f'{row["envelope"][:-1]},"{name}":{number}}}'
        headers = {"Nats-Msg-Id": row["id"]}
        if row["audience"]:
            headers["Switchyard-Audience"] = row["audience"]
        await self._nats.jetstream(timeout=PUBLISH_TIMEOUT_S).publish(row["subject"], payload.encode(), headers=headers)
