"""registry through a real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client as Nats
from switchyard.registry.v1 import registry_pb2 as pb

from chassis import errors
from services.registry.roster import RENEWS
from services.registry.tests.conftest import CONTRACT, Listen, Registry, Start, request


class TestRegister:
    async def test_answers_epoch_and_interval(self, registry: Registry, name: str) -> None:
        stub = registry.acting(name)

        first, second = await stub.Register(request(name)), await stub.Register(request(name))

        assert 0 < first.instance.epoch < second.instance.epoch
        assert (first.instance.state, first.heartbeat_interval_s) == (pb.INSTANCE_STATE_STARTING, 1)

    @pytest.mark.parametrize(("told", "weight"), [({}, 100), ({"weight": 0}, 0), ({"weight": 7}, 7)])
    async def test_no_weight_is_not_the_weight_0(
        self, registry: Registry, name: str, told: dict[str, int], weight: int
    ) -> None:
        answer = await registry.acting(name).Register(request(name, **told))

        assert answer.instance.weight == weight

    async def test_a_service_speaks_for_itself_only(self, registry: Registry) -> None:
        with pytest.raises(errors.Denied):
            await registry.acting("orders").Register(request("inventory"))

    async def test_a_bad_contract_is_refused(self, registry: Registry, name: str) -> None:
        asked = request(name)
        asked.contract = b"\xff\xff"

        with pytest.raises(errors.Invalid):
            await registry.acting(name).Register(asked)

    async def test_parallel_registrations_get_epochs_of_their_own(self, registry: Registry, name: str) -> None:
        stub = registry.acting(name)

        answers = await asyncio.gather(*(stub.Register(request(name)) for _ in range(10)))

        assert len({answer.instance.epoch for answer in answers}) == 10

    async def test_the_id_of_another_services_instance_is_taken(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name)

        with pytest.raises(errors.AlreadyExists):
            await registry.acting(f"{name}x").Register(request(f"{name}x", id=instance.id))

    async def test_a_successor_keeps_the_epoch_from_its_predecessor(self, registry: Registry, name: str) -> None:
        zombie = await registry.register(name)
        successor = await registry.register(name, id=zombie.id)

        for attempt in (registry.beat(zombie), registry.register(name, id=zombie.id, epoch=zombie.epoch)):
            with pytest.raises(errors.Conflict) as refused:
                await attempt
            assert refused.value.code == "SUPERSEDED"

        listed = await registry.reader.ListInstances(pb.ListInstancesRequest(name=name))
        assert [each.epoch for each in listed.instances] == [successor.epoch]

    async def test_the_same_process_may_register_again(self, registry: Registry, name: str) -> None:
        first = await registry.register(name)

        again = await registry.register(name, id=first.id, epoch=first.epoch)

        assert again.epoch > first.epoch

    async def test_who_ended_and_whose_address_is_taken_stays_gone(self, registry: Registry, name: str) -> None:
        before = await registry.register(name)
        await registry.acting(name).Deregister(pb.DeregisterRequest(name=name, instance_id=before.id))

        await registry.register(name, address=before.address)

        assert await registry.state(name) == [pb.INSTANCE_STATE_GONE, pb.INSTANCE_STATE_PASSING]
        for attempt in (
            registry.beat(before),
            registry.register(name, id=before.id, address=before.address, epoch=before.epoch),
        ):
            with pytest.raises(errors.Conflict) as refused:
                await attempt
            assert refused.value.code == "SUPERSEDED"

    async def test_two_that_live_at_one_address_leave_each_other_alone(self, registry: Registry, name: str) -> None:
        before = await registry.register(name)
        after = await registry.register(name, address=before.address)

        await registry.beat(before)
        again = await registry.register(name, id=before.id, address=before.address, epoch=before.epoch)
        await registry.beat(again)
        await registry.beat(after)

        assert await registry.state(name) == [pb.INSTANCE_STATE_PASSING] * 2

    @pytest.mark.parametrize("address", ["0.0.0.0:7001", "[::]:7001", ":7001", "7001"])
    async def test_an_address_that_is_every_hosts_is_refused(self, registry: Registry, name: str, address: str) -> None:
        with pytest.raises(errors.Invalid) as refused:
            await registry.register(name, address=address)

        assert "address" in refused.value.fields


class TestHeartbeat:
    async def test_the_first_ready_one_makes_it_pass(self, registry: Registry, name: str) -> None:
        instance = (await registry.acting(name).Register(request(name))).instance

        await registry.beat(instance)

        assert await registry.state(name) == [pb.INSTANCE_STATE_PASSING]

    async def test_one_that_is_not_ready_warns_until_it_is_twice(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name)

        await registry.beat(instance, ready=False)
        warned = await registry.state(name)
        await registry.beat(instance)
        still = await registry.state(name)
        await registry.beat(instance)

        assert warned == still == [pb.INSTANCE_STATE_WARNING]
        assert await registry.state(name) == [pb.INSTANCE_STATE_PASSING]

    async def test_an_unknown_instance_is_not_found(self, registry: Registry, name: str) -> None:
        unknown = pb.Instance(id=request(name).instance.id, service=name)

        with pytest.raises(errors.NotFound):
            await registry.beat(unknown)


class TestDeregister:
    async def test_it_is_gone_and_remembered(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name)
        gone = pb.DeregisterRequest(name=name, instance_id=instance.id)

        await registry.acting(name).Deregister(gone)
        await registry.acting(name).Deregister(gone)

        here = await registry.reader.ListInstances(pb.ListInstancesRequest(name=name))
        summary = await registry.reader.GetService(pb.GetServiceRequest(name=name))
        assert (list(here.instances), await registry.state(name)) == ([], [pb.INSTANCE_STATE_GONE])
        assert (summary.instances_total, dict(summary.instances_by_state)) == (0, {"gone": 1})
        with pytest.raises(errors.NotFound):
            await registry.beat(instance)

    async def test_an_unknown_instance_is_not_found(self, registry: Registry, name: str) -> None:
        with pytest.raises(errors.NotFound):
            await registry.acting(name).Deregister(
                pb.DeregisterRequest(name=name, instance_id=request(name).instance.id)
            )


class TestDrain:
    async def test_it_survives_a_restart_and_heartbeats(self, start: Start, name: str) -> None:
        first = await start()
        instance = await first.register(name)
        await first.acting(name).Drain(pb.DrainRequest(name=name, instance_id=instance.id))

        second = await start()
        await second.beat(instance)
        again = await second.register(name, id=instance.id, epoch=instance.epoch)
        await second.beat(again)

        assert await second.state(name) == await first.state(name) == [pb.INSTANCE_STATE_DRAINING]

    async def test_it_survives_that_the_process_was_given_up(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name)
        told = pb.DrainRequest(name=name, instance_id=instance.id)
        await registry.acting(name).Drain(told)
        await registry.acting(name).Deregister(pb.DeregisterRequest(name=name, instance_id=instance.id))

        again = await registry.register(name, id=instance.id, epoch=instance.epoch)
        await registry.beat(again)

        assert await registry.state(name) == [pb.INSTANCE_STATE_DRAINING]


class TestDeletedByHand:
    async def test_who_lives_registers_again_and_nobody_else_notices(
        self, start: Start, name: str, nats_client: Nats
    ) -> None:
        running = await start()
        deleted, other = await running.register(name), await running.register(name)
        watching = aiter(running.acting(name).Watch(pb.WatchRequest()))
        await anext(watching)
        subject = running.bucket.subjects.replace(">", f"{name}.{deleted.id}")

        await nats_client.jetstream().publish(subject, b"", headers={"KV-Operation": "DEL"})
        told = await anext(watching)
        with pytest.raises(errors.NotFound):
            await running.beat(deleted)
        later = await start()
        again = await later.register(name, id=deleted.id, epoch=deleted.epoch)

        assert [(each.id, each.state) for each in told.instances] == [(deleted.id, pb.INSTANCE_STATE_GONE)]
        assert again.epoch > other.epoch
        assert await running.state(name) == await later.state(name) == [pb.INSTANCE_STATE_PASSING] * 2
        assert [each.instance_id for each in await running.history(name, 6)][:2] == [deleted.id] * 2

    @pytest.mark.parametrize(
        ("value", "headers"), [(b"\xff", {}), (b"", {}), (None, {RENEWS: "x"})], ids=["value", "key", "header"]
    )
    async def test_what_is_no_instance_is_none(
        self, start: Start, name: str, nats_client: Nats, value: bytes | None, headers: dict[str, str]
    ) -> None:
        running = await start()
        instance = await running.register(name)
        stored = await running.bucket.get(f"{name}.{instance.id}")
        assert stored is not None
        subject = running.bucket.subjects.replace(">", f"{name}.{instance.id}")

        await nats_client.jetstream().publish(subject, stored.value if value is None else value, headers=headers)
        await nats_client.jetstream().publish(f"{subject}.more", stored.value)
        later = await start()
        again = await later.register(name, id=instance.id, epoch=instance.epoch)

        assert await running.state(name) == await later.state(name) == [pb.INSTANCE_STATE_PASSING]
        assert again.epoch > instance.epoch


class TestWatch:
    async def test_snapshot_then_changes(self, registry: Registry, name: str) -> None:
        stub = registry.acting(name)
        before = (await stub.Register(request(name))).instance
        stream = aiter(stub.Watch(pb.WatchRequest()))
        snapshot = await anext(stream)

        await stub.Deregister(pb.DeregisterRequest(name=name, instance_id=before.id))
        change = await anext(stream)

        assert snapshot.snapshot
        assert before.id in {instance.id for instance in snapshot.instances}
        assert [(one.id, one.state) for one in change.instances] == [(before.id, pb.INSTANCE_STATE_GONE)]

    async def test_a_snapshot_tells_of_a_service_that_is_down(self, registry: Registry, name: str) -> None:
        stub = registry.acting(name)
        for _ in range(2):
            last = await registry.register(name)
            await stub.Deregister(pb.DeregisterRequest(name=name, instance_id=last.id))

        snapshot = await anext(aiter(stub.Watch(pb.WatchRequest(services=[name]))))

        told = [(one.id, one.state) for one in snapshot.instances]
        assert told == [(last.id, pb.INSTANCE_STATE_GONE)]

    async def test_of_some_services_only(self, registry: Registry, name: str) -> None:
        stub = registry.acting(name)
        stream = aiter(stub.Watch(pb.WatchRequest(services=[name])))
        await anext(stream)
        await registry.register(f"{name}x")
        instance = await registry.register(name)

        change = await anext(stream)

        assert {each.id for each in change.instances} == {instance.id}


class TestListInstances:
    async def test_by_state(self, registry: Registry, name: str, listen: Listen) -> None:
        passing = await registry.register(name, address=await listen())
        starting = (await registry.acting(name).Register(request(name))).instance
        await registry.acting(name).Drain(pb.DrainRequest(name=name, instance_id=starting.id))

        asked = pb.ListInstancesRequest(name=name, state=[pb.INSTANCE_STATE_PASSING])
        found = (await registry.reader.ListInstances(asked)).instances

        assert [each.id for each in found] == [passing.id]

    async def test_as_they_were(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name, zone="a")
        await registry.acting(name).Deregister(pb.DeregisterRequest(name=name, instance_id=instance.id))
        gone, passed, _registered = await registry.history(name, 3)

        asked = pb.ListInstancesRequest(name=name, at=passed.occurred_at)
        then = (await registry.reader.ListInstances(asked)).instances
        asked = pb.ListInstancesRequest(name=name, at=gone.occurred_at)
        later = (await registry.reader.ListInstances(asked)).instances

        assert [(each.id, each.state, each.zone) for each in then] == [(instance.id, pb.INSTANCE_STATE_PASSING, "a")]
        assert list(later) == []

    async def test_the_future_is_not_known(self, registry: Registry, name: str) -> None:
        asked = pb.ListInstancesRequest(name=name)
        asked.at.FromJsonString("9999-01-01T00:00:00Z")

        with pytest.raises(errors.Invalid):
            await registry.reader.ListInstances(asked)


class TestListServices:
    async def test_zones_states_and_scores(self, registry: Registry, name: str) -> None:
        await registry.register(name, zone="b")
        await registry.register(name, zone="a")

        services = (await registry.reader.ListServices(pb.ListServicesRequest())).services

        (found,) = [each for each in services if each.name == name]
        assert (found.state, found.health_score, list(found.zones)) == (pb.INSTANCE_STATE_PASSING, 100, ["a", "b"])


class TestGetContract:
    async def test_is_what_was_registered(self, registry: Registry, name: str) -> None:
        instance = await registry.register(name)

        contract = await registry.acting(name).GetContract(pb.GetContractRequest(digest=instance.contract_digest))

        assert contract.descriptor_set == CONTRACT


class TestGetService:
    async def test_an_unknown_service_is_not_found(self, registry: Registry) -> None:
        with pytest.raises(errors.NotFound):
            await registry.reader.GetService(pb.GetServiceRequest(name="nobody"))


async def states_of(stream: AsyncIterator[pb.WatchResponse], instance: pb.Instance) -> AsyncIterator[pb.InstanceState]:
    """The states that a watcher is told of an instance."""
    async for change in stream:
        for each in change.instances:
            if each.id == instance.id:
                yield each.state
