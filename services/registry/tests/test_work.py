"""Processes of the registry that look after instances, each with a clock that we hold and probes that we answer.

The bucket and the words between the processes are real. Nothing happens by itself: a test beats, tells and looks.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client as Nats
from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import streams
from chassis.buckets import Bucket
from chassis.embedded import EmbeddedServers
from services.registry import keeper, registry, rules
from services.registry.keeper import Keeper
from services.registry.peers import Peers
from services.registry.probing import Answer
from services.registry.roster import Entry, Known, Roster, key_of
from services.registry.tests.conftest import request
from services.registry.work import Work

PASSING, CRITICAL = pb.INSTANCE_STATE_PASSING, pb.INSTANCE_STATE_CRITICAL
WARNING, DRAINING, GONE = pb.INSTANCE_STATE_WARNING, pb.INSTANCE_STATE_DRAINING, pb.INSTANCE_STATE_GONE


@dataclass
class World:
    """What all processes of a test have in common: the time, and how the instances answer."""

    now: float = 1000.0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def probe(self, address: str, _timeout_s: float) -> Answer:
        self.asked.append(address)
        return self.answers.get(address, Answer.SERVING)


class Process:
    """One process of the registry."""

    def __init__(self, world: World, nats: Nats, bucket: str) -> None:
        self.world = world
        self.peers = Peers()
        self.roster = Roster(now=lambda: world.now)
        kept = Bucket(nats, bucket, replicas=1, history=keeper.HISTORY)
        self.keeper = Keeper(kept, self.roster)
        self.nats = nats
        self.bucket = bucket
        self.work = Work(nats, self.roster, self.keeper, self.peers, kept, world.probe)
        self.following = asyncio.create_task(self.keeper.run())

    async def begin(self) -> None:
        await self.keeper.began()
        await self.work.listen()

    async def register(self, **told: Any) -> Entry:
        """Register an instance here, and let it send its first heartbeat here."""
        asked = request("orders", **told)
        key = key_of("orders", asked.instance.id)
        await self.keeper.change(key, lambda known: registry.registered(known, asked, ""))
        self.beat(key)
        await self.work.settle(self.roster.entries[key])
        return self.roster.entries[key]

    def beat(self, key: str) -> None:
        self.roster.beat(self.roster.entries[key], self.peers.id, self.world.now, ready=True)

    async def look(self) -> None:
        """Look after the instances, until nothing is left to do; as new as the bucket."""
        self.work.look()
        await self.work.done()
        await self.keeper.fresh()

    def state(self, entry: Entry) -> pb.InstanceState:
        return self.roster.entries[entry.key].instance.state

    def states(self) -> set[pb.InstanceState]:
        return {entry.instance.state for entry in self.roster.entries.values()}


@pytest.fixture
def world() -> World:
    return World()


Start = Callable[[], Awaitable[Process]]


@pytest_asyncio.fixture(loop_scope="session")
async def start(world: World, servers: EmbeddedServers) -> AsyncIterator[Start]:
    """A function that starts one more process of this test's registry."""
    bucket = f"work-{uuid7().hex[-12:]}"
    begun: list[Process] = []

    async def begin() -> Process:
        process = Process(world, await streams.connect(servers.nats_url, "tests"), bucket)
        await process.begin()
        begun.append(process)
        return process

    yield begin
    for process in begun:
        while not process.following.done():
            # Before Python 3.12 `asyncio.wait_for` may swallow a cancellation that meets its result: ask again.
            process.following.cancel()
            await asyncio.wait([process.following], timeout=0.1)
        await process.nats.close()


async def pass_time(seconds: float, *living: Process, beating: dict[Process, list[Entry]] | None = None) -> None:
    """Let time pass in halves of a second; processes tell each other and look after what they have."""
    for _ in range(round(seconds * 2)):
        living[0].world.now += 0.5
        for process, entries in (beating or {}).items():
            for entry in entries:
                process.beat(entry.key)
        for process in living:
            await process.work.tell_once()
            await process.nats.flush()
        for process in living:
            # Its own word comes last of all that was said to it before.
            await process.nats.flush()
        for process in living:
            await process.look()


