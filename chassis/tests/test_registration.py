"""A process and the registry: its entry, and what it knows of the others. The registry is held by the tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from grpc_status import rpc_status
from switchyard.registry.v1 import registry_pb2, registry_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import clock, errors, registration
from chassis.directory import GONE_S, Watched
from chassis.registration import SUPERSEDED, Registration
from chassis.testing import Credentials, Tenant, Unregistered

LONG_S = 3600


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    """One process of the registry, which answers what the test says and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.refuse: dict[str, errors.Error] = {}
        self.intervals: asyncio.Queue[int] = asyncio.Queue()
        self.attending = 0
        # None: the stream ends.
        self.changes: asyncio.Queue[registry_pb2.WatchResponse | None] = asyncio.Queue()
        self.address = ""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, self._server)
        self._heard = asyncio.Condition()

    async def start(self) -> None:
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until what the registry was told makes something true."""
        async with asyncio.timeout(10), self._heard:
            await self._heard.wait_for(true)

    def of(self, name: str) -> list[Any]:
        """The requests of one method."""
        return [request for each, request in self.told if each == name]

    async def _note(self, name: str, request: Any, context: Any) -> None:
        async with self._heard:
            self.told.append((name, request))
            self._heard.notify_all()
        if name in self.refuse:
            await context.abort_with_status(rpc_status.to_status(errors.to_status(self.refuse[name])))

    async def Register(self, request: Any, context: Any) -> registry_pb2.Registration:
        await self._note("Register", request, context)
        instance = registry_pb2.Instance(id=request.instance.id, epoch=request.epoch + 7)
        return registry_pb2.Registration(instance=instance, heartbeat_interval_s=LONG_S)

    async def Heartbeat(self, request: Any, context: Any) -> Empty:
        await self._note("Heartbeat", request, context)
        return Empty()

    async def Drain(self, request: Any, context: Any) -> Empty:
        await self._note("Drain", request, context)
        return Empty()

    async def Deregister(self, request: Any, context: Any) -> Empty:
        await self._note("Deregister", SimpleNamespace(attending=self.attending), context)
        return Empty()

    async def Attend(self, request: Any, context: Any) -> AsyncIterator[registry_pb2.AttendResponse]:
        await self._note("Attend", request, context)
        self.attending += 1
        try:
            while True:
                yield registry_pb2.AttendResponse(heartbeat_interval_s=await self.intervals.get())
        finally:
            self.attending -= 1

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[registry_pb2.WatchResponse]:
        await self._note("Watch", request, context)
        while (change := await self.changes.get()) is not None:
            yield change


@pytest_asyncio.fixture(loop_scope="session")
async def registry() -> AsyncIterator[Registry]:
    process = Registry()  # type: ignore[abstract]  # what is not called is left out
    await process.start()
    yield process
    await process.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def pair() -> AsyncIterator[list[Registry]]:
    """Two processes of the registry at one address."""
    processes = [Registry(), Registry()]  # type: ignore[abstract]  # the same
    for process in processes:
        await process.start()
    yield processes
    for process in processes:
        await process.stop()


def _target(*processes: Registry) -> str:
    return "ipv4:" + ",".join(process.address for process in processes)


@asynccontextmanager
async def _registered(target: str, *, ready: Callable[[], bool] = lambda: True) -> AsyncIterator[Any]:
    superseded = asyncio.Event()
    entry = Registration(
        "notes",
        registry_address=target,
        credentials=Credentials("notes"),  # type: ignore[arg-type]  # the tests' own
        instance=registry_pb2.Instance(id=str(uuid7()), address="127.0.0.1:1"),
        contract_bytes=b"",
        ready=ready,
        on_superseded=superseded.set,
    )
    running = asyncio.create_task(entry.run())
    try:
        yield SimpleNamespace(entry=entry, running=running, superseded=superseded)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await entry.close()


class TestHeartbeat:
    async def test_readiness_is_told_at_once(self, registry: Registry) -> None:
        ready = asyncio.Event()
        async with _registered(registry.address, ready=ready.is_set) as process:
            await registry.until(lambda: len(registry.of("Heartbeat")) == 1)

            ready.set()
            process.entry.tell()
            await registry.until(lambda: len(registry.of("Heartbeat")) == 2)

        assert [beat.ready for beat in registry.of("Heartbeat")] == [False, True]
        assert [beat.epoch for beat in registry.of("Heartbeat")] == [7, 7]

    async def test_another_interval_holds_at_once(self, registry: Registry) -> None:
        async with _registered(registry.address):
            await registry.until(lambda: registry.attending == 1 and len(registry.of("Heartbeat")) == 1)

            registry.intervals.put_nowait(1)

            await registry.until(lambda: len(registry.of("Heartbeat")) == 2)

    async def test_who_is_forgotten_registers_again_under_the_epoch_it_had(self, registry: Registry) -> None:
        async with _registered(registry.address) as process:
            await registry.until(lambda: len(registry.of("Heartbeat")) == 1)
            registry.refuse["Heartbeat"] = errors.NotFound()

            process.entry.tell()

            await registry.until(lambda: len(registry.of("Register")) == 2)
        assert [request.epoch for request in registry.of("Register")] == [0, 7]

    async def test_a_registry_in_trouble_is_no_reason_to_register_again(self, registry: Registry) -> None:
        async with _registered(registry.address) as process:
            await registry.until(lambda: len(registry.of("Heartbeat")) == 1)
            registry.refuse["Heartbeat"] = errors.Unavailable()
            process.entry.tell()
            await registry.until(lambda: len(registry.of("Heartbeat")) == 3)

            del registry.refuse["Heartbeat"]
            await registry.until(lambda: len(registry.of("Heartbeat")) == 4)

        assert len(registry.of("Register")) == 1

    async def test_a_registry_that_was_away_for_hours_is_still_asked(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registration, "RETRY_S", 1e-9)
        monkeypatch.setattr(registration, "RETRY_MAX_S", 1e-6)
        async with _registered(registry.address) as made:
            for _ in range(2000):
                await made.entry._pause()

            made.entry.tell()
            await registry.until(lambda: len(registry.of("Heartbeat")) > 1)


class TestSuperseded:
    @pytest.mark.parametrize("method", ["Register", "Heartbeat"])
    async def test_a_process_with_a_successor_gives_way(self, registry: Registry, method: str) -> None:
        registry.refuse[method] = errors.Conflict(code=SUPERSEDED)
        async with _registered(registry.address) as process:
            async with asyncio.timeout(10):
                await process.superseded.wait()
                await process.running

            # It speaks for the instance no more.
            assert not await process.entry.drain()
            await process.entry.leave()

        assert not [name for name, _ in registry.told if name in {"Drain", "Deregister"}]


class TestAttend:
    async def test_it_is_open_until_the_entry_was_taken_out(self, registry: Registry) -> None:
        async with _registered(registry.address) as process:
            await registry.until(lambda: registry.attending == 1)
            process.running.cancel()

            await process.entry.leave()

        assert [left.attending for left in registry.of("Deregister")] == [1]

    async def test_another_process_takes_over_and_nothing_is_registered_anew(self, pair: list[Registry]) -> None:
        async with _registered(_target(*pair)):
            async with asyncio.timeout(10):
                while not (there := [process for process in pair if process.attending]):
                    await asyncio.sleep(0.01)
            (other,) = [process for process in pair if process not in there]

            await there[0].stop()
            await other.until(lambda: bool(other.attending and other.of("Heartbeat")))

        assert [request.epoch for request in other.of("Attend")] == [7]
        assert not other.of("Register")


def _instance(service: str = "notes") -> registry_pb2.Instance:
    return registry_pb2.Instance(
        id=str(uuid7()),
        service=service,
        weight=100,
        address="127.0.0.1:1",
        state=registry_pb2.INSTANCE_STATE_PASSING,
    )


@asynccontextmanager
async def _watching(*processes: Registry) -> AsyncIterator[Watched]:
    watched = Watched(_target(*processes))
    running = asyncio.create_task(watched.run())
    try:
        yield watched
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await watched.close()


async def _told(
    registry: Registry, watched: Watched, revision: int, *instances: registry_pb2.Instance, snapshot: bool = False
) -> None:
    changed = asyncio.create_task(watched.changed())
    await asyncio.sleep(0)
    registry.changes.put_nowait(registry_pb2.WatchResponse(revision=revision, instances=instances, snapshot=snapshot))
    await asyncio.wait_for(changed, 10)


def _state(instance: registry_pb2.Instance, state: registry_pb2.InstanceState) -> registry_pb2.Instance:
    changed = registry_pb2.Instance()
    changed.CopyFrom(instance)
    changed.state = state
    changed.changed_at.FromDatetime(clock.now())
    return changed


class TestDirectory:
    async def test_follows_states(self, registry: Registry) -> None:
        one, other = _instance(), _instance()
        async with _watching(registry) as watched:
            await _told(registry, watched, 1, one, other, snapshot=True)
            assert len(watched.pool("notes").peers) == 2

            await _told(registry, watched, 2, _state(one, registry_pb2.INSTANCE_STATE_DRAINING))

            assert [peer.told.id for peer in watched.pool("notes").peers] == [other.id]
            assert len(watched.instances()) == 2

    async def test_goes_on_where_a_stream_broke(self, pair: list[Registry]) -> None:
        async with _watching(*pair) as watched:
            async with asyncio.timeout(10):
                while not (there := [process for process in pair if process.of("Watch")]):
                    await asyncio.sleep(0.01)
            (other,) = [process for process in pair if process not in there]
            await _told(there[0], watched, 41, _instance(), snapshot=True)
            before = watched.pool("notes").peers

            await there[0].stop()
            await other.until(lambda: bool(other.of("Watch")))

            # All that was known is kept meanwhile, with its connections.
            assert watched.pool("notes").peers == before
            assert [request.after_revision for request in other.of("Watch")] == [41]

    async def test_a_snapshot_counts_once_its_last_part_is_there(self, registry: Registry) -> None:
        one, other, third = _instance(), _instance(), _instance()
        part = registry_pb2.WatchResponse(instances=[third], snapshot=True)
        async with _watching(registry) as watched:
            await _told(registry, watched, 41, one, other, snapshot=True)
            registry.changes.put_nowait(part)
            registry.changes.put_nowait(None)
            await registry.until(lambda: len(registry.of("Watch")) == 2)
            before = {told.id for told in watched.instances()}
            registry.changes.put_nowait(part)
            await _told(registry, watched, 42, other)

            assert before == {one.id, other.id}
            assert [request.after_revision for request in registry.of("Watch")] == [0, 41]
            assert {told.id for told in watched.instances()} == {third.id, other.id}

    async def test_what_a_snapshot_lacks_is_gone(self, registry: Registry) -> None:
        one, other = _instance(), _instance()
        async with _watching(registry) as watched:
            await _told(registry, watched, 1, one, other, snapshot=True)

            await _told(registry, watched, 2, other, snapshot=True)

            assert [peer.told.id for peer in watched.pool("notes").peers] == [other.id]

    async def test_a_service_without_instances_is_known_for_a_day(self, registry: Registry) -> None:
        one, other = _instance("notes"), _instance("letters")
        async with _watching(registry) as watched:
            await _told(registry, watched, 1, one, other, snapshot=True)
            await _told(registry, watched, 2, _state(one, registry_pb2.INSTANCE_STATE_GONE))
            await _told(registry, watched, 3, snapshot=True)

            assert (watched.instances(), watched.services()) == ([], {"notes", "letters"})
            with clock.shifted(timedelta(seconds=GONE_S + 1)):
                assert watched.services() == set()


class TestDrain:
    async def test_who_has_not_heard_yet_is_answered(
        self, registry: Registry, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        stub = notes.grpc.NotesServiceStub(running.channel(tenant.user()))
        answered = asyncio.Event()

        async def call_on() -> None:
            late = 20
            while late:
                await stub.GetMyself(notes.pb.ListNotesRequest())
                answered.set()
                late -= bool(registry.of("Drain"))

        async with _registered(registry.address) as process:
            await registry.until(lambda: bool(registry.of("Register")))
            running.service.registration = process.entry
            calling = asyncio.create_task(call_on())
            await answered.wait()

            await running.service._drain()

            await calling
        with pytest.raises(errors.Unavailable):
            await stub.GetMyself(notes.pb.ListNotesRequest())
        running.service.registration = Unregistered()
