"""A trail on real servers, fed by hand from the real stream."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from switchyard.audit.v1 import audit_pb2, audit_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import clock, codec, streams
from chassis.identity import Principal
from chassis.service import Service
from chassis.testing import Databases, Running, Serve, Tenant
from services.audit import audit
from services.audit.intake import Intake
from services.audit.rpc import AuditRpc

READER = {"audit.events.read"}


@dataclass
class Trail:
    """The audit service, one tenant, and a hand in its stream and in its database."""

    running: Running
    tenant: Tenant
    databases: Databases
    nats: Nats
    numbers: int = 0

    def __post_init__(self) -> None:
        self.intake = Intake(self.running.service.database)

    def stub(self, principal: Principal | None = None) -> Any:
        channel: Any = self.running.channel(principal or self.tenant.user(permissions=READER))
        return audit_pb2_grpc.AuditServiceStub(channel)

    def event(self, **values: Any) -> audit_pb2.AuditEvent:
        """An event as the next one of `orders`."""
        self.numbers += 1
        given: dict[str, Any] = {
            "id": str(uuid7()),
            "tenant_id": str(self.tenant.id),
            "service": "orders",
            "service_sequence": self.numbers,
            "action": "orders.PlaceOrder",
            "category": "financial",
            "actor": "user:mira",
            "outcome": audit_pb2.OUTCOME_SUCCESS,
            **values,
        }
        event = audit_pb2.AuditEvent(**given)
        event.occurred_at.FromDatetime(clock.now())
        return event

    async def publish(self, *events: audit_pb2.AuditEvent, subject: str = "") -> None:
        for event in events:
            target = subject or f"aud.{event.tenant_id}.{event.service}"
            await self.nats.jetstream().publish(target, codec.encode(event))

    async def fetch(self, count: int, *, tenant: UUID | None = None) -> list[Msg]:
        """What is in the stream for the tenant, with a consumer of its own."""
        context, name = self.nats.jetstream(), uuid7().hex
        subjects = f"aud.{tenant or self.tenant.id}.>"
        config = ConsumerConfig(durable_name=name, filter_subject=subjects, ack_policy=AckPolicy.EXPLICIT, ack_wait=30)
        await context.add_consumer(streams.AUDIT, config)
        subscription = await context.pull_subscribe_bind(name, streams.AUDIT)
        return await subscription.fetch(count, timeout=5)

    async def record(self, *events: audit_pb2.AuditEvent) -> None:
        """Take events into the chain, as one batch."""
        async with self.running.service.database.transaction(self.tenant.service("audit")) as session:
            await audit.append(session, events)

    async def tamper(self, sql: str, *arguments: object) -> None:
        """Do to the tables what no process of the suite can."""
        connection = await asyncpg.connect(self.databases.admin("audit"))
        try:
            await connection.execute(sql, self.tenant.id, *arguments)
        finally:
            await connection.close()

    async def verify(self) -> audit_pb2.Verification:
        found: audit_pb2.Verification = await self.stub().Verify(audit_pb2.VerifyRequest())
        return found

    async def query(self, **values: Any) -> audit_pb2.QueryResponse:
        found: audit_pb2.QueryResponse = await self.stub().Query(audit_pb2.QueryRequest(**values))
        return found


@pytest_asyncio.fixture
async def trail(serve: Serve, databases: Databases, nats_client: Nats, tenant: Tenant) -> Trail:
    """A trail that takes in only what it is given."""

    def build(service: Service) -> None:
        service.serve(AuditRpc(service.database, service.pager()))

    return Trail(await serve("audit", build), tenant, databases, nats_client)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on its way: what is missing need not be waited for."""
    monkeypatch.setattr(audit, "SETTLE_S", 0.0)
