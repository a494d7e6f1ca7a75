"""Several processes of one registry through real servers, and NATS away for a while."""

import functools
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import errors
from chassis.embedded import EmbeddedServers
from chassis.testing import Serve
from services.registry.__main__ import build
from services.registry.tests.conftest import Listen, Registry, Start, request


class OwnNats:
    """A NATS of the test's own, which comes and goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: EmbeddedServers | None = None

    async def start(self) -> str:
        """Begin where it ended; its URL, always the same."""
        self._servers = await EmbeddedServers.start(self._folder, fsync=False, servers=frozenset({"nats"}))
        return self._servers.nats_url

    async def stop(self) -> None:
        if self._servers is not None:
            await self._servers.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def own_nats(tmp_path: Path) -> AsyncIterator[OwnNats]:
    """Ends after whatever is connected to it."""
    made = OwnNats(tmp_path)
    yield made
    await made.stop()


class TestTwoProcesses:
    async def test_whichever_is_asked_knows_all(self, start: Start, name: str) -> None:
        first, second = await start(), await start()

        instance = await first.register(name)
        await second.beat(instance)
        await second.acting(name).Drain(pb.DrainRequest(name=name, instance_id=instance.id))
        await first.beat(instance)

        assert await first.state(name) == await second.state(name) == [pb.INSTANCE_STATE_DRAINING]

    async def test_a_watch_goes_on_at_the_other_without_gap_and_without_repetition(
        self, start: Start, name: str
    ) -> None:
        first, second = await start(), await start()
        stream = first.acting(name).Watch(pb.WatchRequest())
        at = (await anext(aiter(stream))).revision
        whole = [at]
        instances = [await first.register(name) for _ in range(5)]
        async for told in stream:
            whole += [each.revision for each in told.instances]
            if len(whole) > 5:
                break
        stream.cancel()

        for instance in instances:
            await second.acting(name).Deregister(pb.DeregisterRequest(name=name, instance_id=instance.id))
        seen = whole[-1]
        async for told in second.acting(name).Watch(pb.WatchRequest(after_revision=seen)):
            assert not told.snapshot
            whole += [each.revision for each in told.instances]
            if len(whole) == 16:
                break

        assert whole == list(range(at, at + 16))

    async def test_a_watch_that_is_ahead_of_the_other_waits_for_it(self, start: Start, name: str) -> None:
        first, second = await start(), await start()
        instance = await first.register(name)
        seen = (await first.reader.ListInstances(pb.ListInstancesRequest(name=name))).instances[0].revision

        stream = aiter(second.acting(name).Watch(pb.WatchRequest(after_revision=seen)))
        told = await anext(stream)

        assert instance.epoch < seen == told.revision
        assert not told.snapshot

    async def test_a_registration_whose_answer_was_lost_may_be_repeated_elsewhere(
        self, start: Start, name: str
    ) -> None:
        first, second = await start(), await start()
        instance = await first.register(name)
        lost = await first.register(name, id=instance.id, epoch=instance.epoch)

        again = await second.register(name, id=instance.id, epoch=instance.epoch)

        assert again.epoch == lost.epoch > instance.epoch
        assert await second.state(name) == [pb.INSTANCE_STATE_PASSING]

    async def test_a_successor_that_registered_elsewhere_is_known(self, start: Start, name: str) -> None:
        first, second = await start(), await start()
        zombie = await first.register(name)
        await second.register(name, id=zombie.id)

        with pytest.raises(errors.Conflict) as refused:
            await first.register(name, id=zombie.id, epoch=zombie.epoch)

        assert refused.value.code == "SUPERSEDED"


class TestAttend:
    async def test_tells_the_interval_and_looks_when_it_breaks(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name)
        stub = registry.acting(name)
        watching = aiter(stub.Watch(pb.WatchRequest()))
        await anext(watching)
        asked = pb.AttendRequest(name=name, instance_id=instance.id, epoch=instance.epoch)
        attending = stub.Attend(asked)
        told = await anext(aiter(attending))

        attending.cancel()

        assert told.heartbeat_interval_s == 1
        assert [each.state for each in (await anext(watching)).instances] == [pb.INSTANCE_STATE_CRITICAL]

    async def test_nobody_who_has_a_successor_is_attended(self, registry: Registry, name: str) -> None:
        zombie = await registry.register(name)
        await registry.register(name, id=zombie.id)
        asked = pb.AttendRequest(name=name, instance_id=zombie.id, epoch=zombie.epoch)

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(registry.acting(name).Attend(asked)))

        assert errors.from_rpc_error(refused.value).code == "SUPERSEDED"


class TestNatsAway:
    async def test_what_is_known_is_told_and_all_goes_on_afterwards(
        self, own_nats: OwnNats, serve: Serve, name: str, listen: Listen
    ) -> None:
        named, url = "registry", await own_nats.start()
        registry = Registry(await serve("registry", functools.partial(build, name=named), nats_url=url), named)
        instance = await registry.register(name, address=await listen())
        stream = aiter(registry.acting(name).Watch(pb.WatchRequest()))
        await anext(stream)

        await own_nats.stop()
        await registry.beat(instance)
        known = await registry.state(name)
        refused = request(name)
        with pytest.raises(errors.Unavailable):
            await registry.acting(name).Register(refused)
        await own_nats.start()
        await registry.beat(instance)
        later = await _registered_when_possible(registry, name)

        await registry.acting(name).Deregister(pb.DeregisterRequest(name=name, instance_id=later.id))
        changed = [told async for told in _until_gone(stream, later)]

        assert known == [pb.INSTANCE_STATE_PASSING]
        # Of a write that was not answered nobody knows whether it was done.
        assert {each.id for each in changed} <= {later.id, refused.instance.id}


async def _until_gone(stream: AsyncIterator[pb.WatchResponse], last: pb.Instance) -> AsyncIterator[pb.Instance]:
    async for told in stream:
        for each in told.instances:
            yield each
            if (each.id, each.state) == (last.id, pb.INSTANCE_STATE_GONE):
                return


async def _registered_when_possible(registry: Registry, name: str) -> pb.Instance:
    asked = request(name)
    while True:
        try:
            instance: pb.Instance = (await registry.acting(name).Register(asked)).instance
        except errors.Unavailable:
            continue
        return instance
