"""The counts, on a real Valkey and without one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from chassis.embedded import EmbeddedServers, free_ports
from gateway.limits import Bucket, Demand, Limiter, Local, demand
from gateway.settings import Rate, Settings, rate

SLOW = Rate(1 / 60, 3)


def _bucket(name: str = "read", rate: Rate = SLOW) -> Bucket:
    return Bucket(name, str(uuid7()), rate)


@asynccontextmanager
async def _running(url: str) -> AsyncIterator[Limiter]:
    limiter = Limiter(url)
    work = asyncio.create_task(limiter.run())
    yield limiter
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="session")
async def limiter(servers: EmbeddedServers) -> AsyncIterator[Limiter]:
    async with _running(servers.valkey_url) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def start() -> AsyncIterator[Callable[[str], Awaitable[Limiter]]]:
    async with AsyncExitStack() as stack:
        yield lambda url: stack.enter_async_context(_running(url))


async def _allowed(limiter: Limiter, asked: Demand, count: int) -> int:
    verdicts = await asyncio.gather(*(limiter.check(asked) for _ in range(count)))
    return sum(verdict.allowed for verdict in verdicts)


class TestCheck:
    async def test_a_burst_and_no_more(self, limiter: Limiter) -> None:
        assert await _allowed(limiter, demand(_bucket()), 10) == 3

    async def test_the_refused_are_told_how_long_to_wait(self, limiter: Limiter) -> None:
        asked = demand(_bucket(rate=Rate(1 / 60, 1)))
        await limiter.check(asked)

        refused = await limiter.check(asked)

        assert 59 < refused.wait_s <= 60

    async def test_room_comes_back_with_time(self, limiter: Limiter) -> None:
        asked = demand(_bucket(rate=Rate(50, 1)))
        await limiter.check(asked)

        async with asyncio.timeout(5):
            while not (await limiter.check(asked)).allowed:
                await asyncio.sleep(0.005)

    async def test_the_tightest_bucket_is_told(self, limiter: Limiter) -> None:
        verdict = await limiter.check(demand(_bucket("tenant", Rate(100, 100)), _bucket("read", Rate(10, 10))))

        assert (verdict.bucket.name, verdict.room, verdict.header) == ("read", 9, b'"read";r=9;t=1')

    async def test_a_refusal_by_one_bucket_costs_the_other_nothing(self, limiter: Limiter) -> None:
        tenant = _bucket("tenant", Rate(1 / 60, 5))
        await _allowed(limiter, demand(tenant, _bucket(rate=Rate(1 / 60, 1))), 10)

        assert await _allowed(limiter, demand(tenant), 10) == 4

    async def test_two_gateways_share_one_count(
        self, limiter: Limiter, servers: EmbeddedServers, start: Callable[[str], Awaitable[Limiter]]
    ) -> None:
        asked = demand(_bucket(rate=Rate(1 / 60, 20)))
        other = await start(servers.valkey_url)

        allowed = await asyncio.gather(_allowed(limiter, asked, 30), _allowed(other, asked, 30))

        assert sum(allowed) == 20

    async def test_more_than_one_batch_at_once(self, limiter: Limiter) -> None:
        assert await _allowed(limiter, demand(_bucket(rate=Rate(1 / 60, 700))), 1000) == 700

    async def test_the_policy_names_every_bucket(self) -> None:
        asked = demand(_bucket("tenant", Rate(100, 300)), _bucket("read", Rate(10, 10)))

        assert asked.policy == b'"tenant";q=300;w=3, "read";q=10;w=1'


class TestWithoutValkey:
    async def test_the_gateway_counts_for_itself(self, start: Callable[[str], Awaitable[Limiter]]) -> None:
        limiter = await start(f"redis://127.0.0.1:{free_ports(1)[0]}/0")

        assert await _allowed(limiter, demand(_bucket()), 10) == 3

    async def test_it_counts_as_valkey_does(self) -> None:
        local, bucket = Local(), _bucket(rate=Rate(10, 2))
        asked = demand(bucket, _bucket("tenant", Rate(10, 100)))

        verdicts = [local.judge(asked, now) for now in (0, 0, 0, 100_000, 100_000)]

        assert [verdict.allowed for verdict in verdicts] == [True, True, False, True, False]
        assert verdicts[2].wait_s == pytest.approx(0.1)
        assert [verdict.room for verdict in verdicts] == [1, 0, 0, 0, 0]


class TestRate:
    def test_it_is_written_in_words(self) -> None:
        assert rate("10/m burst 30") == Rate(10 / 60, 30)

    def test_nonsense_stops_the_start(self) -> None:
        with pytest.raises(ValidationError, match="a rate is written like"):
            Settings.model_validate({"limit_read": "fast"})
