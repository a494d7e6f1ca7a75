"""The events of all services as they come: each gateway reads all of them, from now on, in the stream's order.

The consumer is ephemeral and acknowledges nothing. Silence (JetStream sends a heartbeat every second) or a gap in the
consumer's numbers makes a new one that begins where the last left off.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError

from chassis import streams

HEARTBEAT_S: Final = 1.0
# Three heartbeats missed: the consumer has gone with its server.
SILENCE_S: Final = 3.5
# JetStream removes a consumer whose gateway has gone.
ABANDONED_S: Final = 30.0
RETRY_S: Final = 0.25

log = structlog.get_logger()


class Event(NamedTuple):
    """One event: whose it is, which service said what (`<service>.<Event>`), for whom, and its bytes."""

    tenant: str
    kind: str
    audience: str
    payload: bytes


class Interrupted(Exception):
    """The consumer must be made anew."""


class Feed:
    """Hands every event to `on_event`; calls `on_loss` when some may have been lost."""

    def __init__(self, connection: Nats, on_event: Callable[[Event], None], on_loss: Callable[[], None]) -> None:
        self._nats = connection
        self._on_event = on_event
        self._on_loss = on_loss
        # Of the stream: the last event that was handed on; None before the first consumer.
        self._last: int | None = None
        self._expected = 1
        # Whether events were ever read: while NATS is away later, calls are answered all the same.
        self.has_read = False

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read()
            except (nats.errors.Error, JetStreamError, OSError, Interrupted) as failure:
                log.info("events_interrupted", error=repr(failure))
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        subscription = await self._nats.subscribe(self._nats.new_inbox())
        try:
            await self._consume(subscription)
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _consume(self, subscription: Subscription) -> None:
        manager = self._nats.jetstream()
        state = (await manager.stream_info(streams.EVENTS)).state
        if self._last is None:
            self._last = state.last_seq
        if state.last_seq < self._last or state.first_seq > self._last + 1:
            # The stream has lost its data, or we were away for longer than it keeps them.
            self._last = state.first_seq - 1 if state.messages else state.last_seq
            self._on_loss()
        config = ConsumerConfig(
            deliver_subject=subscription.subject,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._last + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject="evt.>",
            idle_heartbeat=HEARTBEAT_S,
            inactive_threshold=ABANDONED_S,
            mem_storage=True,
            num_replicas=1,
        )
        await manager.add_consumer(streams.EVENTS, config)
        self._expected = 1
        self.has_read = True
        while True:
            try:
                message = await subscription.next_msg(timeout=SILENCE_S)
            except nats.errors.TimeoutError as silence:
                raise Interrupted from silence
            self._take(message)

    def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        if not message.reply:
            # A heartbeat; it tells how many were sent, so that a lost last one is noticed.
            if int(headers.get("Nats-Last-Consumer", self._expected - 1)) >= self._expected:
                raise Interrupted
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
        parts = message.reply.rsplit(".", 5)
        if int(parts[-3]) != self._expected:
            raise Interrupted
        self._expected += 1
        self._last = int(parts[-4])
        _, tenant, kind = message.subject.split(".", 2)
        try:
            self._on_event(Event(tenant, kind, headers.get("Switchyard-Audience", ""), message.data))
        except Exception:
            # One event that cannot be handled must not stop the others.
            log.exception("event_not_handled", subject=message.subject)
