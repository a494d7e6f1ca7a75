"""What one process of the registry knows, with times of our own."""

import asyncio
from datetime import timedelta
from typing import Any

from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import buckets, clock
from services.registry.roster import Roster, key_of


def _told(revision: int, *, state: pb.InstanceState = pb.INSTANCE_STATE_PASSING, **told: Any) -> buckets.Entry:
    instance = pb.Instance(**({"id": str(uuid7()), "service": "orders", "address": str(uuid7())} | told), state=state)
    instance.changed_at.FromDatetime(clock.now())
    return buckets.Entry(key_of(instance.service, instance.id), instance.SerializeToString(), revision)


class TestApply:
    def test_the_write_of_a_registration_is_its_epoch(self) -> None:
        roster = Roster()
        written = _told(7)
        roster.apply(written, 0)
        again = roster.entries[written.key].instance
        roster.apply(buckets.Entry(written.key, again.SerializeToString(), 9), 0)

        found = roster.entries[written.key].instance

        assert (found.epoch, found.revision) == (7, 9)

    def test_counts_each_state(self) -> None:
        roster = Roster()
        for revision, state in enumerate([pb.INSTANCE_STATE_PASSING] * 2 + [pb.INSTANCE_STATE_GONE], 1):
            roster.apply(_told(revision, state=state), 0)

        assert (roster.size, roster.counts[pb.INSTANCE_STATE_GONE]) == (2, 1)

    def test_a_later_registration_at_an_address_is_the_successor(self) -> None:
        roster = Roster()
        before, after = _told(1, address="a:1"), _told(2, address="a:1")
        for written in (before, after):
            roster.apply(written, 0)

        first, second = (roster.entries[written.key] for written in (before, after))

        assert roster.successor(first.instance) == second.instance
        assert roster.successor(second.instance) is None
        assert roster.replaced(second.instance) == [first]


class TestDue:
    def test_nobody_is_looked_at_before_something_may_have_happened(self) -> None:
        roster = Roster()
        entries = [_told(revision) for revision in range(1, 101)]
        for written in entries:
            roster.apply(written, 0)
        roster.due(0)
        for entry in roster.entries.values():
            roster.beat(entry, b"p" * 16, 1, ready=True)

        looked = [len(roster.due(now)) for now in (1.7, 1.8, 2.7, 2.8)]

        assert looked == [0, 100, 0, 100]


class TestInterval:
    async def test_is_told_when_it_changes(self) -> None:
        roster = Roster()
        waiting = asyncio.create_task(roster.interval_changed(1))
        await asyncio.sleep(0)
        for revision in range(1, 1002):
            roster.apply(_told(revision), 0)
        await waiting

        assert roster.interval_s == 2


class TestForgettable:
    def test_is_who_left_a_day_ago(self) -> None:
        roster = Roster()
        with clock.shifted(-timedelta(hours=25)):
            roster.apply(_told(1), 0)
            old = _told(2, state=pb.INSTANCE_STATE_GONE)
        roster.apply(old, 0)
        roster.apply(_told(3, state=pb.INSTANCE_STATE_GONE), 0)

        assert [entry.key for entry in roster.forgettable()] == [old.key]
