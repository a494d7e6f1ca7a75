"""Who counts as dead."""

import time

import pytest

from services.locks.hosts import Hosts


class Heard:
    """What a process hears, second by second."""

    def __init__(self) -> None:
        self.hosts = Hosts(dead_after_s=3.0)
        self.now = time.monotonic()

    def pass_time(self, seconds: float, *, heard: str = "", cut_off: bool = False) -> None:
        """Time goes on in steps, as it does while nobody pauses."""
        for _ in range(int(seconds / 0.5)):
            self.now += 0.5
            if heard:
                self.hosts.heard(heard, self.now)
            if not cut_off:
                self.hosts.heard(self.hosts.me, self.now)

    def dead(self) -> set[str]:
        return set(self.hosts.dead({"a", "b", self.hosts.me}, self.now))


@pytest.fixture
def heard() -> Heard:
    """A process that has just begun."""
    return Heard()


class TestDead:
    def test_who_is_silent_for_three_seconds(self, heard: Heard) -> None:
        heard.pass_time(4, heard="a")

        assert heard.dead() == {"b"}

    def test_at_its_beginning_a_process_gives_everybody_time(self, heard: Heard) -> None:
        heard.pass_time(2.5)

        assert heard.dead() == set()

    def test_who_is_heard_again_lives(self, heard: Heard) -> None:
        heard.pass_time(4)
        heard.pass_time(0.5, heard="a")

        assert heard.dead() == {"b"}

    def test_after_a_pause_nobody_is_dead(self, heard: Heard) -> None:
        heard.pass_time(4)

        heard.now += 60
        first = heard.dead()
        heard.hosts.heard(heard.hosts.me, heard.now)

        assert first == set()
        assert heard.dead() == set()

    def test_while_it_hears_not_even_itself_nobody_is_dead(self, heard: Heard) -> None:
        heard.pass_time(4, heard="a")
        heard.pass_time(20, cut_off=True)
        meanwhile = heard.dead()
        heard.pass_time(2.5)
        afterwards = heard.dead()
        heard.pass_time(2, heard="a")

        assert meanwhile == afterwards == set()
        assert heard.dead() == {"b"}
