"""What registry does by itself: it watches over the instances and writes down what becomes of them."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import errors, identity
from chassis.db import Database
from services.registry import registry
from services.registry.roster import Change, Entry, Roster

PROBE_TIMEOUT_S = 0.5
LOOK_EVERY_S = 0.2
RETRY_S = 0.5
BATCH_MAX = 100

log = structlog.get_logger()


async def observe(database: Database, roster: Roster) -> None:
    """Begin with what is registered, then look after it until cancelled."""
    while True:
        try:
            async with database.transaction(identity.service_principal("registry", None)) as session:
                found = await registry.registered(session)
            break
        except errors.Unavailable:
            await asyncio.sleep(RETRY_S)
    roster.restore(found)
    await asyncio.gather(_look(roster), _write_down(database, roster))


async def _look(roster: Roster) -> None:
    while True:
        await asyncio.gather(*(_probe(roster, entry) for entry in roster.silent()))
        await asyncio.sleep(LOOK_EVERY_S)


async def _probe(roster: Roster, entry: Entry) -> None:
    """Ask a silent instance by gRPC's health protocol whether it serves."""
    async with grpc.aio.insecure_channel(entry.instance.address) as channel:
        try:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
            answers = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError:
            answers = False
    roster.probed(entry, answers=answers)


async def _write_down(database: Database, roster: Roster) -> None:
    """Write changes into the history in their order; while the database is away they wait."""
    while True:
        batch = [await roster.unrecorded.get()]
        while not roster.unrecorded.empty() and len(batch) < BATCH_MAX:
            batch.append(roster.unrecorded.get_nowait())
        while not await _written(database, batch):
            await asyncio.sleep(RETRY_S)


async def _written(database: Database, batch: list[Change]) -> bool:
    try:
        async with database.transaction(identity.service_principal("registry", None)) as session:
            for change in batch:
                await registry.record(session, change)
    except errors.Error as failure:
        log.warning("history_delayed", error=repr(failure), changes=len(batch))
        return False
    return True
