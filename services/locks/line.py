"""Those who wait in this process, and those who follow their leases here."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Final

import structlog
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLease

from chassis import clock, errors
from services.locks import locks
from services.locks.documents import Document
from services.locks.keeper import Keeper, Outcome
from services.locks.locks import Ended, Wish

# A stream may end by itself, with its pass for one: whoever opens it again within this has the place still.
COMES_BACK_S: Final = 1.0
# A stream tells this often where its caller stands, when that has changed.
POSITION_EVERY_S: Final = 1.0

log = structlog.get_logger()


class Place:
    """One who waits for a lock, or follows a lease, in this process."""

    def __init__(self, wish: Wish, document: Document) -> None:
        self.wish = wish
        self.document = document
        # A moment (monotonic) at which the lease was not granted yet, nor renewed.
        self.at = time.monotonic()
        self.changed = asyncio.Event()
        self.refusal: errors.Error | None = None
        # Nothing is left to be cleared up when the caller goes.
        self.settled = False

    @property
    def lease(self) -> StoredLease | None:
        """The lease, once it is granted and until it is lost."""
        return locks.lease_of(self.document.lock, self.wish.id)

    @property
    def position(self) -> int | None:
        """How many stand before, while it waits."""
        return locks.position_of(self.document.lock, self.wish.id)

    def see(self, document: Document) -> None:
        """Learn of a document."""
        if document.revision > self.document.revision:
            self.document = document

    def learn(self, outcome: Outcome) -> None:
        """Learn what a command has led to."""
        self.see(outcome.document)
        self.at = outcome.at


class Line:
    """The places of one process."""

    def __init__(self, keeper: Keeper, me: str) -> None:
        self._keeper = keeper
        self._me = me
        self._places: dict[str, dict[bytes, list[Place]]] = defaultdict(dict)
        keeper.on_change(self._see)

    async def acquire(self, key: str, wish: Wish, *, patience_s: float) -> tuple[StoredLease | None, int]:
        """The lease, or how many stand before. Raises `Conflict`, `Exhausted` and `Unavailable`."""
        until = time.monotonic() + patience_s
        with self._standing(key, wish, comes_back_s=0.0) as place:
            await self._enter(key, place, wait=patience_s > 0)
            position = place.position
            if place.lease is None and patience_s > 0 and not await self._turn(key, place, until):
                position = place.position
                if not place.settled:
                    leaving = partial(locks.give_up, lease_id=wish.id, host=self._me)
                    place.learn(await self._keeper.change(key, leaving))
            if place.lease is None:
                place.settled = True
                return None, len(place.document.lock.waiters) if position is None else position
            lease = await self._fresh(key, place)
            place.settled = True
            return lease, 0

    async def hold(self, key: str, wish: Wish) -> AsyncIterator[int | StoredLease | Ended]:
        """Where the caller stands in line; the lease; what has become of it. Raises as `acquire` does."""
        with self._standing(key, wish, comes_back_s=COMES_BACK_S) as place:
            try:
                await self._enter(key, place, wait=True)
                told = None
                while place.lease is None:
                    if place.position not in (told, None):
                        told = place.position
                        assert told is not None
                        yield told
                    await self._turn(key, place, time.monotonic() + POSITION_EVERY_S)
                lease = await self._fresh(key, place)
            except errors.LeaseLost:
                ended = locks.ended_of(self._keeper.documents.get(key).lock, wish.id)
                if ended is None or ended.holder not in ("", wish.holder):
                    raise
                place.settled = True
                yield ended
                return
            place.settled = True
            yield lease
            while place.lease is not None:
                await place.changed.wait()
                place.changed.clear()
            yield locks.ended_of(place.document.lock, wish.id) or Ended(pb.LOSS_REASON_UNSPECIFIED)

    async def renew(self, key: str, lease_id: bytes, holder: str, timeout_s: int | None) -> StoredLease:
        """The lease, for longer. Raises `LeaseLost` and `Unavailable`."""
        while True:
            renewal = partial(locks.renew, lease_id=lease_id, holder=holder, timeout_s=timeout_s, now=clock.now())
            outcome = await self._keeper.change(key, renewal)
            lease = locks.lease_of(outcome.document.lock, lease_id)
            if lease is None:
                # Given back, or taken away, by the same write.
                raise errors.LeaseLost
            # This process may have been paused since: what may be over is not answered.
            if time.monotonic() - outcome.at < lease.timeout:
                return lease

    async def refuse(self, key: str, lease_id: bytes, why: errors.Error) -> None:
        """Tell who waits here under an id that the lock is not to be had, if it is not had in this moment."""
        for place in self._places.get(key, {}).get(lease_id, ()):
            place.refusal = why
            place.changed.set()
        await self._keeper.change(key, partial(locks.give_up, lease_id=lease_id, host=self._me))

    def is_here(self, key: str, lease_id: bytes) -> bool:
        """Whether somebody waits here under an id."""
        return lease_id in self._places.get(key, {})

    def leave(self, key: str, lease_id: bytes) -> None:
        """Give up a place that nobody in this process stands at; before anybody does again under this id."""
        leaving = self._keeper.begin(key, partial(locks.leave, lease_id=lease_id, host=self._me))
        leaving.add_done_callback(_note)

    def _see(self, document: Document) -> None:
        places = self._places.get(document.key)
        if not places:
            return
        waiting = {waiter.id for waiter in document.lock.waiters}
        for lease_id, there in places.items():
            for place in there:
                place.see(document)
                if lease_id not in waiting:
                    place.changed.set()

    async def _enter(self, key: str, place: Place, *, wait: bool) -> None:
        if self._keeper.documents.is_elsewhere(key, place.wish.id):
            # Nothing is refused by what may be old.
            await self._keeper.catch_up()
            if self._keeper.documents.is_elsewhere(key, place.wish.id):
                raise locks.mismatch("the lock_id is in use for another lock")
        place.at = time.monotonic()
        place.learn(await self._keeper.change(key, partial(locks.enter, wish=place.wish, wait=wait, now=clock.now())))

    async def _turn(self, key: str, place: Place, until: float) -> bool:
        """Wait for the lease until a time; whether it is there. Raises the refusal."""
        while place.lease is None:
            if place.refusal is not None:
                raise place.refusal
            if place.position is None:
                # The others took this process for dead.
                await self._enter(key, place, wait=True)
                continue
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await place.changed.wait()
            except TimeoutError:
                return False
            place.changed.clear()
        return True

    async def _fresh(self, key: str, place: Place) -> StoredLease:
        """The lease, when it is certain to live: one that may be over, for all this process knows, is renewed first."""
        while True:
            lease = place.lease
            if lease is None:
                raise errors.LeaseLost
            if time.monotonic() - place.at < lease.timeout:
                return lease
            wish = place.wish
            renewal = partial(
                locks.renew, lease_id=wish.id, holder=wish.holder, timeout_s=None, now=clock.now(), host=self._me
            )
            place.learn(await self._keeper.change(key, renewal))

    @contextlib.contextmanager
    def _standing(self, key: str, wish: Wish, *, comes_back_s: float) -> Iterator[Place]:
        """A place, of which nothing is left behind."""
        place = Place(wish, self._keeper.documents.get(key))
        there = self._places[key].setdefault(wish.id, [])
        for earlier in there:
            # Who asks again goes on here.
            earlier.settled = True
        there.append(place)
        try:
            yield place
        except errors.Unavailable:
            raise
        except errors.Error as failure:
            # Who is refused may be granted the lock by another process in that moment.
            place.settled = failure is not place.refusal
            raise
        finally:
            if place.settled:
                self._remove(key, place)
            else:
                asyncio.get_running_loop().call_later(comes_back_s, self._gone, key, place)

    def _gone(self, key: str, place: Place) -> None:
        self._remove(key, place)
        if not place.settled:
            self.leave(key, place.wish.id)

    def _remove(self, key: str, place: Place) -> None:
        places = self._places[key]
        there = places[place.wish.id]
        there.remove(place)
        if not there:
            del places[place.wish.id]
        if not places:
            del self._places[key]


def _note(leaving: "asyncio.Future[Outcome]") -> None:
    if not leaving.cancelled() and (failure := leaving.exception()) is not None:
        # It is tried again as long as a place of this process stands in the document.
        log.info("place_not_given_up", error=repr(failure))
