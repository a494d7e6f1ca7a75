"""Where calls go, and what happens when they fail."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from switchyard.registry.v1 import registry_pb2

from chassis import clock, errors
from chassis.directory import GONE_S
from gateway import backends
from gateway.backends import Backends, Retries
from gateway.routes import RouteTable


@pytest_asyncio.fixture(loop_scope="session")
async def house(make_house: Any) -> Any:
    """A house of each test's own: instances come and go."""
    return await make_house()


def _unavailable(_: object) -> None:
    raise errors.Unavailable


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def _calls(house: Any, count: int) -> list[int]:
    headers = house.bearer()
    answers = [await house.http.get("/api/v1/kettles/k1", headers=headers) for _ in range(count)]
    return [answer.status_code for answer in answers]


async def _two(house: Any) -> Any:
    """A second instance, once the gateway sends calls there."""
    other, _ = await house.another()
    headers = house.bearer()
    async with asyncio.timeout(5):
        while not other.calls:
            await house.http.get("/api/v1/kettles/k1", headers=headers)
    house.kettles.calls.clear()
    other.calls.clear()
    return other


class TestChoice:
    async def test_all_instances_get_calls(self, house: Any) -> None:
        other = await _two(house)

        await _calls(house, 40)

        assert min(len(house.kettles.calls), len(other.calls)) >= 5

    async def test_the_busier_one_gets_fewer(self, house: Any) -> None:
        other = await _two(house)
        gate = asyncio.Event()

        async def wait(_: object) -> Any:
            await gate.wait()
            return house.kettles.kettle()

        house.kettles.answers["GetKettle"] = wait
        headers = house.bearer()
        calls = [asyncio.create_task(house.http.get("/api/v1/kettles/k1", headers=headers)) for _ in range(60)]

        await _until(lambda: len(house.kettles.calls) + len(other.calls) == 60)
        gate.set()
        await asyncio.gather(*calls)

        assert len(house.kettles.calls) < len(other.calls)

    async def test_one_that_is_gone_gets_none(self, house: Any) -> None:
        other = await _two(house)
        await house.registry.take_out(house.instance)
        await house.another(other)
        await _until(lambda: len(house.gateway._backends._directory.pool("kettles").peers) == 2)

        await _calls(house, 10)

        assert house.kettles.calls == []

    @pytest.mark.parametrize("state", ["DRAINING", "CRITICAL", "WARNING"])
    async def test_one_that_is_not_well_gets_none_while_another_is(self, house: Any, state: str) -> None:
        other = await _two(house)
        await house.registry.turn(house.instance, registry_pb2.InstanceState.Value(f"INSTANCE_STATE_{state}"))
        await _until(lambda: f"INSTANCE_STATE_{state}" in _states(house))

        assert await _calls(house, 10) == [200] * 10

        assert (len(house.kettles.calls), len(other.calls)) == (0, 10)


class TestGone:
    async def test_a_service_that_is_down_keeps_its_routes(self, house: Any) -> None:
        await house.registry.take_out(house.instance)
        await _until(lambda: not _states(house))

        assert await _calls(house, 1) == [503]

    async def test_also_in_a_gateway_that_has_never_seen_it_well(self, house: Any) -> None:
        await house.registry.turn(house.instance, registry_pb2.INSTANCE_STATE_CRITICAL)

        assert await _calls(await house.second_gateway(), 1) == [503]

    async def test_one_that_was_given_up_does_not(self, house: Any) -> None:
        await house.registry.take_out(house.instance)
        await _until(lambda: not _states(house))

        with clock.shifted(timedelta(seconds=GONE_S + 1)):
            house.gateway._backends._dirty.set()
            async with asyncio.timeout(5):
                while await _calls(house, 1) != [404]:
                    pass


def _states(house: Any) -> set[str]:
    told = house.gateway._backends._directory.instances()
    return {registry_pb2.InstanceState.Name(each.state) for each in told}


class TestRetry:
    async def test_a_read_is_tried_elsewhere(self, house: Any) -> None:
        await _two(house)
        house.kettles.answers["GetKettle"] = _unavailable

        assert await _calls(house, 10) == [200] * 10

    async def test_a_change_that_may_have_happened_is_not(self, house: Any) -> None:
        house.kettles.answers["CreateKettle"] = _unavailable

        answer = await house.http.post("/api/v1/kettles", json={"name": "x"}, headers=house.bearer())

        assert (answer.status_code, len(house.kettles.calls)) == (503, 1)

    async def test_a_change_that_never_left_is(self, house: Any) -> None:
        await house.registry.put(
            "kettles", "127.0.0.1:1", house.contract, grpc_services=["acme.kettles.v1.KettlesService"]
        )
        await _until(lambda: len(house.gateway._backends._directory.pool("kettles").peers) == 2)
        headers = house.bearer()

        answers = [await house.http.post("/api/v1/kettles", json={"name": "x"}, headers=headers) for _ in range(10)]

        assert [answer.status_code for answer in answers] == [201] * 10

    async def test_a_service_in_trouble_is_not_buried(self, house: Any) -> None:
        house.gateway._backends._retries._stock = 0
        house.kettles.answers["GetKettle"] = _unavailable

        await _calls(house, 10)

        # A fifth of the calls may be tried again.
        assert len(house.kettles.calls) <= 13

    def test_the_budget_is_a_share_of_the_calls(self) -> None:
        retries = Retries()
        while retries.take():
            pass

        for _ in range(52):
            retries.pay_in()

        assert [retries.take() for _ in range(11)] == [True] * 10 + [False]


class TestContracts:
    async def test_there_is_no_table_before_the_registry_was_heard(
        self, house: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backends, "LOOK_S", 0.0)
        house.registry.away = 1
        tables: asyncio.Queue[RouteTable] = asyncio.Queue()
        made = Backends(house.settings.registry_address, zone="")
        running = asyncio.create_task(made.run(tables.put_nowait))

        first = await asyncio.wait_for(tables.get(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.close()

        assert first.routes

    async def test_a_new_version_brings_its_routes(self, house: Any, kettles_set: bytes) -> None:
        renamed = kettles_set.replace(b"/api/v1/manual", b"/api/v1/manuel")
        address = house.registry.instances[house.instance].address

        await house.registry.put("kettles", address, renamed, grpc_services=["acme.kettles.v1.KettlesService"])

        async with asyncio.timeout(5):
            while (await house.http.get("/api/v1/manuel")).status_code != 200:
                await asyncio.sleep(0.01)

    async def test_a_contract_that_cannot_be_used_harms_nobody(self, house: Any) -> None:
        await house.registry.put("teapots", "127.0.0.1:1", b"nonsense", grpc_services=["acme.Teapots"])
        await _until(lambda: None in house.gateway._backends._contracts.values())

        assert await _calls(house, 1) == [200]
