"""What watchers are sent."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.rpc import client, validation
from services.registry import feed
from services.registry.feed import Change, Feed


def _change(revision: int, service: str = "a", *, preserving: bool = False, turned: bool = False) -> Change:
    return Change(revision, pb.Instance(id=str(revision), service=service), preserving, turned)


def _feed(first: int = 10) -> Feed:
    made = Feed(lambda: ([pb.Instance(id="all", service="a")], False))
    made.publish(_change(first))
    made.begin(first)
    return made


async def _next(watcher: AsyncIterator[pb.WatchResponse]) -> tuple[int, list[str], bool]:
    told = await anext(watcher)
    return told.revision, [each.id for each in told.instances], told.snapshot


def _largest(character: str = "\U0010ffff") -> pb.Instance:
    """An instance that tells all it may."""
    return pb.Instance(
        id=str(uuid7()),
        version=character * 64,
        address=character * 255,
        zone=character * 64,
        metadata={f"{number:02}" + character * 62: character * 128 for number in range(32)},
        grpc_services=[character * 128] * 32,
    )


class TestSnapshot:
    async def test_comes_in_parts_with_the_revision_in_the_last(self) -> None:
        made = Feed(lambda: ([pb.Instance(id=str(n), service="a") for n in range(2 * feed.BATCH + 1)], True))
        made.begin(10)
        watcher = made.follow(0, ())
        parts = [await anext(watcher) for _ in range(3)]
        made.publish(_change(12))

        assert [(part.revision, part.snapshot) for part in parts] == [(0, True), (0, False), (10, False)]
        assert [one.id for part in parts for one in part.instances] == [str(n) for n in range(2 * feed.BATCH + 1)]
        assert all(part.preserving for part in parts)
        assert await _next(watcher) == (12, ["12"], False)

    async def test_of_nobody_is_one_message(self) -> None:
        made = Feed(lambda: ((), False))
        made.begin(10)

        assert await _next(made.follow(0, ())) == (10, [], True)

    async def test_no_message_is_too_large_for_a_watcher(self) -> None:
        largest = _largest()
        made = Feed(lambda: ([largest] * (feed.BATCH + 1), False))

        assert validation.violations(largest) == {}
        part = await anext(made.follow(0, ()))
        # What the registry adds itself: the service, a digest, why and when.
        assert part.ByteSize() + feed.BATCH * 1024 < dict(client.OPTIONS)["grpc.max_receive_message_length"]

    @pytest.mark.parametrize(
        "told",
        [
            {"metadata": {"k" * 65: ""}},
            {"metadata": {"k": "v" * 129}},
            {"grpc_services": ["s" * 129]},
        ],
    )
    async def test_nobody_tells_more_than_that(self, told: dict[str, Any]) -> None:
        assert validation.violations(pb.Instance(id=str(uuid7()), address="a:1", **told))


class TestFollow:
    async def test_begins_with_a_snapshot(self) -> None:
        made = _feed()
        watcher = made.follow(0, ())

        first = await _next(watcher)
        made.publish(_change(12))

        assert (first, await _next(watcher)) == ((10, ["all"], True), (12, ["12"], False))

    async def test_goes_on_after_what_was_seen(self) -> None:
        made = _feed()
        for revision in (12, 15, 17):
            made.publish(_change(revision))

        assert await _next(made.follow(12, ())) == (17, ["15", "17"], False)

    async def test_where_nothing_has_happened_it_says_so(self) -> None:
        assert await _next(_feed().follow(10, ())) == (10, [], False)

    @pytest.mark.parametrize("after", [9, 11])
    async def test_before_what_is_known_and_after_what_is_it_begins_anew(self, after: int) -> None:
        assert await _next(_feed().follow(after, ())) == (10, ["all"], True)

    async def test_before_what_is_kept_it_begins_anew(self) -> None:
        made = _feed()
        for revision in range(11, 12 + feed.RING):
            made.publish(_change(revision))

        assert (await _next(made.follow(10, ())))[2]
        assert (await _next(made.follow(11, ())))[:2] == (11 + feed.BATCH, [str(11 + n + 1) for n in range(feed.BATCH)])

    async def test_tells_of_some_services_only(self) -> None:
        made = _feed()
        watcher = made.follow(10, ("a",))
        await anext(watcher)
        made.publish(_change(11, "b"))
        made.publish(_change(12))

        assert await _next(watcher) == (12, ["12"], False)

    async def test_tells_everybody_that_it_preserves(self) -> None:
        made = _feed()
        watcher = made.follow(10, ("a",))
        await anext(watcher)
        made.publish(_change(11, "b", preserving=True, turned=True))

        told = await anext(watcher)

        assert (told.preserving, list(told.instances)) == (True, [])

    async def test_cuts_who_is_too_slow_and_delays_nobody(self) -> None:
        made = _feed()
        slow, quick = made.follow(0, ()), made.follow(0, ())
        await anext(slow)
        await anext(quick)
        for revision in range(11, 12 + feed.BEHIND_MAX):
            made.publish(_change(revision))
            if revision % 100 == 11:
                last = await anext(quick)

        assert last.revision == 11 + feed.BEHIND_MAX
        with pytest.raises(errors.Unavailable):
            await anext(slow)
