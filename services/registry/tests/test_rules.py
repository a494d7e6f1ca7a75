"""How an instance is judged, with times of our own."""

import pytest
from switchyard.registry.v1 import registry_pb2 as pb

from services.registry import rules
from services.registry.rules import Signs

STARTING, PASSING, WARNING = pb.INSTANCE_STATE_STARTING, pb.INSTANCE_STATE_PASSING, pb.INSTANCE_STATE_WARNING
CRITICAL, DRAINING, GONE = pb.INSTANCE_STATE_CRITICAL, pb.INSTANCE_STATE_DRAINING, pb.INSTANCE_STATE_GONE


def _signs(*, beats: int = 3) -> Signs:
    """Of one that has sent its last heartbeat at second 100."""
    signs = Signs(heard_at=0.0, beat_at=0.0, probed_at=0.0)
    for second in range(101 - beats, 101):
        signs.beat(second, ready=True, interval_s=1)
    return signs


def _state(
    state: pb.InstanceState, signs: Signs, now: float, *, mass: bool = False, interval_s: float = 1
) -> pb.InstanceState:
    verdict = rules.judge(pb.Instance(state=state), signs, now, interval_s=interval_s, mass=mass)
    return state if verdict is None else verdict.state


class TestHeartbeats:
    def test_the_first_ready_one_lets_it_pass(self) -> None:
        assert _state(STARTING, _signs(beats=1), 100) == PASSING

    def test_one_that_is_not_ready_stays_starting(self) -> None:
        signs = _signs(beats=0)
        signs.beat(100, ready=False, interval_s=1)

        assert _state(STARTING, signs, 100) == STARTING

    def test_two_in_a_row_end_a_warning(self) -> None:
        assert [_state(WARNING, _signs(beats=count), 100) for count in (1, 2)] == [WARNING, PASSING]

    def test_two_in_a_row_bring_it_back(self) -> None:
        signs = _signs(beats=0)
        signs.failed(98, refused=False)
        signs.failed(98.5, refused=False)
        states = []
        for second in (99, 100):
            signs.beat(second, ready=True, interval_s=1)
            states.append(_state(CRITICAL, signs, second))

        assert states == [CRITICAL, PASSING]

    def test_one_that_flaps_is_believed_later(self) -> None:
        signs = _signs(beats=5)
        signs.turns.extend([60, 70, 80, 90])
        soon = _state(WARNING, signs, 100)
        signs.beat(101, ready=True, interval_s=1)

        assert (soon, _state(WARNING, signs, 101)) == (WARNING, PASSING)
        assert rules.needed(signs, 121) == rules.SUCCESSES

    def test_one_that_takes_its_time_is_given_it(self) -> None:
        signs = _signs()
        signs.beat(110, ready=True, interval_s=1)

        assert not rules.overdue(signs, 127, 1)
        assert rules.overdue(signs, 128, 1)

    def test_one_that_was_never_ready_is_starting_again(self) -> None:
        signs = _signs(beats=0)
        signs.failed(98, refused=False)
        signs.failed(98.5, refused=False)
        for second in (99, 100):
            signs.beat(second, ready=False, interval_s=1)

        assert _state(CRITICAL, signs, 100) == STARTING

    def test_missing_for_minutes_it_is_gone_whoever_answers_at_its_address(self) -> None:
        states = []
        for state in (WARNING, DRAINING):
            signs = _signs()
            for second in range(101, 402):
                signs.answered(second, serving=True)
                if second in (399, 401):
                    states.append(_state(state, signs, second))

        assert states == [WARNING, GONE, DRAINING, GONE]

    def test_one_that_was_silent_for_minutes_has_as_long_for_the_first(self) -> None:
        signs = _signs()
        signs.failed(102.3, refused=False)
        signs.answered(900, serving=True)

        assert _state(WARNING, signs, 900) == WARNING


class TestProofOfDeath:
    def test_takes_two_refusals(self) -> None:
        signs = _signs()
        signs.failed(100.1, refused=True)
        once = _state(PASSING, signs, 100.1)
        signs.failed(100.2, refused=True)

        assert (once, _state(PASSING, signs, 100.2)) == (PASSING, CRITICAL)

    def test_counts_though_half_of_all_are_silent(self) -> None:
        signs = _signs()
        signs.failed(101.8, refused=True)
        signs.failed(101.9, refused=True)

        assert _state(PASSING, signs, 101.9, mass=True) == CRITICAL

    def test_of_many_that_send_heartbeats_since_is_none(self) -> None:
        signs = _signs()
        signs.failed(99.5, refused=True)
        signs.failed(99.6, refused=True)
        signs.beat(100, ready=True, interval_s=1)

        assert rules.suspect(signs, 100.5, 1)
        assert [_state(state, signs, 100.5, mass=True) for state in (PASSING, CRITICAL)] == [PASSING, WARNING]
        assert not rules.unreachable(signs, 102, 1)
        assert _state(PASSING, signs, 102, mass=True) == CRITICAL

    @pytest.mark.parametrize("state", [CRITICAL, DRAINING])
    def test_after_a_while_it_is_gone(self, state: pb.InstanceState) -> None:
        signs = _signs()
        signs.failed(100.1, refused=True)
        signs.failed(100.2, refused=True)

        assert _state(state, signs, 103) == state
        assert _state(state, signs, 103.2) == GONE

    def test_one_that_sends_heartbeats_is_never_gone(self) -> None:
        signs = _signs()
        signs.failed(90, refused=True)
        signs.failed(90.1, refused=True)

        assert _state(PASSING, signs, 100.5) == _state(CRITICAL, signs, 100.5) == CRITICAL