class TestOneProcess:
    async def test_who_is_killed_is_critical_after_two_refusals_and_gone_soon(self, start: Start, world: World) -> None:
        process = await start()
        entry = await process.register()
        world.answers[entry.instance.address] = Answer.REFUSED
        process.work.examine(entry)
        await process.work.done()
        at_once = process.state(entry)

        await pass_time(4, process)

        assert (at_once, process.state(entry)) == (CRITICAL, GONE)
        assert entry.instance.reason == "nobody listens at its address"

    async def test_who_keeps_a_stream_open_is_probed_when_it_breaks(self, start: Start, world: World) -> None:
        process = await start()
        entry = await process.register()
        stream = process.work.attend(entry)
        interval_s = await anext(stream)
        world.answers[entry.instance.address] = Answer.REFUSED

        await stream.aclose()  # type: ignore[attr-defined]
        await process.work.done()

        assert (interval_s, process.state(entry)) == (1, CRITICAL)

    async def test_who_is_silent_is_critical_and_comes_back(self, start: Start, world: World) -> None:
        process = await start()
        well = [await process.register() for _ in range(3)]
        entry = await process.register()
        world.answers[entry.instance.address] = Answer.SILENT
        await pass_time(6, process, beating={process: well})
        silent = process.state(entry)

        world.answers[entry.instance.address] = Answer.SERVING
        await pass_time(2, process, beating={process: [*well, entry]})

        assert (silent, process.state(entry)) == (CRITICAL, PASSING)
        assert {process.state(one) for one in well} == {PASSING}

    async def test_a_pause_of_its_own_is_nobodys_silence(self, start: Start, world: World) -> None:
        process = await start()
        entries = [await process.register() for _ in range(2)]
        for entry in entries:
            world.answers[entry.instance.address] = Answer.SILENT
        await pass_time(3, process, beating={process: entries})

        world.now += 60
        await process.look()
        await pass_time(1, process)

        assert CRITICAL not in process.states()

    async def test_who_beats_is_probed_all_the_same_now_and_then(self, start: Start, world: World) -> None:
        process = await start()
        entry = await process.register()
        await pass_time(25, process, beating={process: [entry]})

        assert world.asked == [entry.instance.address] * 2

    async def test_who_takes_an_address_ends_who_had_it(self, start: Start, world: World) -> None:
        process = await start()
        before = await process.register()
        after = await process.register(address=before.instance.address)
        other = await start()
        await pass_time(1, other, process, beating={process: [after]})
        soon = other.state(before)

        await pass_time(5, other, process, beating={process: [after]})

        assert (soon, other.state(before), other.state(after)) == (PASSING, GONE, PASSING)
        assert other.roster.entries[before.key].instance.reason == f"{after.instance.id} has taken its address"

    async def test_nobody_takes_the_address_of_another_service(self, start: Start, world: World) -> None:
        process = await start()
        entry = await process.register()
        asked = request("auth", address=entry.instance.address)
        await process.keeper.change(
            key_of("auth", asked.instance.id), lambda known: registry.registered(known, asked, "")
        )

        await pass_time(5, process)

        assert process.state(entry) == WARNING

    async def test_a_registration_that_was_sent_twice_is_written_once(self, start: Start) -> None:
        first, second = await start(), await start()
        asked = request("orders")
        key = key_of("orders", asked.instance.id)

        async def register(process: Process, epoch: int) -> pb.Instance:
            asked.epoch = epoch
            made = await process.keeper.change(key, lambda known: registry.registered(known, asked, ""), renews=epoch)
            assert made is not None
            return made

        one, other = await asyncio.gather(register(first, 0), register(second, 0))
        renewed = await register(first, one.epoch)
        late = await register(second, one.epoch)

        assert one.epoch == other.epoch < renewed.epoch == late.epoch


