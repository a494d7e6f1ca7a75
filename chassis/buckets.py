"""A JetStream key-value bucket: the last value of each key, changed only by compare-and-set.

A read may be old and says so by its revision; every decision is a `put` that names the revision it was made from, and
that the stream's leader refuses when another write came first (ADR-8 of nats-architecture-and-design; the header
`Nats-Expected-Last-Subject-Sequence`). A revision is the position in the bucket's stream: it grows over all keys, and
never goes back. A bucket that is made begins with the milliseconds since 1970, which is beyond every revision of one
that was there before, as long as nobody writes a thousand times a second for years.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import nats.errors
import orjson
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import Error, NotFoundError

from chassis import clock, errors, streams

TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.25
# The server says this often that there is nothing new; a watch that has heard nothing for three times as long begins
# again where it was.
HEARTBEAT_S: Final = 0.5
# A watch that is as far behind its reader begins again where it was, so that memory stays bounded.
HEARD_MAX: Final = 65_536
# A new leader may not have taken in all that was acknowledged; a stream that is this often found to be shorter than it
# was will stay so.
SHORTER_MAX: Final = 20
# The key of what a reader writes to be sure of what it reads.
BARRIER: Final = "barrier"
_WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
# $JS.ACK.<stream>.<consumer>.<deliveries>.<in the stream>.<to the consumer>.<time>.<pending>
_PLAIN_REPLY_TOKENS: Final = 9
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]")

log = structlog.get_logger()


class Stale(Exception):
    """Another write to the key came first."""


class RemadeError(Exception):
    """The bucket is another one than before: what is known of it is void."""


@dataclass(frozen=True)
class Entry:
    """A key's value as it was written at `revision`."""

    key: str
    value: bytes
    revision: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CaughtUp:
    """A watch has passed on all that was in the bucket when it began; told again whenever it had to begin again."""


def token(name: str) -> str:
    """Any text as one token of a key: what is no letter, digit, `_` or `-` stands as `=` and two hex digits a byte."""
    return "".join(each if _PLAIN.match(each) else "".join(f"={byte:02x}" for byte in each.encode()) for each in name)


