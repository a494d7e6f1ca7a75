"""The trail through a real server."""

from typing import Any

import pytest
from switchyard.audit.v1 import audit_pb2, audit_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import errors, identity
from chassis.identity import Principal
from chassis.testing import Tenant
from services.audit import audit


class TestQuery:
    async def test_newest_first_in_pages(self, trail: Any) -> None:
        events = [trail.event() for _ in range(3)]
        await trail.record(*events)

        first = await trail.query(page_size=2)
        second = await trail.query(page_size=2, cursor=first.next_cursor)

        assert [event.id for event in (*first.events, *second.events)] == [event.id for event in events[::-1]]
        assert second.next_cursor == ""

    @pytest.mark.parametrize(
        ("name", "value", "asked"),
        [
            ("category", "access", {"categories": ["access", "system"]}),
            ("action", "auth.Login", {"actions": ["auth.Login"]}),
            ("actor", "user:ada", {"actor": "user:ada"}),
            ("resources", ["items/1", "items/2"], {"resource": "items/2"}),
            ("outcome", audit_pb2.OUTCOME_DENIED, {"outcome": audit_pb2.OUTCOME_DENIED}),
            ("address", "192.0.2.1", {"address": "192.0.2.1"}),
            ("request_id", "r-1", {"request_id": "r-1"}),
        ],
    )
    async def test_filter(self, trail: Any, name: str, value: Any, asked: dict[str, Any]) -> None:
        wanted = trail.event(**{name: value})
        await trail.record(trail.event(), wanted, trail.event())

        found = await trail.query(**asked)

        assert [event.id for event in found.events] == [wanted.id]

    async def test_time_is_half_open(self, trail: Any) -> None:
        first, second = trail.event(), trail.event()
        await trail.record(first, second)

        found = await trail.query(**{"from": first.occurred_at, "to": second.occurred_at})

        assert [event.id for event in found.events] == [first.id]

    async def test_another_tenants_trail_is_out_of_sight(self, trail: Any) -> None:
        await trail.record(trail.event())

        found = await trail.stub(Tenant().user()).Query(audit_pb2.QueryRequest())

        assert not found.events

    async def test_needs_its_permission(self, trail: Any) -> None:
        with pytest.raises(errors.Denied):
            await trail.stub(trail.tenant.user(permissions={"orders.read"})).Query(audit_pb2.QueryRequest())


class TestGetEvent:
    async def test_is_as_it_was_recorded(self, trail: Any) -> None:
        event = trail.event(user_agent="till/1", roles=["staff"])
        await trail.record(event)

        found = await trail.stub().GetEvent(audit_pb2.GetEventRequest(id=event.id))

        assert (found.position, found.user_agent, list(found.roles)) == (1, "till/1", ["staff"])
        assert found.HasField("recorded_at")
        assert len(found.hash) == 64

    async def test_another_tenants_is_not_found(self, trail: Any) -> None:
        event = trail.event()
        await trail.record(event)

        with pytest.raises(errors.NotFound):
            await trail.stub(Tenant().user()).GetEvent(audit_pb2.GetEventRequest(id=event.id))


class TestPlatform:
    async def test_an_operator_without_a_tenant_reads_the_platforms_own_chain(self, trail: Any) -> None:
        operator = Principal("user", str(uuid7()), None, permissions=frozenset({"audit.events.read"}))
        event = trail.event(tenant_id=str(identity.PLATFORM))
        async with trail.running.service.database.transaction(identity.service_principal("audit", None)) as session:
            await audit.append(session, [event])
        channel: Any = trail.running.channel(operator)

        found = await audit_pb2_grpc.AuditServiceStub(channel).GetEvent(audit_pb2.GetEventRequest(id=event.id))

        assert (found.tenant_id, found.action) == ("", "orders.PlaceOrder")
