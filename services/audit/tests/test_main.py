"""The parts as they are put together."""

from typing import Any

from nats.aio.client import Client as Nats
from switchyard.audit.v1 import audit_pb2, audit_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import clock, codec
from chassis.testing import Serve, Tenant
from services.audit.__main__ import build


class TestBuild:
    async def test_takes_in_what_is_published(self, serve: Serve, tenant: Tenant, nats_client: Nats) -> None:
        # Whatever else the worker's stream holds is taken in first, in its order.
        acknowledged = await nats_client.subscribe("$JS.ACK.AUDIT.audit.>")
        running = await serve("audit", build)
        event = audit_pb2.AuditEvent(
            id=str(uuid7()), tenant_id=str(tenant.id), service="orders", service_sequence=1, action="orders.PlaceOrder"
        )
        event.occurred_at.FromDatetime(clock.now())

        stored = await nats_client.jetstream().publish(f"aud.{tenant.id}.orders", codec.encode(event))
        async for message in acknowledged.messages:
            # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>...
            if int(message.subject.split(".")[5]) >= stored.seq:
                break

        await acknowledged.unsubscribe()
        channel: Any = running.channel(tenant.user())
        found = await audit_pb2_grpc.AuditServiceStub(channel).Verify(audit_pb2.VerifyRequest())
        assert (found.intact, found.entries) == (True, 1)
