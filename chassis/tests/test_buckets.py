"""A bucket that is remade, or put back to what it was, under those who follow it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client as Nats
from nats.js.api import StreamConfig, StreamInfo, StreamState
from uuid_utils.compat import uuid7

from chassis import buckets
from chassis.buckets import Bucket, CaughtUp, Entry, RemadeError
from chassis.testing import Serve

DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch finds out within a second."""
    monkeypatch.setattr(buckets, "HEARTBEAT_S", 0.2)


@pytest.fixture
def bucket(nats_client: Nats) -> Bucket:
    return Bucket(nats_client, f"b{uuid7().hex[-12:]}", replicas=1)


async def _remake(nats: Nats, bucket: Bucket) -> None:
    await nats.jetstream().delete_stream(bucket.stream)
    await bucket.ensure()


class TestRemade:
    async def test_its_watch_ends(self, bucket: Bucket, nats_client: Nats) -> None:
        await bucket.ensure()
        watch = bucket.watch()
        assert await anext(watch) == CaughtUp()

        await _remake(nats_client, bucket)
        # As far as it was before, and further: its length alone tells nothing.
        await bucket.put("a", b"1", last=0)

        with pytest.raises(RemadeError):
            await asyncio.wait_for(_exhaust(watch), DEADLINE_S)

    async def test_the_process_ends(self, bucket: Bucket, serve: Serve, nats_client: Nats) -> None:
        await bucket.ensure()
        seen = asyncio.Event()
        running = await serve("tests", lambda service: service.background(_exhaust(bucket.watch(), seen)))
        await asyncio.wait_for(seen.wait(), DEADLINE_S)

        await _remake(nats_client, bucket)

        await asyncio.wait_for(running.service._stopping.wait(), DEADLINE_S)


class TestRevision:
    async def test_of_a_bucket_that_is_made_anew_is_beyond_all_before(self, bucket: Bucket, nats_client: Nats) -> None:
        await bucket.ensure()
        before = [await bucket.put(key, b"1", last=0) for key in "abc"]

        await _remake(nats_client, bucket)

        assert await bucket.put("a", b"1", last=0) > before[-1]

    async def test_goes_on_where_others_ensure_the_bucket_or_change_it(self, bucket: Bucket, nats_client: Nats) -> None:
        await asyncio.gather(bucket.ensure(), bucket.ensure())
        before = await bucket.put("a", b"1", last=0)

        for history in (1, 2):
            await Bucket(nats_client, bucket.stream.removeprefix("KV_"), replicas=1, history=history).ensure()

        assert await bucket.put("a", b"1", last=before) == before + 1

    async def test_of_one_from_before_they_began_so_high_goes_on(self, bucket: Bucket, nats_client: Nats) -> None:
        config = StreamConfig(name=bucket.stream, subjects=[bucket.subjects], allow_msg_ttl=True, deny_delete=True)
        await nats_client.jetstream().add_stream(config)

        await bucket.ensure()

        assert await bucket.put("a", b"1", last=0) == 1


class TestShorter:
    def test_for_a_moment_is_a_leader_that_is_new(self) -> None:
        identity = buckets._Identity("KV_any")

        assert [identity.holds(_info(last), 10) for last in (10, 9, 9, 10)] == [True, False, False, True]

    def test_for_long_is_another_stream(self) -> None:
        identity = buckets._Identity("KV_any")
        for _ in range(buckets.SHORTER_MAX):
            assert not identity.holds(_info(9), 10)

        with pytest.raises(RemadeError):
            identity.holds(_info(9), 10)


def _info(last: int) -> StreamInfo:
    state = StreamState(messages=1, bytes=1, first_seq=1, last_seq=last, consumer_count=0)
    return StreamInfo(config=StreamConfig(name="KV_any"), state=state, created=datetime(2026, 1, 1, tzinfo=UTC))


async def _exhaust(watch: AsyncIterator[Entry | CaughtUp], seen: asyncio.Event | None = None) -> None:
    async for _ in watch:
        if seen is not None:
            seen.set()
