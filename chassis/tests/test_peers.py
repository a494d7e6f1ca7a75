"""Which instance a call goes to."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from switchyard.registry.v1 import registry_pb2

from chassis import peers
from chassis.peers import Peer, Pool

WARM = -60.0


def _peer(name: str, *, weight: int = 100, far: bool = False, state: str = "passing", since: float = WARM) -> Peer:
    channel: Any = None
    told = registry_pb2.Instance(address=name, weight=weight, state=f"INSTANCE_STATE_{state.upper()}")
    peer = Peer(told, channel, far=far)
    peer.serving_since = time.monotonic() + since
    return peer


def _peers(count: int) -> list[Peer]:
    return [_peer(str(number)) for number in range(count)]


def _chosen(of: Sequence[Peer], count: int = 2000) -> Counter[str]:
    """Whom so many calls go to, one after the other."""
    pool = Pool(of)
    return Counter(pool.choose().told.address for _ in range(count))


def _filled(of: Sequence[Peer], count: int) -> dict[str, int]:
    """How many of so many calls at once each has."""
    pool = Pool(of)
    for _ in range(count):
        pool.choose().under_way += 1
    return {peer.told.address: peer.under_way for peer in of}


class TestChoice:
    def test_calls_at_once_are_shared_evenly(self) -> None:
        loads = _filled(_peers(5), 500).values()

        assert max(loads) - min(loads) <= 10

    def test_a_weight_is_a_share_of_the_calls(self) -> None:
        both = [_peer("big", weight=300), _peer("small", weight=100)]

        one_by_one, at_once = _chosen(both), _filled(both, 400)

        assert 0.65 < one_by_one["big"] / 2000 < 0.85
        assert 280 <= at_once["big"] <= 320

    @pytest.mark.parametrize(
        "how", [{"weight": 0}, {"state": "draining"}, {"state": "critical"}, {"state": "starting"}]
    )
    def test_who_takes_no_calls_gets_none(self, how: dict[str, Any]) -> None:
        resting = _peer("resting", **how)

        assert set(_chosen([_peer("serving"), resting])) == {"serving"}
        assert not Pool([resting])

    def test_the_one_that_has_just_failed_is_the_last_to_be_asked_again(self) -> None:
        both = _peers(2)
        pool = Pool(both)

        assert {pool.choose(both[0]) for _ in range(50)} == {both[1]}
        assert Pool(both[:1]).choose(both[0]) is both[0]

    def test_one_that_has_just_begun_is_not_flooded(self) -> None:
        loads = _filled([*_peers(3), _peer("new", since=0.0)], 300)

        assert loads["new"] < 20

    def test_it_has_just_begun_when_it_takes_calls_again(self) -> None:
        back = _peer("back", state="critical")

        back.tell(_peer("back").told)

        assert _filled([_peer("old"), back], 100)["back"] < 20


class TestZones:
    def test_the_own_zone_is_preferred(self) -> None:
        assert set(_chosen([_peer("near"), _peer("far", far=True)])) == {"near"}

    def test_until_it_is_busy(self) -> None:
        loads = _filled([_peer("near"), _peer("far", far=True)], 100)

        assert loads["near"] == loads["far"] + peers.FAR

    def test_or_does_not_answer(self) -> None:
        near = _peer("near")
        near.ejected_until = time.monotonic() + 60

        assert set(_chosen([near, _peer("far", far=True)])) == {"far"}

    def test_another_one_is_better_than_none(self) -> None:
        assert set(_chosen([_peer("far", far=True)])) == {"far"}


class TestWarning:
    def test_those_come_last(self) -> None:
        passing, warned = _peer("passing", far=True), _peer("warned", state="warning")

        assert set(_filled([passing, warned], 50)) == {"passing", "warned"}
        assert warned.under_way == 0

    def test_but_they_come(self) -> None:
        passing, warned = _peer("passing"), _peer("warned", state="warning")
        passing.ejected_until = time.monotonic() + 60

        assert set(_chosen([passing, warned])) == {"warned"}
        assert set(_chosen([warned])) == {"warned"}


class TestEjection:
    def test_an_instance_that_keeps_failing_is_left_alone(self) -> None:
        both = _peers(2)

        for _ in range(peers.EJECT_AFTER):
            both[0].failed(both, now=0.0)

        assert both[0].ejected_until == peers.EJECT_FIRST_S

    def test_for_longer_each_time(self) -> None:
        both = _peers(2)

        for _ in range(2 * peers.EJECT_AFTER):
            both[0].failed(both, now=both[0].ejected_until)

        assert both[0].ejected_until == 3 * peers.EJECT_FIRST_S

    def test_never_more_than_half(self) -> None:
        three = _peers(3)

        for peer in three:
            for _ in range(peers.EJECT_AFTER):
                peer.failed(three, now=0.0)

        assert [peer.ejected_until > 0 for peer in three] == [True, False, False]

    def test_an_answer_forgets_failures(self) -> None:
        both = _peers(2)
        for _ in range(peers.EJECT_AFTER - 1):
            both[0].failed(both, now=0.0)

        both[0].succeeded()
        both[0].failed(both, now=0.0)

        assert both[0].ejected_until == 0.0

    def test_one_that_is_left_alone_is_not_chosen(self) -> None:
        four = _peers(4)
        four[0].ejected_until = time.monotonic() + 60

        assert set(_chosen(four)) == {"1", "2", "3"}

    def test_unless_there_is_no_other(self) -> None:
        alone = _peer("alone")
        alone.ejected_until = time.monotonic() + 60

        assert set(_chosen([alone])) == {"alone"}