class TestSilence:
    def _silent(self) -> Signs:
        signs = _signs()
        signs.failed(102.3, refused=False)
        signs.failed(102.8, refused=False)
        return signs

    def test_is_critical_within_three_seconds_of_the_last_heartbeat(self) -> None:
        assert _state(PASSING, self._silent(), 102.7) == PASSING
        assert _state(PASSING, self._silent(), 102.8) == CRITICAL

    def test_of_half_of_all_changes_nothing_but_a_mark(self) -> None:
        verdict = rules.judge(pb.Instance(state=PASSING), self._silent(), 102.8, interval_s=1, mass=True)

        assert verdict is not None
        assert (verdict.state, verdict.preserved) == (PASSING, True)

    def test_is_given_up_after_half_a_minute(self) -> None:
        assert [_state(CRITICAL, self._silent(), now) for now in (130, 130.1)] == [CRITICAL, GONE]

    def test_is_given_up_half_a_minute_after_it_is_kept_no_more(self) -> None:
        signs = self._silent()
        signs.turns.append(400)

        assert [_state(CRITICAL, signs, now) for now in (430, 430.1)] == [CRITICAL, GONE]

    def test_of_a_drained_one_leaves_it_drained(self) -> None:
        assert _state(DRAINING, self._silent(), 110) == DRAINING

    def test_without_heartbeats_an_answered_probe_is_a_warning_only(self) -> None:
        signs = _signs()
        signs.answered(103.9, serving=True)
        soon = _state(PASSING, signs, 103.9)
        signs.answered(104.1, serving=True)

        assert (soon, _state(PASSING, signs, 104.1)) == (PASSING, WARNING)


class TestProbe:
    def test_twice_not_serving_is_a_warning(self) -> None:
        signs = _signs()
        signs.answered(100.1, serving=False)
        once = _state(PASSING, signs, 100.1)
        signs.answered(100.2, serving=False)

        assert (once, _state(PASSING, signs, 100.2)) == (PASSING, WARNING)

    def test_unanswered_beside_heartbeats_is_a_warning(self) -> None:
        signs = _signs()
        signs.failed(100.1, refused=False)
        signs.failed(100.2, refused=False)

        assert _state(PASSING, signs, 100.2) == WARNING


class TestMass:
    @pytest.mark.parametrize(
        ("silent", "living", "before", "found"),
        [
            (5, 10, False, True),
            (4, 10, False, True),
            (3, 9, False, False),
            (2, 2, False, False),
            (4, 10, True, True),
            (3, 10, True, False),
            (0, 0, True, False),
        ],
    )
    def test_nearly_half_of_all_until_it_is_less_than_a_third(
        self, *, silent: int, living: int, before: bool, found: bool
    ) -> None:
        assert rules.is_mass(silent=silent, living=living, before=before) is found

    def test_counts_one_whose_heartbeat_was_late_before_but_not_one_that_is_always_slow(self) -> None:
        late, slow = _signs(), _signs()
        late.beat(102, ready=True, interval_s=1)
        slow.beat(110, ready=True, interval_s=1)

        assert (rules.overdue(late, 104, 1), rules.suspect(late, 104, 1)) == (False, True)
        assert not rules.suspect(slow, 120, 1)

    def test_counts_one_that_was_the_first_to_be_judged(self) -> None:
        assert [rules.fell_lately(CRITICAL, _signs(), now, 1) for now in (103, 106)] == [True, False]


class TestInterval:
    def test_grows_with_the_instances_and_does_not_waver(self) -> None:
        assert [rules.interval(count, 1) for count in (1, 1000, 1001, 10_000)] == [1, 1, 2, 10]
        assert [rules.interval(count, 2) for count in (999, 801, 799)] == [2, 2, 1]


class TestScore:
    def test_is_the_share_of_good_checks_as_far_as_the_state_allows(self) -> None:
        assert rules.score(PASSING, [True] * 9 + [False]) == 90
        assert rules.score(WARNING, [True] * 10) == 60
        assert rules.score(CRITICAL, [True] * 10) == 0
        assert rules.score(STARTING, []) == 50