class TestSelfPreservation:
    async def _with(self, process: Process, count: int) -> list[Entry]:
        return [await process.register() for _ in range(count)]

    async def test_half_silent_at_once_are_kept_and_nothing_else_changes(self, start: Start, world: World) -> None:
        process = await start()
        lost, well = await self._with(process, 5), await self._with(process, 5)
        before = process.roster.feed.revision
        world.answers.update((entry.instance.address, Answer.SILENT) for entry in lost)

        await pass_time(60, process, beating={process: well})

        changed = {key for key, entry in process.roster.entries.items() if entry.instance.revision > before}
        assert process.states() == {PASSING}
        assert changed == {entry.key for entry in lost}
        assert all(process.roster.entries[entry.key].instance.preserved for entry in lost)
        # One change each, and no more, however long it takes.
        assert process.roster.feed.revision == before + 5

    async def test_ends_when_enough_are_back(self, start: Start, world: World) -> None:
        process = await start()
        lost, well = await self._with(process, 5), await self._with(process, 5)
        world.answers.update((entry.instance.address, Answer.SILENT) for entry in lost)
        await pass_time(6, process, beating={process: well})
        world.answers.update((entry.instance.address, Answer.SERVING) for entry in lost[1:])

        await pass_time(6, process, beating={process: [*well, *lost[1:]]})

        assert {process.state(entry) for entry in [*well, *lost[1:]]} == {PASSING}
        assert (process.state(lost[0]), process.roster.preserved) == (CRITICAL, 0)

    async def test_half_killed_are_dead(self, start: Start, world: World) -> None:
        process = await start()
        lost, well = await self._with(process, 5), await self._with(process, 5)
        world.answers.update((entry.instance.address, Answer.REFUSED) for entry in lost)

        await pass_time(3, process, beating={process: well})

        assert {process.state(entry) for entry in lost} == {CRITICAL}
        assert {process.state(entry) for entry in well} == {PASSING}

    async def test_whose_host_answers_again_that_nobody_listens_is_dead(self, start: Start, world: World) -> None:
        process = await start()
        lost, well = await self._with(process, 4), await self._with(process, 4)
        world.answers.update((entry.instance.address, Answer.SILENT) for entry in lost)
        await pass_time(6, process, beating={process: well})
        world.answers[lost[0].instance.address] = Answer.REFUSED

        await pass_time(4, process, beating={process: well})

        assert process.state(lost[0]) in (CRITICAL, GONE)
        assert {process.state(entry) for entry in lost[1:]} == {PASSING}

    async def test_when_the_registry_itself_reaches_nobody_all_are_kept(self, start: Start, world: World) -> None:
        process = await start()
        entries = await self._with(process, 10)
        dead = await process.register()
        world.answers.update((entry.instance.address, Answer.REFUSED) for entry in [*entries, dead])

        await pass_time(15, process, beating={process: entries})

        assert process.state(dead) == GONE
        assert {process.state(entry) for entry in entries} <= {PASSING, WARNING}
        assert process.roster.preserved == 10

        world.answers.clear()
        await pass_time(15, process, beating={process: entries})

        assert {process.state(entry) for entry in entries} == {PASSING}
        assert process.roster.preserved == 0

    async def test_who_is_kept_no_more_is_waited_for_like_any_other(self, start: Start, world: World) -> None:
        process = await start()
        lost, well = await self._with(process, 5), await self._with(process, 5)
        world.answers.update((entry.instance.address, Answer.SILENT) for entry in lost)
        await pass_time(60, process, beating={process: well})
        world.answers.update((entry.instance.address, Answer.SERVING) for entry in lost[1:])

        await pass_time(20, process, beating={process: [*well, *lost[1:]]})
        waited = process.state(lost[0])
        await pass_time(20, process, beating={process: [*well, *lost[1:]]})

        assert (waited, process.state(lost[0])) == (CRITICAL, GONE)

    async def test_that_nobody_sends_heartbeats_is_not_their_end(self, start: Start, world: World) -> None:
        process = await start()
        await self._with(process, 4)

        await pass_time(rules.HEARTBEATS_GONE_S + 10, process)

        assert process.states() == {WARNING}


