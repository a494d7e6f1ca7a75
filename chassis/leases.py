"""Getting one lease of a lock, keeping it, and cancelling what is done under it when it is lost; see `chassis.locks`.

Nothing here trusts an answer for longer than the request allows: a lease is counted on the monotonic clock from before
the request was sent that granted or renewed it; on the one that goes on while the machine is suspended.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import structlog
from switchyard.locks.v1 import locks_pb2 as pb

from chassis import call, errors

# Two clocks go apart by no more than this: NTP slews each by 500 millionths at most.
DRIFT: Final = 0.001
# A lease is renewed when this part of it is over, so that one renewal may fail and the next still be in time.
RENEW_AFTER: Final = 1 / 3
# A wish that is not answered at all for so long is sent to another process. NATS has failed over within seven seconds.
ANSWER_S: Final = 10.0
# A renewal or a release that is not answered is sent again after this; a renewal after half of what is left, if sooner.
TRY_S: Final = 5.0
# What failed is tried again after the first, then ever later: a place in line is kept for three seconds.
RETRY_FIRST_S: Final = 0.05
RETRY_MAX_S: Final = 0.5

# The service is away, or whoever would have answered was ended; what it says of a wish has another class.
_OUTAGES = (errors.Unavailable, errors.DeadlineExceeded, errors.Internal)
_ENDINGS: Final = {
    pb.LOSS_REASON_RELEASED: "was given back",
    pb.LOSS_REASON_EXPIRED: "has expired",
    pb.LOSS_REASON_BROKEN: "was broken",
}

# Linux has one that does not stand still while the machine is suspended; macOS has no other.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """A lock that is held."""

    lock_name: str
    lock_id: str
    fencing_token: int
    _keeper: "Keeper" = field(repr=False)

    @property
    def remaining_s(self) -> float:
        """Seconds until it ends unless it is renewed; none or less when it is over."""
        return self._keeper.remaining_s

    def check(self) -> None:
        """Look at the clock now, for a body that has not awaited anything for long. Raises `errors.LeaseLost`."""
        self._keeper.check()


class Keeper:
    """Follows one wish from now on, and then the lease."""

    def __init__(self, stub: Any, wish: pb.AcquireRequest, acting: call.Call) -> None:
        # Set when nothing is left to be given back.
        self.closed = asyncio.Event()
        self._stub = stub
        self._wish = wish
        self._acting = acting
        self._users = 0
        self._bodies: list[Body] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._lease: Lease | None = None
        # What has ended it all, and whether the service knows that nothing is held.
        self._failure: BaseException | None = None
        self._is_over = False
        self._outage: errors.Error | None = None
        self._outages = 0
        # The first answer has come; the lease may be used, or will never be.
        self._answered, self._settled = asyncio.Event(), asyncio.Event()
        self._asked_at = monotonic()
        self._ends_at = self._renew_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._begin(self._follow)

    @property
    def in_use(self) -> bool:
        """Whether another body may come in."""
        return self._users > 0

    @property
    def remaining_s(self) -> float:
        """Seconds until the lease ends."""
        return self._ends_at - monotonic()

    def check(self) -> None:
        """Raise what has ended the lease, if anything has."""
        if self.remaining_s <= 0:
            self._expire()
        if self._failure is not None:
            raise self._failure

    def admit(self, wish: pb.AcquireRequest) -> None:
        """Let its owner in again. Raises `Conflict` (`LOCK_MISMATCH`)."""
        if wish.permits != self._wish.permits or wish.mode not in {self._wish.mode, pb.LOCK_MODE_SHARED}:
            message = f"{wish.lock_name} is held by its owner in another way"
            raise errors.Conflict(message, code="LOCK_MISMATCH")

    async def __aenter__(self) -> None:
        self._users += 1

    async def __aexit__(self, kind: type[BaseException] | None, *_raised: object) -> None:
        self._users -= 1
        if not self._users:
            await self._close(well=kind is None)

    async def until_held(self, asked_at: float, patience_s: float | None) -> Lease:
        """The lease, when its time has come."""
        if patience_s is not None:
            await _within(self._answered, max(patience_s, ANSWER_S))
            await _within(self._settled, max(asked_at + patience_s - monotonic(), 0))
            if not self._settled.is_set():
                raise self._outage or impatient(self._wish.lock_name)
        await self._settled.wait()
        self.check()
        assert self._lease is not None
        return self._lease

    def enter(self, body: "Body") -> None:
        """Let a body be cancelled with the lease."""
        self.check()
        self._bodies.append(body)

    def leave(self, body: "Body") -> BaseException | None:
        """Let it no more; what has ended the lease."""
        self._bodies.remove(body)
        return self._failure

    # The wish.

    async def _follow(self) -> None:
        while self._failure is None:
            try:
                await self._listen()
            except errors.LeaseLost as failure:
                self._end(failure, is_over=True)
            except errors.Error as failure:
                if self._lease is None and not isinstance(failure, _OUTAGES):
                    self._end(failure, is_over=True)
                self._note_outage(failure)
            except TimeoutError:
                self._note_outage(errors.Unavailable(retry_after_s=1))
            await asyncio.sleep(_delay_s(self._outages))

    async def _listen(self) -> None:
        request = pb.HoldRequest(wish=self._wish)
        async with asyncio.timeout(ANSWER_S) as until_answered, aclosing(self._stub.Hold(request)) as answers:
            async for answer in answers:
                until_answered.reschedule(None)
                self._outage, self._outages = None, 0
                self._on_answer(answer)
                self._answered.set()
        if self._failure is None:
            raise errors.Unavailable

    def _note_outage(self, failure: errors.Error) -> None:
        self._outage = failure
        self._outages += 1
        log.info("lock_stream_broken", lock=self._wish.lock_name, error=repr(failure))

    def _on_answer(self, answer: pb.HoldResponse) -> None:
        held = self._lease
        match answer.WhichOneof("event"):
            case "granted" if held is None:
                self._on_granted(answer.granted)
            case "granted" if held is not None and held.fencing_token != answer.granted.fencing_token:
                self._end(errors.LeaseLost())
            case "waiting" if held is not None:
                self._end(errors.LeaseLost())
            case "lost":
                self._end(_lost(self._wish.lock_name, answer.lost), is_over=True)

    def _on_granted(self, told: pb.Lease) -> None:
        now = monotonic()
        self._lease = Lease(self._wish.lock_name, self._wish.lock_id, told.fencing_token, self)
        if now < self._asked_at + told.timeout * RENEW_AFTER:
            self._keep(self._asked_at, told.timeout)
        else:
            # Perhaps it is as old as the wish, so nothing is done under it until it has been renewed.
            self._renew_at = now
            self._set_end(now + told.timeout)
        self._begin(self._renew)

    # The lease.

    async def _renew(self) -> None:
        request = pb.RenewRequest(lock_id=self._wish.lock_id, timeout=self._wish.timeout)
        failures = 0
        while self._failure is None:
            await asyncio.sleep(max(self._renew_at - monotonic(), 0))
            sent_at = monotonic()
            patience_s = min(max(self.remaining_s / 2, RETRY_FIRST_S), TRY_S)
            try:
                told = await self._stub.Renew(request, timeout=patience_s)
            except errors.LeaseLost as failure:
                self._end(failure, is_over=True)
            except errors.Error as failure:
                log.info("lease_not_renewed", lock=self._wish.lock_name, error=repr(failure))
                failures += 1
                self._renew_at = monotonic() + _delay_s(failures)
            else:
                failures = 0
                self._keep(sent_at, told.timeout)

    def _keep(self, since: float, timeout_s: int) -> None:
        if self._failure is not None:
            return
        self._renew_at = since + timeout_s * RENEW_AFTER
        self._set_end(since + timeout_s * (1 - DRIFT))
        self._settled.set()

    def _set_end(self, ends_at: float) -> None:
        self._ends_at = ends_at
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(self.remaining_s, 0), self._on_timer)

    def _on_timer(self) -> None:
        if self.remaining_s > 0:
            # The loop's clock is a moment ahead.
            self._set_end(self._ends_at)
        else:
            self._expire()

    def _expire(self) -> None:
        message = f"the lease of {self._wish.lock_name} was not renewed in time"
        self._end(errors.LeaseLost(message, metadata={"reason": "expired"}))

    # The end.

    def _end(self, failure: BaseException, *, is_over: bool = False) -> None:
        if self._failure is None:
            self._failure, self._is_over = failure, is_over
            self._answered.set()
            self._settled.set()
            for body in self._bodies:
                body.strike()

    def _begin(self, work: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        async def acting() -> None:
            with call.answering(self._acting):
                await work()

        task = asyncio.create_task(acting())
        task.add_done_callback(self._on_done)
        self._tasks.append(task)
        return task

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            # A bug: nobody watches the lease any more.
            self._end(failure)

    async def _close(self, *, well: bool) -> None:
        """Give back what is held. Raises `LeaseLost` when only that tells that it was lost, and all seemed `well`."""
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._is_over:
            self.closed.set()
            return
        waits = self._lease is not None and self._failure is None
        # Without a lease too: a grant may be on its way.
        giving_back = self._begin(self._give_back)
        giving_back.add_done_callback(lambda _: self.closed.set())
        if waits:
            # Who is cancelled once more waits no longer, and it is given back all the same.
            await asyncio.shield(giving_back)
            if well and self._failure is not None:
                raise self._failure

    async def _give_back(self) -> None:
        """Release the lease. What nobody can be told of expires."""
        request = pb.ReleaseRequest(lock_id=self._wish.lock_id)
        failures = 0
        try:
            async with asyncio.timeout(TRY_S):
                while not await self._released(request):
                    failures += 1
                    await asyncio.sleep(_delay_s(failures))
        except errors.LeaseLost as failure:
            self._end(failure, is_over=True)
        except (errors.Error, TimeoutError) as failure:
            log.warning("lease_not_released", lock=self._wish.lock_name, error=repr(failure))

    async def _released(self, request: pb.ReleaseRequest) -> bool:
        try:
            await self._stub.Release(request, timeout=TRY_S)
        except _OUTAGES:
            return False
        return True


class Body:
    """What is done under a lease, and cancelled with it, as `asyncio.timeout` does it.

    Before Python 3.13 a cancellation that was asked for and not yet met stays when it is taken back, and is met at the
    next `await` by whoever does not expect it. A body that ends in that moment meets it here.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._struck = False

    def strike(self) -> None:
        """Cancel it."""
        self._struck = True
        self._task.cancel()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._keeper.enter(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        failure = self._keeper.leave(self)
        if not self._struck:
            return
        assert failure is not None
        cancelled = isinstance(raised, asyncio.CancelledError)
        if not cancelled:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                cancelled = True
        if self._task.uncancel() > self._cancelling and cancelled:
            # Somebody else cancels the task as well.
            raise asyncio.CancelledError from raised
        if (cancelled or raised is None) and raised is not failure:
            raise failure from raised


def monotonic() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine is suspended where one does."""
    return time.clock_gettime(_CLOCK)


def impatient(name: str) -> errors.Exhausted:
    """What is said to who would not wait longer."""
    return errors.Exhausted(f"{name} was not to be had in time", code="LOCK_TIMEOUT")


def _delay_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    longest = min(RETRY_FIRST_S * 2.0 ** min(failures, 8), RETRY_MAX_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _lost(name: str, told: pb.Lost) -> errors.LeaseLost:
    what = _ENDINGS.get(told.reason, "has ended")
    by, why = f" by {told.by}" if told.by else "", f": {told.comment}" if told.comment else ""
    reason = pb.LossReason.Name(told.reason).removeprefix("LOSS_REASON_").lower()
    message = f"the lease of {name} {what}{by}{why}"
    return errors.LeaseLost(message, metadata={"reason": reason, "by": told.by, "comment": told.comment})
