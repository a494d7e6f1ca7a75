"""How many calls: GCRA in Valkey, exact across gateways and counted by operation class, never by path.

A call is charged to several buckets (its tenant's, its principal's in its class) in one step: all of them have room, or
none is charged. All checks that wait at one moment travel in one EVALSHA. While Valkey is away each gateway counts for
itself.

GCRA keeps one number a bucket, the theoretical arrival time: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import NoScriptError, RedisError

from chassis import telemetry
from gateway.settings import Rate

# One script call judges at most this many: Valkey serves nobody else meanwhile.
BATCH_MAX: Final = 200
# Valkey answers in less than a millisecond; a gateway that waits longer than this had better count for itself.
DEADLINE_S: Final = 0.25
# How long Valkey is left alone after a failure.
REST_S: Final = 1.0
# Buckets that are counted here while Valkey is away: about 20 MB.
LOCAL_MAX: Final = 100_000

# The answer is one string: for each check, microseconds to wait (0: allowed), the bucket with the least room (from 0),
# its room, and microseconds until that bucket is whole.
_SCRIPT: Final = b"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local out, key, at = {}, 0, 1
while at <= #ARGV do
  local count, tats, wait = tonumber(ARGV[at]), {}, 0
  for i = 1, count do
    local interval, tolerance = tonumber(ARGV[at + 2 * i - 1]), tonumber(ARGV[at + 2 * i])
    local tat = math.max(tonumber(redis.call('GET', KEYS[key + i]) or now), now) + interval
    wait = math.max(wait, math.ceil(tat - tolerance - now))
    tats[i] = tat
  end
  local least, which, reset = nil, 0, 0
  for i = 1, count do
    local interval, tolerance, tat = tonumber(ARGV[at + 2 * i - 1]), tonumber(ARGV[at + 2 * i]), tats[i]
    if wait > 0 then
      tat = tat - interval
    else
      redis.call('SET', KEYS[key + i], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
    end
    local room = math.max(0, math.floor((tolerance - (tat - now)) / interval + 0.000001))
    if least == nil or room < least then
      least, which, reset = room, i - 1, math.ceil(tat - now)
    end
  end
  out[#out + 1] = string.format('%.0f %d %.0f %.0f', wait, which, least, reset)
  key, at = key + count, at + 2 * count + 1
end
return table.concat(out, ' ')
"""
_SHA: Final = hashlib.sha1(_SCRIPT).hexdigest().encode()  # noqa: S324 -- how Valkey names a script
_US: Final = 1_000_000
_FIELDS: Final = 4

log = structlog.get_logger()


class Bucket(NamedTuple):
    """One count. `name` is what a client is told of it, `key` what it is counted under."""

    name: str
    key: str
    rate: Rate


class Verdict(NamedTuple):
    """Whether a call may go on, and how much room the tightest of its buckets has left."""

    wait_s: float
    bucket: Bucket
    room: int
    reset_s: float

    @property
    def allowed(self) -> bool:
        """Whether there was room."""
        return self.wait_s <= 0

    @property
    def header(self) -> bytes:
        """The `RateLimit` header (draft-ietf-httpapi-ratelimit-headers)."""
        return b'"%b";r=%d;t=%d' % (self.bucket.name.encode(), self.room, math.ceil(self.reset_s))


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """The buckets that one kind of call of one principal is charged to; made once, used for each call."""

    buckets: tuple[Bucket, ...]
    keys: bytes
    arguments: bytes
    # The `RateLimit-Policy` header.
    policy: bytes


def demand(*buckets: Bucket) -> Demand:
    """Prepare the charge of a call to these buckets."""
    numbers: list[int] = [len(buckets)]
    for bucket in buckets:
        interval = _interval_us(bucket.rate)
        numbers += (interval, interval * bucket.rate.burst)
    return Demand(
        buckets,
        keys=b"".join(_packed(f"limit:{bucket.key}".encode()) for bucket in buckets),
        arguments=b"".join(_packed(b"%d" % number) for number in numbers),
        policy=b", ".join(_policy(bucket) for bucket in buckets),
    )


