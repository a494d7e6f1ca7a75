"""Small programs are kept running, killed and stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis import processes
from cli.supervisor import Spec, Supervisor

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 10.0
# Says that it runs, and ends when told so.
PATIENT = "import signal; print('up', flush=True); signal.pause()"
# Ends at once: a service with a wrong setting.
CRASHING = "raise SystemExit(3)"
# Takes its time over SIGTERM, as a service that drains does.
DRAINING = """
import signal, sys
def drain(*_):
    print('draining', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
print('up', flush=True)
while True:
    signal.pause()
"""
# A supervisor to be killed.
SUPERVISOR = f"""
import asyncio, sys
from pathlib import Path
from cli.supervisor import Spec, Supervisor

async def main():
    def on_line(name, line):
        print(supervisor.state()[name]["pid"], flush=True)
    supervisor = Supervisor(on_line, lambda: None)
    spec = Spec("patient", [sys.executable, "-c", {PATIENT!r}], dict(), Path.cwd(), 1)
    supervisor.start([spec])
    await asyncio.Event().wait()

asyncio.run(main())
"""


def spec(name: str, program: str) -> Spec:
    return Spec(name, [sys.executable, "-c", program], dict(os.environ), REPOSITORY, ops_port=1)


class Watched:
    """A supervisor whose lines can be waited for."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.changes = 0
        self.supervisor = Supervisor(lambda name, line: self.lines.put_nowait((name, line)), self._count)

    def _count(self) -> None:
        self.changes += 1

    async def line(self, text: str) -> str:
        """Wait for a line that holds the text, and return the name of its process."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                name, line = await self.lines.get()
                if text in line:
                    return name

    def pid(self, name: str) -> int:
        pid = self.supervisor.state()[name]["pid"]
        assert isinstance(pid, int)
        return pid


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    await watched.supervisor.stop([])


class TestRestart:
    async def test_killed_process_comes_back_with_a_new_pid(self, watched: Watched) -> None:
        watched.supervisor.start([spec("patient", PATIENT)])
        await watched.line("up")
        first = watched.pid("patient")

        os.kill(first, signal.SIGKILL)
        await watched.line("ended with exit code -9; starting again in 0.2 s")
        await watched.line("up")

        assert watched.pid("patient") != first
        assert watched.supervisor.state()["patient"]["restarts"] == 1
        assert watched.changes == 2

    async def test_pause_grows(self, watched: Watched) -> None:
        watched.supervisor.start([spec("crashing", CRASHING)])

        await watched.line("ended with exit code 3; starting again in 0.2 s")
        await watched.line("starting again in 0.4 s")
        await watched.line("starting again in 0.8 s")


class TestStop:
    async def test_groups_end_one_after_the_other(self, watched: Watched) -> None:
        watched.supervisor.start([spec("service", DRAINING), spec("gateway", DRAINING)])
        await watched.line("up")
        await watched.line("up")
        pids = [watched.pid("service"), watched.pid("gateway")]

        await watched.supervisor.stop([["gateway"], ["service"]])

        assert [await watched.line("draining"), await watched.line("draining")] == ["gateway", "service"]
        assert [processes.started_at(pid) for pid in pids] == [None, None]
        assert watched.supervisor.state() == {}

    async def test_a_process_between_two_starts_stays_down(self, watched: Watched) -> None:
        watched.supervisor.start([spec("crashing", CRASHING)])
        await watched.line("starting again in 0.8 s")

        async with asyncio.timeout(0.5):
            await watched.supervisor.stop([])

        assert watched.supervisor.state() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel tells children of their parent's death")
class TestKilledSupervisor:
    async def test_children_die_with_it(self) -> None:
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUPERVISOR, cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        assert supervisor.stdout is not None
        child = int(await supervisor.stdout.readline())
        assert processes.started_at(child) is not None

        supervisor.kill()
        await supervisor.wait()

        async with asyncio.timeout(DEADLINE_S):
            while processes.started_at(child):
                await asyncio.sleep(0.01)