class TestTwoProcesses:
    async def test_what_one_hears_both_know(self, start: Start, world: World) -> None:
        first, second = await start(), await start()
        entries = [await first.register() for _ in range(4)]
        await second.keeper.fresh()
        before = first.roster.feed.revision

        await pass_time(20, first, second, beating={first: entries[:2], second: entries[2:]})

        assert first.states() == second.states() == {PASSING}
        # A heartbeat is no change, and neither process has asked more often for those of the other.
        assert (first.roster.feed.revision, len(world.asked)) == (before, 2 * 4)

    async def test_when_one_dies_the_other_looks_after_its_instances(self, start: Start, world: World) -> None:
        first, second = await start(), await start()
        entry = await first.register()
        well = [await second.register() for _ in range(3)]
        await pass_time(1, first, second, beating={second: well})
        world.answers[entry.instance.address] = Answer.REFUSED
        asked = len(world.asked)

        await pass_time(1, second, beating={second: well})
        not_yet = len(world.asked) - asked
        await pass_time(4, second, beating={second: well})

        assert (not_yet, second.state(entry)) == (0, CRITICAL)

    async def test_instances_that_turn_to_the_other_notice_nothing(self, start: Start, world: World) -> None:
        first, second = await start(), await start()
        entries = [await first.register() for _ in range(4)]
        await pass_time(1, first, second, beating={first: entries})
        before = second.roster.feed.revision

        await pass_time(1, second)
        await pass_time(10, second, beating={second: entries})

        assert (second.states(), second.roster.feed.revision) == ({PASSING}, before)

    async def test_who_is_cut_off_judges_nobody(self, start: Start, world: World) -> None:
        first, second = await start(), await start()
        entries = [await first.register() for _ in range(2)]
        await second.keeper.fresh()
        await pass_time(1, first, second, beating={second: entries})
        world.answers.update((entry.instance.address, Answer.SILENT) for entry in entries)

        # Nobody tells anything: each hears neither the other nor itself.
        for _ in range(40):
            world.now += 0.5
            for entry in entries:
                second.beat(entry.key)
            await first.look()
        await pass_time(1, first, second, beating={second: entries})

        assert CRITICAL not in first.states()

    async def test_both_may_write_the_same_and_it_is_written_once(self, start: Start, world: World) -> None:
        first, second = await start(), await start()
        entry = await first.register()
        await second.keeper.fresh()
        before = first.roster.feed.revision
        world.answers[entry.instance.address] = Answer.REFUSED

        for process in (first, second):
            process.work.examine(process.roster.entries[entry.key])
        await asyncio.gather(first.work.done(), second.work.done())
        await asyncio.gather(first.keeper.fresh(), second.keeper.fresh())

        assert first.roster.feed.revision == second.roster.feed.revision == before + 1
        assert first.state(entry) == second.state(entry) == CRITICAL


class TestRestart:
    async def test_of_all_leaves_everything_as_it_was(self, start: Start, world: World) -> None:
        first = await start()
        drained, passing = await first.register(), await first.register()
        await first.keeper.change(drained.key, lambda known: registry.left(known, DRAINING, "drained"))

        second = await start()
        await pass_time(1, second, beating={second: [drained, passing]})

        assert (second.state(drained), second.state(passing)) == (DRAINING, PASSING)
        assert second.roster.entries[passing.key].instance.epoch == passing.instance.epoch

    async def test_gives_everybody_time_to_find_it(self, start: Start, world: World) -> None:
        first = await start()
        entries = [await first.register() for _ in range(2)]
        world.answers.update((entry.instance.address, Answer.SILENT) for entry in entries)
        world.now += 3600

        second = await start()
        await pass_time(2.5, second)
        await pass_time(5, second, beating={second: entries})

        assert CRITICAL not in second.states()

    async def test_finds_who_died_in_between_at_once(self, start: Start, world: World) -> None:
        first = await start()
        dead, well = await first.register(), await first.register()
        world.answers[dead.instance.address] = Answer.REFUSED

        second = await start()
        await pass_time(1, second)

        assert (second.state(dead), second.state(well)) == (CRITICAL, PASSING)


class TestForget:
    async def test_what_an_instance_was_is_dropped_once_it_is_written_down(self, start: Start) -> None:
        process = await start()
        entry = await process.register()
        bucket = Bucket(process.nats, process.bucket, replicas=1)
        for number in range(100):
            state = DRAINING if number % 2 else PASSING
            await process.keeper.change(entry.key, functools.partial(_turned, state=state))
        waiting = await _values(process)

        await process.keeper.prune(entry, until=entry.instance.epoch + 49)
        later = await _values(process)
        await process.keeper.prune(entry, until=entry.instance.revision)

        assert (waiting, later, await _values(process)) == (102, 52, 1)
        assert (await bucket.get(entry.key)) is not None

    async def test_who_left_a_day_ago_is_forgotten_once_it_is_written_down(self, start: Start, world: World) -> None:
        process = await start()
        entry = await process.register()
        await process.keeper.change(entry.key, lambda known: registry.left(known, GONE, "deregistered"))
        await process.keeper.forget(entry)

        later = await start()
        await later.keeper.fresh()

        assert (process.roster.entries, later.roster.entries) == ({}, {})
        assert (await later.register(id=entry.instance.id, address=entry.instance.address)).instance.state == PASSING


def _turned(known: Known | None, state: pb.InstanceState) -> pb.Instance:
    assert known is not None
    return keeper.turned(known.instance, state, "")


async def _values(process: Process) -> int:
    """How many values the bucket keeps."""
    return (await process.nats.jetstream().stream_info(f"KV_{process.bucket}")).state.messages
