"""Keeps processes running: starts one again that ends, with a growing pause, and stops them in order."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chassis import processes

RESTART_FIRST_S, RESTART_MAX_S = 0.2, 5.0
# Up for this long, a process counts as healthy: its next end begins with the short pause again.
HEALTHY_S = 10.0
# A process finishes its calls within 10 seconds of SIGTERM (the chassis's `drain_s`); then it has hung.
STOP_GRACE_S = 12.0


@dataclass(frozen=True)
class Spec:
    """What to run."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    ops_port: int


class Supervised:
    """One process that is kept running."""

    def __init__(self, spec: Spec, on_line: Callable[[str, str], None], on_change: Callable[[], None]) -> None:
        """Start keeping it; `on_change` is called whenever it has a new pid."""
        self.spec = spec
        self.restarts = 0
        self._on_line = on_line
        self._on_change = on_change
        self._child: processes.Child | None = None
        self._stopping = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        """The process id, or None between an end and the next start."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def stop(self) -> None:
        """End the process with SIGTERM, or by force when it has hung."""
        self._stopping.set()
        if self._child is not None and self._child.returncode is None:
            await self._child.stop(signal.SIGTERM, grace_s=STOP_GRACE_S)
        await self._keeper

    async def _keep(self) -> None:
        pause_s = RESTART_FIRST_S
        while not self._stopping.is_set():
            begun = time.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - begun >= HEALTHY_S:
                pause_s = RESTART_FIRST_S
            self._on_line(self.spec.name, f"ended with exit code {code}; starting again in {pause_s:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(pause_s * 2, RESTART_MAX_S)
            self.restarts += 1

    async def _run_once(self) -> int:
        name = self.spec.name
        self._child = await processes.spawn(
            self.spec.argv,
            on_line=lambda line: self._on_line(name, line),
            # At once: nobody is left to wait for a graceful end, and every acknowledged effect is committed.
            death_signal=signal.SIGKILL,
            env=self.spec.env,
            cwd=self.spec.cwd,
        )
        self._on_change()
        if self._stopping.is_set():
            return await self._child.stop(signal.SIGTERM, grace_s=STOP_GRACE_S)
        return await self._child.wait()


class Supervisor:
    """All processes of the suite."""

    def __init__(self, on_line: Callable[[str, str], None], on_change: Callable[[], None]) -> None:
        """`on_line` gets (process name, line); `on_change` is called whenever a process has a new pid."""
        self._on_line = on_line
        self._on_change = on_change
        self._all: dict[str, Supervised] = {}

    def start(self, specs: Iterable[Spec]) -> None:
        """Keep these running from now on."""
        for spec in specs:
            self._all[spec.name] = Supervised(spec, self._on_line, self._on_change)

    async def stop(self, phases: Iterable[Iterable[str]]) -> None:
        """Stop the named processes, one group after the other, and then whatever is left."""
        for names in (*phases, list(self._all)):
            stopped = [self._all.pop(name) for name in names if name in self._all]
            await asyncio.gather(*(each.stop() for each in stopped))

    def state(self) -> dict[str, dict[str, object]]:
        """What runs: pid, a mark of when it began, operations port and restarts, by name."""
        return {
            name: {
                "kind": "process",
                "pid": each.pid,
                "mark": processes.started_at(each.pid) if each.pid else None,
                "ops_port": each.spec.ops_port,
                "restarts": each.restarts,
            }
            for name, each in self._all.items()
        }
