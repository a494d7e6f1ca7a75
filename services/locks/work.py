"""What locks does by itself: it ends leases in time, clears up after dead hosts, and tells of losses."""

import asyncio
import random
import time
from functools import partial
from typing import Final
from uuid import UUID

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from chassis import call, errors
from chassis.db import Database
from services.locks import deadlocks, documents, hosts, locks, losses
from services.locks.deadlocks import Circle
from services.locks.documents import Document, Lapsed
from services.locks.hosts import Hosts
from services.locks.keeper import Keeper
from services.locks.line import Line

# What has lapsed is ended within this and a little more.
LOOK_EVERY_S: Final = 0.1
# A loss that its own process has not told of by then is told by another.
OTHERS_AFTER_S: Final = 2.0
CLEAR_UP_EVERY_S: Final = 0.5
TOGETHER_S: Final = 0.01
# Looking for circles takes a tenth of a processor at most.
PAUSE_PER_LOOK: Final = 9

log = structlog.get_logger()


async def expire(keeper: Keeper) -> None:
    """End leases that were not renewed in time, until cancelled."""
    await keeper.caught_up.wait()
    ending: set[asyncio.Task[None]] = set()
    while True:
        for lapsed in keeper.documents.lapsed(time.monotonic()):
            task = asyncio.create_task(_end(keeper, lapsed))
            ending.add(task)
            task.add_done_callback(ending.discard)
        # Spread, so that of several processes mostly one writes.
        await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.5, 1.5))  # noqa: S311


async def _end(keeper: Keeper, lapsed: Lapsed) -> None:
    ending = partial(locks.expire, token=lapsed.token, renewals=lapsed.renewals)
    while True:
        try:
            await keeper.change(lapsed.key, ending, hint=True)
            return
        except errors.Unavailable as failure:
            log.info("lease_ends_later", error=repr(failure))


async def live(connection: Nats, alive: Hosts) -> None:
    """Say that this process lives and hear who else does, until cancelled."""

    async def hear(message: Msg) -> None:
        alive.heard(message.data.decode(), time.monotonic())

    hearing = await connection.subscribe(hosts.SUBJECT, cb=hear)
    try:
        while True:
            try:
                await connection.publish(hosts.SUBJECT, alive.me.encode())
            except nats.errors.Error as failure:
                log.info("not_said_to_live", error=repr(failure))
            await asyncio.sleep(alive.say_every_s)
    finally:
        if not connection.is_closed:
            await hearing.unsubscribe()


async def clear_up(keeper: Keeper, line: Line, me: str) -> None:
    """Let nobody stand in line who is not there, and nobody wait for what is free."""
    for document in keeper.documents.all_awaited():
        for waiter in document.lock.waiters:
            if waiter.host == me and not line.is_here(document.key, waiter.id):
                line.leave(document.key, waiter.id)
        keeper.nudge(document.key)
    keeper.documents.forget(time.monotonic())


async def end_circles(keeper: Keeper, line: Line, me: str) -> None:
    """Find those who wait for each other in a circle and refuse the youngest, if it waits here, until cancelled."""
    changed: set[UUID] = set()
    wake = asyncio.Event()

    def note(document: Document) -> None:
        # Also where nobody waits here: whoever comes last is not the youngest by everybody's clock.
        if document.lock.waiters:
            changed.add(documents.tenant_of(document.key))
            wake.set()

    keeper.on_change(note)
    pause_s = TOGETHER_S
    while True:
        await wake.wait()
        # What changes together is looked at once.
        await asyncio.sleep(pause_s)
        wake.clear()
        looked_at = set(changed)
        changed.clear()
        began = time.monotonic()
        circles = {tenant: await _circles(keeper, tenant) for tenant in looked_at}
        pause_s = max(TOGETHER_S, (time.monotonic() - began) * PAUSE_PER_LOOK)
        for tenant, found in circles.items():
            for circle in found:
                if circle.youngest.host != me:
                    continue
                try:
                    await _end_circle(keeper, line, circle)
                except errors.Unavailable as failure:
                    log.info("circle_ends_later", error=repr(failure))
                # There may be another, or it was not one yet.
                changed.add(tenant)
                wake.set()


async def _circles(keeper: Keeper, tenant: UUID) -> list[Circle]:
    # With very many who wait it takes long, and documents that are known are never changed: others' calls go on.
    return await asyncio.to_thread(deadlocks.find, keeper.documents.awaited(tenant))


async def _end_circle(keeper: Keeper, line: Line, circle: Circle) -> None:
    """Refuse the youngest of a circle, if there was a moment in which all of the circle was as it seems."""
    await keeper.catch_up()
    first = [keeper.documents.get(key) for key in circle.keys]
    await keeper.catch_up()
    second = [keeper.documents.get(key) for key in circle.keys]
    if [each.revision for each in first] != [each.revision for each in second]:
        return
    if any(found.youngest.id == circle.youngest.id for found in deadlocks.find(second)):
        await line.refuse(circle.key, circle.youngest.id, locks.deadlocked())


async def tell(database: Database, keeper: Keeper) -> None:
    """Tell of losses, this process's own at once, until cancelled."""
    await keeper.caught_up.wait()
    while True:
        try:
            async with asyncio.timeout(OTHERS_AFTER_S / 3):
                own = [await keeper.losses.get()]
        except TimeoutError:
            own = []
        now = time.monotonic()
        left = [key for key, since in keeper.documents.untold.items() if since + OTHERS_AFTER_S < now]
        for key in (*own, *left):
            try:
                await _tell(database, keeper, key, late=key in left)
            except errors.Error as failure:
                log.warning("loss_told_later", error=repr(failure))


async def _tell(database: Database, keeper: Keeper, key: str, *, late: bool) -> None:
    untold = locks.untold(keeper.documents.get(key).lock)
    # What was broken is told by the call that broke it, with all there is to say; unless that has died.
    lost = [loss for loss in untold if late or loss.reason == locks.EXPIRED]
    for caused, some in losses.by_call(documents.tenant_of(key), lost):
        with call.answering(caused):
            async with database.transaction() as session:
                await losses.tell(session, documents.name_of(key), some)
    if lost:
        await keeper.change(key, partial(locks.told, tokens={loss.token for loss in lost}), hint=True)
