"""registry through a real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from switchyard.registry.v1 import registry_pb2 as pb
from switchyard.registry.v1 import registry_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import errors, identity, registration
from chassis.testing import Running, Serve, Tenant
from services.registry.__main__ import build

CONTRACT = registration.contract([pb.DESCRIPTOR.services_by_name["RegistryService"]])


async def _running(serve: Serve) -> Running:
    return await serve("registry", build)


def _as(running: Running, service: str) -> Any:
    return registry_pb2_grpc.RegistryServiceStub(running.channel(identity.service_principal(service, None)))


def _reader(running: Running) -> Any:
    return registry_pb2_grpc.RegistryServiceStub(running.channel(Tenant().user()))


def _request(service: str, **told: Any) -> pb.RegisterRequest:
    instance = pb.Instance(**({"id": str(uuid7()), "address": "127.0.0.1:1"} | told))
    return pb.RegisterRequest(name=service, instance=instance, contract=CONTRACT)


def _name() -> str:
    return f"s{uuid7().hex[-12:]}"


class TestRegister:
    async def test_answers_epoch_and_interval(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        stub = _as(running, name)

        first, second = await stub.Register(_request(name)), await stub.Register(_request(name))

        assert (first.instance.epoch, second.instance.epoch) == (1, 2)
        assert (first.instance.state, first.heartbeat_interval_s) == (pb.INSTANCE_STATE_STARTING, 1)

    async def test_a_service_speaks_for_itself_only(self, serve: Serve) -> None:
        with pytest.raises(errors.Denied):
            await _as(await _running(serve), "orders").Register(_request("inventory"))

    async def test_a_bad_contract_is_refused(self, serve: Serve) -> None:
        name = _name()
        request = _request(name)
        request.contract = b"\xff\xff"

        with pytest.raises(errors.Invalid):
            await _as(await _running(serve), name).Register(request)

    async def test_parallel_registrations_get_epochs_of_their_own(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        stub = _as(running, name)

        answers = await asyncio.gather(*(stub.Register(_request(name)) for _ in range(10)))

        assert sorted(answer.instance.epoch for answer in answers) == list(range(1, 11))


class TestHeartbeat:
    async def test_the_first_ready_one_makes_it_pass(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        stub = _as(running, name)
        instance = (await stub.Register(_request(name))).instance

        await stub.Heartbeat(pb.HeartbeatRequest(name=name, instance_id=instance.id, epoch=instance.epoch, ready=True))

        listed = await _reader(running).ListInstances(pb.ListInstancesRequest(name=name))
        assert [one.state for one in listed.instances] == [pb.INSTANCE_STATE_PASSING]

    async def test_a_past_epoch_is_not_found(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        stub = _as(running, name)
        instance = (await stub.Register(_request(name))).instance
        await stub.Register(_request(name, id=instance.id))

        with pytest.raises(errors.NotFound):
            await stub.Heartbeat(pb.HeartbeatRequest(name=name, instance_id=instance.id, epoch=instance.epoch))


class TestWatch:
    async def test_snapshot_then_changes(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        stub = _as(running, name)
        before = (await stub.Register(_request(name))).instance
        stream = stub.Watch(pb.WatchRequest()).__aiter__()
        snapshot = await stream.__anext__()

        await stub.Deregister(pb.DeregisterRequest(name=name, instance_id=before.id))
        change = await _next_of(stream, name)

        assert snapshot.snapshot
        assert before.id in {instance.id for instance in snapshot.instances}
        assert [(one.id, one.state) for one in change.instances] == [(before.id, pb.INSTANCE_STATE_GONE)]

    async def test_a_dead_instance_is_critical_within_three_seconds(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        stub = _as(running, name)
        # Others that are well: one silent among many is not a failure of ours.
        stream = stub.Watch(pb.WatchRequest()).__aiter__()
        await stream.__anext__()
        dead = (await stub.Register(_request(name))).instance

        async with asyncio.timeout(3):
            while (await _next_of(stream, name)).instances[0].state != pb.INSTANCE_STATE_CRITICAL:
                pass

        assert dead.service == name


class TestRestart:
    async def test_what_was_registered_is_known_again(self, serve: Serve) -> None:
        first, name = await _running(serve), _name()
        stub = _as(first, name)
        instance = (await stub.Register(_request(name))).instance
        await stub.Heartbeat(pb.HeartbeatRequest(name=name, instance_id=instance.id, epoch=1, ready=True))
        await _until_recorded(first, name, 2)

        second = await _running(serve)
        stream = _as(second, name).Watch(pb.WatchRequest()).__aiter__()
        known: set[str] = set()
        async with asyncio.timeout(10):
            while instance.id not in known:
                known |= {one.id for one in (await stream.__anext__()).instances}

        kept = await _reader(second).ListInstances(pb.ListInstancesRequest(name=name))
        assert [one.state for one in kept.instances] == [pb.INSTANCE_STATE_PASSING]


class TestGetContract:
    async def test_is_what_was_registered(self, serve: Serve) -> None:
        running, name = await _running(serve), _name()
        instance = (await _as(running, name).Register(_request(name))).instance

        contract = await _as(running, name).GetContract(pb.GetContractRequest(digest=instance.contract_digest))

        assert contract.descriptor_set == CONTRACT


class TestGetService:
    async def test_an_unknown_service_is_not_found(self, serve: Serve) -> None:
        with pytest.raises(errors.NotFound):
            await _reader(await _running(serve)).GetService(pb.GetServiceRequest(name="nobody"))


async def _next_of(stream: AsyncIterator[pb.WatchResponse], name: str) -> pb.WatchResponse:
    while True:
        change = await anext(stream)
        if change.instances[0].service == name:
            return change


async def _until_recorded(running: Running, name: str, count: int) -> None:
    async with asyncio.timeout(10):
        while len((await _reader(running).ListHistory(pb.ListHistoryRequest(name=name))).entries) < count:
            await asyncio.sleep(0.02)
