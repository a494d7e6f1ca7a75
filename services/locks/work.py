"""What locks does by itself: it ends leases in time, clears up after dead hosts, and tells of losses."""

import asyncio
import random
import time
from functools import partial
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from chassis import call, errors
from chassis.db import Database
from services.locks import documents, hosts, locks, losses
from services.locks.documents import Lapsed
from services.locks.hosts import Hosts
from services.locks.keeper import Keeper
from services.locks.line import Line

# What has lapsed is ended within this and a little more.
LOOK_EVERY_S: Final = 0.1
# A loss that its own process has not told of by then is told by another.
OTHERS_AFTER_S: Final = 3.0
FORGET_EVERY_S: Final = 10.0

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
    ending = partial(locks.expire, lease_id=lapsed.lease_id, renewals=lapsed.renewals)
    while True:
        try:
            await keeper.change(lapsed.key, ending, hint=True)
            return
        except errors.Unavailable as failure:
            log.info("lease_ends_later", error=repr(failure))


async def look_after(connection: Nats, keeper: Keeper, line: Line, alive: Hosts) -> None:
    """Say that this process lives, hear who else does, and clear up after those who do not, until cancelled."""

    async def hear(message: Msg) -> None:
        alive.heard(message.data.decode(), time.monotonic())

    await connection.subscribe(hosts.SUBJECT, cb=hear)
    forget_at = 0.0
    while True:
        try:
            await connection.publish(hosts.SUBJECT, alive.me.encode())
        except nats.errors.Error as failure:
            log.info("not_said_to_live", error=repr(failure))
        now = time.monotonic()
        alive.tick(now, connected=connection.is_connected)
        if keeper.caught_up.is_set():
            _clear_up(keeper, line, alive, now)
        if now > forget_at:
            keeper.documents.forget(now)
            forget_at = now + FORGET_EVERY_S
        await asyncio.sleep(hosts.SAY_EVERY_S)


def _clear_up(keeper: Keeper, line: Line, alive: Hosts, now: float) -> None:
    """Let nobody stand in line who is not there, and nobody wait for what is free."""
    awaited = keeper.documents.all_awaited()
    keeper.dead = alive.dead({waiter.host for document in awaited for waiter in document.lock.waiters}, now)
    for document in awaited:
        lock = document.lock
        if locks.can_promote(lock) or any(waiter.host in keeper.dead for waiter in lock.waiters):
            keeper.nudge(document.key)
        for waiter in lock.waiters:
            if waiter.host == alive.me and not line.is_here(document.key, waiter.id):
                line.leave(document.key, waiter.id)


async def tell(database: Database, keeper: Keeper) -> None:
    """Tell of losses, this process's own at once, until cancelled."""
    await keeper.caught_up.wait()
    while True:
        try:
            own = [await asyncio.wait_for(keeper.losses.get(), OTHERS_AFTER_S / 3)]
        except TimeoutError:
            own = []
        now = time.monotonic()
        left = [key for key, since in keeper.documents.untold.items() if since + OTHERS_AFTER_S < now]
        for key in (*own, *left):
            try:
                await _tell(database, keeper, key, late=key in left)
            except errors.Unavailable as failure:
                log.warning("loss_told_later", error=repr(failure))


async def _tell(database: Database, keeper: Keeper, key: str, *, late: bool) -> None:
    untold = keeper.documents.get(key).lock.untold
    # What was broken is told by the call that broke it, with all there is to say; unless that has died.
    lost = [loss for loss in untold if late or loss.reason == locks.EXPIRED]
    for caused, some in losses.by_call(documents.tenant_of(key), lost):
        with call.answering(caused):
            async with database.transaction() as session:
                await losses.tell(session, documents.name_of(key), some)
    if lost:
        await keeper.change(key, partial(locks.told, lease_ids={loss.id for loss in lost}), hint=True)
