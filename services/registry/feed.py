"""The changes of the instances as watchers follow them: in the order of their revisions, none left out, none twice."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from switchyard.registry.v1 import registry_pb2 as pb

from chassis import errors

# A watcher that was away for no more than so many changes goes on where it was.
RING: Final = 10_000
# A watcher that is this far behind is cut, and comes back when it can.
BEHIND_MAX: Final = 10_000
# So many instances at most travel in one message, which may have 8 MB: one that tells all it may has 45 KB.
BATCH: Final = 150


class Change(NamedTuple):
    """An instance as it is since `revision`."""

    revision: int
    instance: pb.Instance
    preserving: bool
    # This change began or ended the preserving: everybody is told.
    turned: bool


class _Watcher:
    def __init__(self, services: Collection[str]) -> None:
        self.services = services
        self.pending: deque[Change] = deque()
        self.wake = asyncio.Event()
        self.cut = False

    def take(self, change: Change) -> None:
        if self.services and change.instance.service not in self.services and not change.turned:
            return
        if len(self.pending) >= BEHIND_MAX:
            self.cut = True
        else:
            self.pending.append(change)
        self.wake.set()

    def batch(self) -> pb.WatchResponse:
        """What is pending, as one message."""
        taken = [self.pending.popleft() for _ in range(min(len(self.pending), BATCH))]
        wanted = [one.instance for one in taken if not self.services or one.instance.service in self.services]
        return pb.WatchResponse(revision=taken[-1].revision, instances=wanted, preserving=taken[-1].preserving)


class Feed:
    """The last changes, and who follows them. `snapshot` reads what a watcher begins with, and `preserving`."""

    def __init__(self, snapshot: Callable[[], tuple[Iterable[pb.Instance], bool]]) -> None:
        self._snapshot = snapshot
        self._ring: deque[Change] = deque(maxlen=RING)
        self._watchers: set[_Watcher] = set()
        self.revision = 0
        # All changes after this one are in the ring.
        self._floor = 0

    def begin(self, revision: int) -> None:
        """What was told so far was no change, but what there was at a revision; the last writes may be forgotten."""
        self._ring.clear()
        self._floor = self.revision = max(self.revision, revision)

    def publish(self, change: Change) -> None:
        """Tell the watchers."""
        if len(self._ring) == RING:
            self._floor = self._ring[0].revision
        self._ring.append(change)
        self.revision = change.revision
        for watcher in self._watchers:
            watcher.take(change)

    async def follow(self, after: int, services: Collection[str]) -> AsyncIterator[pb.WatchResponse]:
        """Every change after a revision, or a snapshot and every change after it.

        Raises `Unavailable` for a watcher that does not keep up.
        """
        watcher = _Watcher(services)
        first = self._catch_up(watcher, after)
        self._watchers.add(watcher)
        try:
            for part in first:
                yield part
            while True:
                while watcher.pending and not watcher.cut:
                    yield watcher.batch()
                if watcher.cut:
                    raise errors.Unavailable("the watcher is too slow: go on from the last revision")
                watcher.wake.clear()
                await watcher.wake.wait()
        finally:
            self._watchers.discard(watcher)

    def _catch_up(self, watcher: _Watcher, after: int) -> Iterable[pb.WatchResponse]:
        """Give a new watcher what it has missed; the snapshot, when it has missed too much."""
        if after and self._floor <= after <= self.revision:
            for change in self._since(after):
                watcher.take(change)
            if watcher.pending:
                return ()
            # Nothing: that it stands where it was is worth a message, by which it knows that it is heard.
            return (pb.WatchResponse(revision=self.revision, preserving=self._snapshot()[1]),)
        found, preserving = self._snapshot()
        wanted = [one for one in found if not watcher.services or one.service in watcher.services]
        return _parts(wanted, self.revision, preserving=preserving)

    def _since(self, after: int) -> Iterator[Change]:
        return (change for change in self._ring if change.revision > after)


def _parts(instances: Sequence[pb.Instance], revision: int, *, preserving: bool) -> Iterator[pb.WatchResponse]:
    """A snapshot as messages of which the last alone has the revision: who saw only some has seen nothing."""
    for start in range(0, max(len(instances), 1), BATCH):
        yield pb.WatchResponse(
            revision=revision if start + BATCH >= len(instances) else 0,
            instances=instances[start : start + BATCH],
            snapshot=not start,
            preserving=preserving,
        )
