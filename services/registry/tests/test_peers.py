"""The processes of the registry among themselves, with times of our own."""

import pytest

from services.registry import peers
from services.registry.peers import Heard, Peers


class TestDigest:
    def test_tells_whom_it_has_heard_and_how(self) -> None:
        told = [Heard(bytes([number]) * 16, 7.75, bool(number & 1), bool(number & 2)) for number in range(4)]

        process, heard = peers.read(peers.digest(b"p" * 16, {each.token: each for each in told}, 8.0), 108.0)

        assert (process, list(heard)) == (b"p" * 16, [each._replace(at=107.75) for each in told])

    def test_what_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not a digest"):
            peers.read(b"p" * 16 + b"too short", 0)


class TestResponsible:
    def _three(self) -> list[Peers]:
        three = [Peers() for _ in range(3)]
        for one in three:
            for other in three:
                one.heard(other.id, 0)
        return three

    def test_is_the_process_that_heard_it_last(self) -> None:
        three = self._three()

        assert [one.responsible("key", three[1].id, 1) for one in three] == [False, True, False]

    def test_is_one_other_when_that_process_is_dead(self) -> None:
        first, second, dead = self._three()
        for one in (first, second):
            one.heard(first.id, 4)
            one.heard(second.id, 4)

        for key in map(str, range(20)):
            assert first.responsible(key, dead.id, 4) != second.responsible(key, dead.id, 4)

    def test_is_nobody_who_is_cut_off(self) -> None:
        first, _second, dead = self._three()

        assert not any(first.responsible(str(key), dead.id, 10) for key in range(20))
        assert first.cut_off(10)

    def test_who_hears_itself_again_is_told_so_once(self) -> None:
        one = Peers()

        assert [one.heard(one.id, now) for now in (0, 1, 10, 10.5)] == [True, False, True, False]
