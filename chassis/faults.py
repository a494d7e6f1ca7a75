"""Points at which a process may be made to die, to show that nothing is lost at whatever moment it does.

The chassis passes a point before and after every commit and every call to another service; whoever asks a system that
is not ours passes points of its own. A point's name is the action of the current call and what is about to be done or
was just done: `orders.PlaceOrder/commit.after`. Nobody writes the names down: a story is run once while they are noted,
and then again and again, with a death at each.

A process that is started with `SWITCHYARD_FAULT=orders.PlaceOrder/commit.after:2` kills itself (SIGKILL) when it passes
this point for the second time; with `SWITCHYARD_FAULT=>points.txt` it writes the names of the points that it passes to
a file. Nothing of this is done in production.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from chassis import call

Watch = Callable[[str], None]

_process: list[Watch] = []
_context: ContextVar[Watch | None] = ContextVar("faults", default=None)


def point(what: str) -> None:
    """Pass a point. Costs nothing to speak of unless somebody watches."""
    watch = _context.get() or (_process[0] if _process else None)
    if watch is not None:
        current = call.find()
        watch(f"{current.action if current is not None else '-'}/{what}")


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Let every point that is passed within be told to `watch`, which may raise; for tests."""
    token = _context.set(watch)
    try:
        yield
    finally:
        _context.reset(token)


def arm(fault: str) -> None:
    """Let this process do what `SWITCHYARD_FAULT` says; nothing when it is empty. Raises `ValueError`."""
    _process.clear()
    if fault.startswith(">"):
        _process.append(_writing(Path(fault[1:])))
    elif fault:
        name, _, count = fault.rpartition(":")
        _process.append(_dying(name, int(count)))


def _dying(name: str, count: int) -> Watch:
    passed: Counter[str] = Counter()

    def watch(point: str) -> None:
        passed[point] += 1
        if point == name and passed[point] == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return watch


def _writing(path: Path) -> Watch:
    def watch(point: str) -> None:
        with path.open("a") as file:
            file.write(f"{point}\n")

    return watch
