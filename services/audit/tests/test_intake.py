"""Taking in the real stream."""

from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from chassis import identity


class TestTake:
    async def test_appends_what_the_stream_holds(self, trail: Any) -> None:
        await trail.publish(trail.event(resources=["orders/1"]), trail.event())

        await trail.intake.take(await trail.fetch(2))

        found = await trail.query(resource="orders/1")
        assert [event.actor for event in found.events] == ["user:mira"]
        assert (await trail.verify()).entries == 2

    async def test_a_batch_that_comes_twice_has_one_effect(self, trail: Any) -> None:
        await trail.publish(trail.event(), trail.event())

        await trail.intake.take(await trail.fetch(2))
        await trail.intake.take(await trail.fetch(2))

        verification = await trail.verify()
        assert (verification.intact, verification.entries) == (True, 2)

    async def test_acknowledges_after_the_commit(self, trail: Any) -> None:
        await trail.publish(trail.event())
        (message,) = await trail.fetch(1)

        await trail.intake.take([message])

        assert message.is_acked

    async def test_a_failing_tenants_part_does_not_hold_up_the_others(self, trail: Any) -> None:
        other = uuid7()
        # PostgreSQL takes no NUL in a text.
        await trail.publish(trail.event(tenant_id=str(other), actor="user:\x00"), trail.event())
        batch = await trail.fetch(1, tenant=other) + await trail.fetch(1)

        await trail.intake.take(batch)

        assert (await trail.verify()).entries == 1

    async def test_one_bad_event_does_not_keep_the_tenants_others_out(self, trail: Any) -> None:
        await trail.publish(trail.event(), trail.event(actor="user:\x00"), trail.event(service_sequence=2))

        await trail.intake.take(await trail.fetch(3))

        assert (await trail.verify()).entries == 2

    @pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"id":"x","tenant_id":"y"}'])
    async def test_what_cannot_be_read_is_parked(self, trail: Any, data: bytes) -> None:
        subject = f"aud.{trail.tenant.id}.orders"
        await trail.nats.jetstream().publish(subject, data)

        await trail.intake.take(await trail.fetch(1))

        connection = await asyncpg.connect(trail.databases.admin("audit"))
        row = await connection.fetchrow("SELECT tenant_id, envelope FROM parked_events WHERE subject = $1", subject)
        await connection.close()
        assert row is not None
        assert (row["tenant_id"], row["envelope"]) == (identity.PLATFORM, data.decode())

    async def test_an_event_under_anothers_subject_is_parked(self, trail: Any) -> None:
        await trail.publish(trail.event(tenant_id=str(uuid7())), subject=f"aud.{trail.tenant.id}.orders")

        await trail.intake.take(await trail.fetch(1))

        assert (await trail.verify()).entries == 0