def name_of(token: str) -> str:
    """The text that `token` was made of."""
    return re.sub(rb"=([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), token.encode()).decode()


class Bucket:
    """One bucket. Keys are tokens joined by dots.

    `history`: so many values of a key are kept, for who reads the stream to see each one.
    """

    def __init__(self, connection: Nats, name: str, *, replicas: int, history: int = 1) -> None:
        self._connection = connection
        self._context = connection.jetstream(timeout=TIMEOUT_S)
        self._replicas = replicas
        self._history = history
        self._requests = _Requests(connection)
        self._prefix = f"$KV.{name}."
        self.stream = f"KV_{name}"
        self.subjects = f"{self._prefix}>"

    async def ensure(self) -> None:
        """Create the bucket, or bring it to this configuration. Raises what NATS raises while it is away."""
        config = StreamConfig(
            name=self.stream,
            subjects=[self.subjects],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=self._replicas,
            max_msgs_per_subject=self._history,
            # Only who takes itself for the leader answers: the value that any other copy has may be much older.
            allow_direct=False,
            allow_msg_ttl=True,
            deny_delete=True,
            first_seq=await self._first(),
        )
        await streams.create_or_update(self._context, config)

    async def _first(self) -> int | None:
        try:
            return (await self._context.stream_info(self.stream)).config.first_seq
        except NotFoundError:
            return int(clock.now().timestamp() * 1000)

    async def get(self, key: str) -> Entry | None:
        """The last value, as the stream's leader has it. Raises `Unavailable`.

        Of a leader that was cut off and does not know it yet it is an old one, and a `put` made from that is refused.
        """
        try:
            found = await self._context.get_last_msg(self.stream, self._prefix + key)
        except NotFoundError:
            return None
        except (Error, nats.errors.Error) as failure:
            raise errors.Unavailable(f"the bucket did not answer: {failure!r}") from failure
        assert found.seq is not None
        return Entry(key, found.data or b"", found.seq, found.headers or {})

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        last: int,
        ttl_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Write a value if the key is still at the revision `last` (0: it has no value); the new revision.

        After `ttl_s` seconds without another write the key is forgotten. Raises `Stale` when another write came first,
        and `Unavailable` when it is not known whether the value was written: read it again.
        """
        told = {**(headers or {}), Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(last)}
        if ttl_s is not None:
            told[Header.MSG_TTL] = str(ttl_s)
        return await self._write(key, value, told)

    async def barrier(self) -> int:
        """A revision beyond every write that was acknowledged before. Raises `Unavailable`.

        It is a write of its own (under the key `BARRIER`, which watches tell of): a leader that was cut off answers
        reads for some seconds more, and has no majority for a write.
        """
        return await self._write(BARRIER, b"", {})

    async def _write(self, key: str, value: bytes, told: dict[str, str]) -> int:
        try:
            stored = orjson.loads(await self._requests.ask(self._prefix + key, value, told))
        except (nats.errors.Error, TimeoutError, orjson.JSONDecodeError) as failure:
            raise errors.Unavailable(f"the bucket did not answer: {failure!r}") from failure
        if refusal := stored.get("error"):
            if refusal.get("err_code") in _WRONG_LAST_SEQUENCE:
                raise Stale
            raise errors.Unavailable(f"the bucket refused a write: {refusal}")
        revision: int = stored["seq"]
        return revision

    async def forget(self, key: str, *, until: int) -> None:
        """Forget a key whose last value has the revision `until`; a later one stays. Raises `Unavailable`."""
        try:
            await self._context.purge_stream(self.stream, seq=until + 1, subject=self._prefix + key)
        except (Error, nats.errors.Error) as failure:
            raise errors.Unavailable(f"the bucket did not answer: {failure!r}") from failure

    async def revision(self) -> int:
        """The revision of the bucket's last write, as far as its leader knows. Raises `Unavailable`."""
        try:
            return (await self._context.stream_info(self.stream)).state.last_seq
        except (Error, nats.errors.Error) as failure:
            raise errors.Unavailable(f"the bucket did not answer: {failure!r}") from failure

    async def watch(self, *, after: int = 0) -> AsyncIterator[Entry | CaughtUp]:
        """The last value of every key that was written after the revision `after`, then each change, in order.

        Goes on over every fault, where it was, until it is closed. A key that is forgotten (`ttl_s`) is not told of.
        Raises `RemadeError`.
        """
        identity = _Identity(self.stream)
        while True:
            try:
                async for found in self._follow(after, identity):
                    if isinstance(found, Entry):
                        after = found.revision
                    yield found
            except (Error, nats.errors.Error, OSError) as failure:
                log.info("watch_interrupted", bucket=self.stream, error=repr(failure))
            await asyncio.sleep(RETRY_S)

    async def _follow(self, after: int, identity: "_Identity") -> AsyncIterator[Entry | CaughtUp]:
        """Until something is amiss: a message was lost on its way, or the server has gone silent."""
        inbox, heard = self._connection.new_inbox(), _Heard()
        subscription = await self._connection.subscribe(inbox, cb=heard.take)
        try:
            config = ConsumerConfig(
                deliver_subject=inbox,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE if after else DeliverPolicy.LAST_PER_SUBJECT,
                opt_start_seq=after + 1 if after else None,
                filter_subject=self.subjects,
                ack_policy=AckPolicy.NONE,
                idle_heartbeat=HEARTBEAT_S,
                inactive_threshold=30.0,
                num_replicas=1,
                mem_storage=True,
            )
            consumer = await self._context.add_consumer(self.stream, config)
            # Asked afterwards: what is followed is this stream.
            if not identity.holds(await self._context.stream_info(self.stream), after):
                return
            behind = consumer.num_pending or 0
            if not behind:
                yield CaughtUp()
            position = 0
            while True:
                message = await heard.next(timeout_s=3 * HEARTBEAT_S)
                if not message.reply:
                    # A heartbeat says how far the server is; one further than we are, something was lost.
                    if int((message.headers or {}).get("Nats-Last-Consumer", 0)) > position:
                        return
                    continue
                revision, number, pending = _numbers(message.reply)
                if number != position + 1:
                    return
                position += 1
                yield Entry(message.subject.removeprefix(self._prefix), message.data, revision, message.headers or {})
                if behind and not pending:
                    behind = 0
                    yield CaughtUp()
        finally:
            await _end(subscription)


class _Identity:
    """Whether a stream is still the one that it was."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._created: datetime | None = None
        self._shorter = 0

    def holds(self, info: StreamInfo, after: int) -> bool:
        """Whether it can be followed after a revision now. Raises `RemadeError`."""
        self._created = self._created or info.created
        self._shorter = self._shorter + 1 if info.state.last_seq < after else 0
        if info.created != self._created or self._shorter > SHORTER_MAX:
            raise RemadeError(self._stream)
        return not self._shorter


class _Requests:
    """Requests whose answers come by one subscription. What nats-py offers for that takes three times the CPU."""

    def __init__(self, connection: Nats) -> None:
        self._connection = connection
        self._inbox = ""
        self._last = 0
        self._answers: dict[str, asyncio.Future[bytes]] = {}

    async def ask(self, subject: str, value: bytes, headers: dict[str, str]) -> bytes:
        """The answer. Raises what NATS raises, and `TimeoutError`."""
        if not self._inbox:
            # Sent before what is published from now on: nats-py keeps the order of calls.
            self._inbox = self._connection.new_inbox()
            await self._connection.subscribe(f"{self._inbox}.*", cb=self._take)
        self._last += 1
        reply, loop = f"{self._inbox}.{self._last}", asyncio.get_running_loop()
        answer = self._answers[reply] = loop.create_future()
        timer = loop.call_later(TIMEOUT_S, _give_up, answer)
        try:
            await self._connection.publish(subject, value, reply=reply, headers=headers)
            told: bytes = await answer
            return told
        finally:
            timer.cancel()
            del self._answers[reply]

    async def _take(self, message: Msg) -> None:
        answer = self._answers.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message.data)


def _give_up(answer: asyncio.Future[bytes]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


class _Heard:
    """The messages of a subscription, waited for without a task for each, as nats-py has it."""

    def __init__(self) -> None:
        self._messages: deque[Msg] = deque()
        self._there = asyncio.Event()

    async def take(self, message: Msg) -> None:
        """One more; what is too much is dropped, and missed by who counts."""
        if len(self._messages) < HEARD_MAX:
            self._messages.append(message)
        self._there.set()

    async def next(self, *, timeout_s: float) -> Msg:
        """The next message. Raises `TimeoutError`."""
        if not self._messages:
            self._there.clear()
            async with asyncio.timeout(timeout_s):
                await self._there.wait()
        return self._messages.popleft()


def _numbers(reply: str) -> tuple[int, int, int]:
    """A message's number in the stream and among those sent to us, and how many are still to come (ADR-15)."""
    tokens = reply.split(".")
    # Newer servers name the domain and the account besides.
    first = 5 if len(tokens) == _PLAIN_REPLY_TOKENS else 7
    return int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 3])


async def _end(subscription: Subscription) -> None:
    try:
        await subscription.unsubscribe()
    except nats.errors.Error:
        # The connection is closed, and the subscription with it.
        return
