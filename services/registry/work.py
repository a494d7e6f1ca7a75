"""What registry does by itself: it looks after the instances, and the processes of the registry tell each other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError
from opentelemetry.metrics import CallbackOptions, Observation

from chassis import errors, telemetry
from chassis.buckets import Bucket
from services.registry import intake, peers, probing, registry, rules
from services.registry.keeper import Keeper
from services.registry.peers import Peers
from services.registry.roster import Entry, Roster

TICK_S: Final = 0.1
# A tick that comes so much too late: this process did not run, and heard nobody.
PAUSED_S: Final = 1.0
# A probe that failed is repeated after this: two in a row are proof.
AGAIN_S: Final = 0.1
# A heartbeat is answered after this, though NATS is away and the change that it makes is not yet written.
WRITTEN_S: Final = 0.3
PROBES_IN_A_ROW: Final = 4

Probe = Callable[[str, float], Awaitable[probing.Answer]]

log = structlog.get_logger()


class Work:
    """Looks after the instances that this process is responsible for."""

    def __init__(
        self,
        nats: Nats,
        roster: Roster,
        keeper: Keeper,
        processes: Peers,
        bucket: Bucket,
        probe: Probe,
    ) -> None:
        self._nats = nats
        self._roster = roster
        self._keeper = keeper
        self._peers = processes
        self._probe = probe
        self._stream = bucket.stream
        self._looked_at = roster.now()
        # Until which revision the bucket keeps of each instance no more than its last value.
        self._pruned = 0
        self._subject = f"{peers.SUBJECT}.{bucket.stream}"
        self._tasks: set[asyncio.Task[None]] = set()

    async def look_after(self) -> None:
        """Probe who is silent, and write down who has changed, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(TICK_S)

    def look(self) -> None:
        """Begin what is to be done now."""
        now, before = self._roster.now(), self._looked_at
        self._looked_at = now
        if not self._roster.began:
            return
        if now - before > PAUSED_S:
            self._roster.grace(now, rules.MISSED * self._roster.interval_s)
        for entry in self._roster.due(now):
            if not self._peers.responsible(entry.key, entry.home, now):
                continue
            # Cut off from the others we cannot write, and do not hear what they hear.
            if self._roster.doubtful(entry, now) and not self._peers.cut_off(now):
                self.examine(entry)
            elif self._roster.judge(entry, entry.instance, now) is not None:
                self._begin(self.settle(entry))

    def examine(self, entry: Entry) -> None:
        """Probe an instance now, and draw the conclusion."""
        if not entry.examined and not entry.gone:
            entry.examined = True
            self._begin(self._examine(entry))

    async def _examine(self, entry: Entry) -> None:
        try:
            for _ in range(PROBES_IN_A_ROW):
                signs = entry.signs
                silent = rules.overdue(signs, self._roster.now(), self._roster.interval_s)
                timeout_s = probing.TIMEOUT_S if silent else probing.PATIENT_TIMEOUT_S
                answer = await self._probe(entry.instance.address, timeout_s)
                self._roster.probed(entry, answer, self._roster.now())
                await self.settle(entry)
                failures = max(signs.refused, signs.unanswered)
                if not failures or failures >= rules.FAILURES:
                    return
                await asyncio.sleep(AGAIN_S)
        finally:
            entry.examined = False

    async def beat(self, entry: Entry, *, ready: bool) -> None:
        """An instance has sent a heartbeat. What follows from it is not waited for longer than a moment."""
        now = self._roster.now()
        self._roster.beat(entry, self._peers.id, now, ready=ready)
        if self._roster.judge(entry, entry.instance, now) is not None:
            await asyncio.wait([self._begin(self.settle(entry))], timeout=WRITTEN_S)

    async def settle(self, entry: Entry) -> None:
        """Write how an instance is; what cannot be written now is written at one of the next looks."""
        entry.unsettled = True
        if entry.settling:
            return
        entry.settling = True
        try:
            while entry.unsettled:
                entry.unsettled = False
                await self._keeper.settle(entry)
        except errors.Unavailable as failure:
            log.info("state_not_written", key=entry.key, error=repr(failure))
        finally:
            entry.settling = False

    async def take_in(self, entry: Entry) -> None:
        """An instance has registered here: who was at its address is gone."""
        entry.home = self._peers.id
        for before in self._roster.replaced(entry.instance):
            await self.settle(before)

    async def attend(self, entry: Entry) -> AsyncIterator[int]:
        """The seconds between two heartbeats, whenever they change. When the stream breaks, the instance is probed."""
        entry.attending += 1
        entry.home = self._peers.id
        try:
            while True:
                told_s = self._roster.interval_s
                yield told_s
                await self._roster.interval_changed(told_s)
        finally:
            entry.attending -= 1
            if not entry.attending:
                self.examine(entry)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def tell(self) -> None:
        """Tell the other processes whom this one has heard, and hear them, until cancelled."""
        await self.listen()
        while True:
            await self.tell_once()
            await asyncio.sleep(peers.EVERY_S)

    async def listen(self) -> None:
        """Hear the other processes from now on."""
        await self._nats.subscribe(self._subject, cb=self._hear)

    async def tell_once(self) -> None:
        """Tell whom this process has heard since it last told."""
        heard, self._roster.fresh = self._roster.fresh, {}
        try:
            if self._nats.is_connected:
                await self._nats.publish(self._subject, peers.digest(self._peers.id, heard, self._roster.now()))
        except nats.errors.Error as failure:
            log.info("not_told", error=repr(failure))

    async def done(self) -> None:
        """Return once nothing is being probed or written any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _hear(self, message: Msg) -> None:
        now = self._roster.now()
        try:
            process, heard = peers.read(message.data, now)
        except ValueError:
            return
        if self._peers.heard(process, now):
            self._roster.grace(now, rules.MISSED * self._roster.interval_s)
        if process != self._peers.id:
            self._roster.heard(process, heard, now)

    async def forget(self) -> None:
        """Forget who left long ago, and what the others were before, once the history has it."""
        written = await self._written()
        for entry in self._roster.forgettable():
            if entry.instance.revision <= written:
                await self._keeper.forget(entry)
        now = self._roster.now()
        for entry in list(self._roster.entries.values()):
            changed = entry.instance.revision > max(self._pruned, entry.instance.epoch)
            if changed and self._peers.responsible(entry.key, entry.home, now):
                await self._keeper.prune(entry, until=written)
        self._pruned = written

    async def _written(self) -> int:
        """Until which revision the history is complete. Raises `Unavailable`."""
        try:
            context = self._nats.jetstream()
            told = await context.consumer_info(self._stream, intake.DURABLE)
        except (nats.errors.Error, JetStreamError) as failure:
            raise errors.Unavailable(f"the history was not asked: {failure!r}") from failure
        return told.ack_floor.stream_seq if told.ack_floor is not None else 0


def measure(roster: Roster) -> None:
    """Show how many instances there are in each state, and whether any is kept."""

    def instances(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {"state": registry.state_name(state)}) for state, count in roster.counts.items()]

    def preserved(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(roster.preserved)]

    meter = telemetry.meter()
    meter.create_observable_gauge("registry.instances", [instances])
    meter.create_observable_gauge("registry.instances.preserved", [preserved])
