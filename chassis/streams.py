"""The JetStream streams of the suite, and how a process reads one.

`EVENTS` carries what happened (`evt.<tenant>.<service>.<Event>`), `AUDIT` what goes into the trail
(`aud.<tenant>.<service>`). Consumers are durable and pull; what is not acknowledged comes again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import nats
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError
from nats.js.errors import Error as JetStreamError

EVENTS = "EVENTS"
AUDIT = "AUDIT"
NAMES = (EVENTS, AUDIT)
# Seven days of events: longer than any consumer may be away.
_MAX_AGE_S = 7 * 24 * 3600
# The window in which JetStream itself drops a message sent twice; the inbox table is the real guard.
_DUPLICATES_S = 120
# "stream name already in use with a different configuration"
_OTHER_CONFIGURATION = 10058
ACK_WAIT_S = 30
FETCH_TIMEOUT_S = 5.0
RETRY_S = 0.5

log = structlog.get_logger()

HandleBatch = Callable[[Sequence[Msg]], Awaitable[None]]


async def connect(urls: str, name: str) -> Nats:
    """A connection that reconnects for ever; the first one is retried until a server is there.

    `urls` are those of a cluster's servers with commas between. The connection is to any, and moves on to the next.
    """
    return await nats.connect(
        urls.split(","),
        name=name,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,
        # A server that was killed closes the connection; one that has gone silent (its machine is off, the network is
        # cut) is left after four seconds, which is less than JetStream may take for choosing new leaders.
        ping_interval=1,
        max_outstanding_pings=3,
        error_cb=_on_error,
        # What cannot be sent at once fails; the outbox sends it again. Nothing piles up in memory.
        pending_size=8 * 1024 * 1024,
    )


async def _on_error(failure: Exception) -> None:
    log.warning("nats_connection", error=repr(failure))


async def ensure(connection: Nats, *, replicas: int) -> None:
    """Create the suite's streams, or bring them to this configuration."""
    manager = connection.jetstream()
    for name, subjects in ((EVENTS, ["evt.>"]), (AUDIT, ["aud.>"])):
        config = StreamConfig(
            name=name,
            subjects=subjects,
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=_MAX_AGE_S,
            duplicate_window=_DUPLICATES_S,
        )
        await create_or_update(manager, config)


async def create_or_update(manager: nats.js.JetStreamContext, config: StreamConfig) -> None:
    """Create a stream, or bring it to a configuration.

    Replicas are added, and never taken from one that has more; where its numbers begin is settled when it is made.
    """
    try:
        await manager.add_stream(config)
    except BadRequestError as failure:
        if failure.err_code != _OTHER_CONFIGURATION:
            raise
        there = (await manager.stream_info(config.name or "")).config
        replicas = max(config.num_replicas or 1, there.num_replicas or 1)
        await manager.update_stream(config.evolve(num_replicas=replicas, first_seq=there.first_seq))


async def consume(
    connection: Nats,
    *,
    stream: str,
    durable: str,
    subjects: Sequence[str],
    batch: int,
    handle: HandleBatch,
    gather_s: float = 0.0,
) -> None:
    """Pull batches and hand them to `handle`, which acknowledges each message, until cancelled.

    Between two batches it waits for `gather_s`, so that what comes one by one is handled together.
    """
    while True:
        try:
            config = ConsumerConfig(
                durable_name=durable,
                filter_subjects=list(subjects),
                ack_policy=AckPolicy.EXPLICIT,
                deliver_policy=DeliverPolicy.ALL,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=max(batch * 2, 1000),
            )
            context = connection.jetstream()
            await context.add_consumer(stream, config)
            subscription = await context.pull_subscribe_bind(durable, stream)
            while True:
                messages = await _fetch(subscription, batch)
                if messages:
                    await handle(messages)
                    await asyncio.sleep(gather_s)
        except (nats.errors.Error, JetStreamError, OSError) as failure:
            log.warning("consumer_interrupted", durable=durable, error=repr(failure))
        await asyncio.sleep(RETRY_S)


async def _fetch(subscription: "nats.js.JetStreamContext.PullSubscription", batch: int) -> list[Msg]:
    try:
        return await subscription.fetch(batch, timeout=FETCH_TIMEOUT_S)
    except nats.errors.TimeoutError:
        return []
