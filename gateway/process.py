"""The life of the gateway: its parts put together, its work, its end.

It starts in any order with everything else: what is not there yet is waited for, and `/readyz` says what is missing.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator
from typing import Any

import orjson
import structlog
from nats.aio.client import Client as Nats

from chassis import streams
from chassis.credentials import Credentials
from chassis.events import STATE
from chassis.identity import Verifier
from chassis.operations import Operations
from gateway.app import App
from gateway.backends import Backends
from gateway.cache import Cache
from gateway.limits import Limiter
from gateway.listener import Listener
from gateway.passes import Auth, Passes
from gateway.realtime.feed import Event, Feed
from gateway.realtime.hub import Hub
from gateway.realtime.snapshots import Snapshots
from gateway.realtime.websocket import Sockets
from gateway.routes import RouteTable
from gateway.settings import Settings
from gateway.trail import Trail

# How long clients are given to read that they should go elsewhere.
HINT_S = 0.2
# Contracts come one after another at the start: tidied up is once, when they are all there.
TIDY_AFTER_S = 2.0
# Allocations between two looks for garbage; Python's own 700 looks several times a request.
GARBAGE_EVERY = 20_000

log = structlog.get_logger()


class Gateway:
    """One gateway process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._credentials = Credentials(settings.auth_address, "")
        self._auth = Auth(settings.auth_address)
        self.passes = Passes(self._auth, Verifier(self._credentials.keys))
        self.hub = Hub()
        self._limiter = Limiter(settings.valkey_url)
        self._answers = Cache()
        self._trail = Trail()
        self._backends = Backends(settings.registry_address, zone=settings.zone)
        self._snapshots = Snapshots(self._backends, deadline_s=settings.deadline_s)
        self._sockets = Sockets(
            settings, hub=self.hub, snapshots=self._snapshots, passes=self.passes, trail=self._trail
        )
        self._app = App(
            settings,
            backends=self._backends,
            passes=self.passes,
            limiter=self._limiter,
            answers=self._answers,
            sockets=self._sockets,
            trail=self._trail,
        )
        self._listener = Listener(self._app, settings)
        self._feed: Feed | None = None
        self._tidying: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The public port."""
        return self._listener.port

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    def stop_on_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    async def ready(self) -> bool:
        """Whether routes are known and events have been read."""
        return await self._backends.known() and await self._events_read()

    async def run(self) -> None:
        """Serve until `stop`; then finish what is under way and close."""
        async with self._serving():
            log.info("serving", port=self.port)
            await self._stopping.wait()
            log.info("draining")
            if self._sockets.move_away():
                await asyncio.sleep(HINT_S)

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        checks = {"registry": self._backends.known, "events": self._events_read}
        operations = Operations(checks, host=self._settings.ops_host, port=self._settings.ops_port)
        operations.start()
        serving = asyncio.create_task(self._listener.run())
        work = [
            asyncio.create_task(each) for each in (self._backends.run(self._use), self._limiter.run(), self._follow())
        ]
        for task in (serving, *work):
            task.add_done_callback(self._on_done)
        try:
            yield
        finally:
            if self._tidying is not None:
                self._tidying.cancel()
            self._listener.stop()
            await asyncio.gather(serving, return_exceptions=True)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await operations.stop()
            await self._backends.close()
            await self._auth.close()
            await self._credentials.close()

    def _use(self, table: RouteTable) -> None:
        self._app.use(table)
        self._snapshots.use(table, foreign=self._backends.foreign)
        if self._tidying is not None:
            self._tidying.cancel()
        self._tidying = asyncio.get_running_loop().call_later(TIDY_AFTER_S, _tidy)

    async def _follow(self) -> None:
        """Read the events, from when NATS is there."""
        connection: Nats = await streams.connect(self._settings.nats_url, "gateway")
        self._trail.connection = connection
        try:
            self._feed = Feed(connection, self._on_event, self.hub.restart)
            await self._feed.run()
        finally:
            await connection.close()

    def _on_event(self, event: Event) -> None:
        # What an event revokes is void before anybody hears of it.
        self.passes.take_event(event.tenant, event.kind, event.payload)
        self._answers.drop(event.tenant, event.kind.partition(".")[0])
        if event.audience.startswith(STATE):
            about = f"{event.kind}/{orjson.loads(event.payload)['subject']}"
            for name in event.audience.removeprefix(STATE).split(","):
                self.hub.publish_state(event.tenant, name, about, event.payload)
        elif event.audience:
            for name in event.audience.split(","):
                self.hub.publish(event.tenant, name, event.payload)

    async def _events_read(self) -> bool:
        return self._feed is not None and self._feed.has_read

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            # Work that must go on has died of a bug: a clean restart is better than half a gateway.
            log.error("background_work_died", exc_info=failure)
            self._stopping.set()


def _tidy() -> None:
    """Take the contracts out of the garbage collector's rounds, each of which stops everything for 100 ms with them."""
    # Those of a table that was replaced are let go first.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_EVERY, 20, 20)