class Local:
    """The same count within one process."""

    def __init__(self) -> None:
        self._tats: OrderedDict[str, float] = OrderedDict()

    def judge(self, asked: Demand, now_us: float) -> Verdict:
        """Charge a call, if all its buckets have room."""
        tats = [max(self._tats.get(bucket.key, now_us), now_us) + _interval_us(bucket.rate) for bucket in asked.buckets]
        wait_us = max(
            tat - _interval_us(bucket.rate) * bucket.rate.burst - now_us
            for bucket, tat in zip(asked.buckets, tats, strict=True)
        )
        states = []
        for bucket, charged in zip(asked.buckets, tats, strict=True):
            interval = _interval_us(bucket.rate)
            tat = charged - interval if wait_us > 0 else charged
            if wait_us <= 0:
                self._keep(bucket.key, tat)
            room = max(0, int((interval * bucket.rate.burst - (tat - now_us)) / interval + 1e-6))
            states.append((room, bucket, (tat - now_us) / _US))
        room, bucket, reset_s = min(states, key=lambda state: state[0])
        return Verdict(max(0.0, wait_us / _US), bucket, room, reset_s)

    def _keep(self, key: str, tat: float) -> None:
        self._tats[key] = tat
        self._tats.move_to_end(key)
        if len(self._tats) > LOCAL_MAX:
            self._tats.popitem(last=False)


_Waiting = tuple[Demand, "asyncio.Future[Verdict]"]


class Limiter:
    """Judges calls. `run` must be running."""

    def __init__(self, valkey_url: str) -> None:
        self._pool = ConnectionPool.from_url(valkey_url, max_connections=2, socket_connect_timeout=DEADLINE_S)
        self._connection: Connection | None = None
        self._local = Local()
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._down_until = 0.0
        self._judged = telemetry.meter().create_counter("switchyard.limits.judged")

    async def check(self, asked: Demand) -> Verdict:
        """Charge one call and say whether it may go on."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._down_until:
            return self._judge_here(asked)
        future: asyncio.Future[Verdict] = loop.create_future()
        self._waiting.append((asked, future))
        self._wake.set()
        return await future

    async def run(self) -> None:
        """Send what waits, one batch at a time: what comes meanwhile is the next batch."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                    await self._judge(batch)
        finally:
            for asked, future in self._waiting:
                self._answer(future, self._judge_here(asked))
            await self._pool.disconnect()

    async def _judge(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                numbers = (await self._ask(batch)).split()
        except (RedisError, OSError, TimeoutError) as failure:
            await self._rest(failure)
            for asked, future in batch:
                self._answer(future, self._judge_here(asked))
            return
        self._judged.add(len(batch), _BY_VALKEY)
        for place, (asked, future) in enumerate(batch):
            wait, which, room, reset = numbers[_FIELDS * place : _FIELDS * place + _FIELDS]
            bucket = asked.buckets[int(which)]
            self._answer(future, Verdict(int(wait) / _US, bucket, int(room), int(reset) / _US))

    async def _ask(self, batch: Sequence[_Waiting]) -> bytes:
        """One round trip. The command is packed by hand from parts made before: the client's own way costs 70 µs."""
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        keys = sum(len(asked.buckets) for asked, _ in batch)
        # Each check has its number of buckets and two numbers for each of them.
        arguments = len(batch) + 2 * keys
        parts = [_packed(b"%d" % keys)]
        parts += [asked.keys for asked, _ in batch]
        parts += [asked.arguments for asked, _ in batch]
        rest = b"".join(parts)
        head = b"*%d\r\n" % (3 + keys + arguments)
        try:
            return await self._send(head + _packed(b"EVALSHA") + _packed(_SHA) + rest)
        except NoScriptError:
            return await self._send(head + _packed(b"EVAL") + _packed(_SCRIPT) + rest)

    async def _send(self, command: bytes) -> bytes:
        assert self._connection is not None
        await self._connection.send_packed_command(command, check_health=False)
        answer = await self._connection.read_response(disable_decoding=True)
        assert isinstance(answer, bytes)
        return answer

    async def _rest(self, failure: Exception) -> None:
        self._down_until = asyncio.get_running_loop().time() + REST_S
        log.warning("limits_counted_here", error=repr(failure))
        connection, self._connection = self._connection, None
        if connection is not None:
            # Whatever is still on its way on this connection must not answer the next batch.
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    def _judge_here(self, asked: Demand) -> Verdict:
        self._judged.add(1, _BY_US)
        return self._local.judge(asked, asyncio.get_running_loop().time() * _US)

    @staticmethod
    def _answer(future: "asyncio.Future[Verdict]", verdict: Verdict) -> None:
        # A client that has gone has cancelled its question.
        if not future.done():
            future.set_result(verdict)


_BY_VALKEY: Final = {"by": "valkey"}
_BY_US: Final = {"by": "gateway"}


def _interval_us(rate: Rate) -> int:
    return max(1, round(_US / rate.per_s))


def _policy(bucket: Bucket) -> bytes:
    return f'"{bucket.name}";q={bucket.rate.burst};w={math.ceil(bucket.rate.window_s)}'.encode()


def _packed(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)
