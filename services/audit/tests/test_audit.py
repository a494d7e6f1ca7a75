"""The chain: what is appended stays, and what was done to it shows."""

import asyncio
from typing import Any

import asyncpg
import pytest

from services.audit import audit


class TestAppend:
    async def test_positions_count_from_one(self, trail: Any) -> None:
        await trail.record(trail.event(), trail.event())
        await trail.record(trail.event())

        found = await trail.query()

        assert [event.position for event in found.events] == [3, 2, 1]

    async def test_an_event_that_comes_twice_is_there_once(self, trail: Any) -> None:
        event = trail.event()
        await trail.record(event, event)
        await trail.record(event)

        assert (await trail.verify()).entries == 1

    async def test_in_parallel_is_one_chain(self, trail: Any) -> None:
        batches = [[trail.event() for _ in range(5)] for _ in range(10)]

        await asyncio.gather(*(trail.record(*batch) for batch in batches), *(trail.record(*batch) for batch in batches))

        verification = await trail.verify()
        assert (verification.intact, verification.entries) == (True, 50)

    async def test_hash_follows_from_the_one_before(self, trail: Any) -> None:
        await trail.record(trail.event(), trail.event())

        second, first = (await trail.query()).events

        second_hash, second.hash = second.hash, ""
        expected = audit.link(bytes.fromhex(first.hash), second.SerializeToString(deterministic=True))
        assert second_hash == expected.hex()

    @pytest.mark.parametrize("sql", ["UPDATE entries SET actor = 'x'", "DELETE FROM entries", "DELETE FROM heads"])
    async def test_the_service_itself_cannot_change_it(self, trail: Any, sql: str) -> None:
        await trail.record(trail.event())
        connection = await asyncpg.connect(await trail.databases.url("audit"))

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)

        await connection.close()

    async def test_two_entries_cannot_hold_one_position(self, trail: Any) -> None:
        await trail.record(trail.event())
        copy = "INSERT INTO entries SELECT (jsonb_populate_record(e, '{}')).* FROM entries e WHERE tenant_id = $1"

        with pytest.raises(asyncpg.UniqueViolationError):
            await trail.tamper(copy)


@pytest.mark.usefixtures("soon")
class TestVerify:
    async def test_empty_chain_is_intact(self, trail: Any) -> None:
        verification = await trail.verify()

        assert (verification.intact, verification.entries) == (True, 0)

    async def test_whole_chain_is_intact_over_many_chunks(self, trail: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit, "CHUNK", 2)
        await trail.record(*(trail.event() for _ in range(7)))

        verification = await trail.verify()

        assert (verification.intact, verification.entries) == (True, 7)
        assert verification.head == (await trail.query()).events[0].hash

    async def test_altered_event_is_found(self, trail: Any) -> None:
        await trail.record(*(trail.event() for _ in range(3)))

        await trail.tamper("UPDATE entries SET event = event || '\\x00' WHERE tenant_id = $1 AND position = 2")

        assert list((await trail.verify()).broken_positions) == [2]

    async def test_altered_copy_of_a_field_is_found(self, trail: Any) -> None:
        await trail.record(*(trail.event() for _ in range(3)))

        await trail.tamper("UPDATE entries SET actor = 'user:nobody' WHERE tenant_id = $1 AND position = 2")

        assert list((await trail.verify()).broken_positions) == [2]

    async def test_altered_event_with_a_hash_made_to_match_breaks_the_next_link(self, trail: Any) -> None:
        await trail.record(*(trail.event() for _ in range(3)))
        first, second = sorted((await trail.query()).events, key=lambda event: event.position)[:2]
        second.actor, second.hash = "user:nobody", ""
        forged = second.SerializeToString(deterministic=True)
        linked = audit.link(bytes.fromhex(first.hash), forged)

        sql = "UPDATE entries SET event = $2, hash = $3, actor = 'user:nobody' WHERE tenant_id = $1 AND position = 2"
        await trail.tamper(sql, forged, linked)

        assert list((await trail.verify()).broken_positions) == [3]

    async def test_removed_entry_is_found(self, trail: Any) -> None:
        await trail.record(*(trail.event() for _ in range(4)))

        await trail.tamper("DELETE FROM entries WHERE tenant_id = $1 AND position = 2")

        verification = await trail.verify()
        assert list(verification.broken_positions) == [2, 3]
        assert list(verification.missing) == ["orders:2"]

    async def test_cut_off_end_is_found(self, trail: Any) -> None:
        await trail.record(*(trail.event() for _ in range(4)))

        await trail.tamper("DELETE FROM entries WHERE tenant_id = $1 AND position > 2")

        assert list((await trail.verify()).broken_positions) == [3, 4]

    async def test_cut_off_end_with_a_head_set_back_is_found_by_the_next_number(self, trail: Any) -> None:
        await trail.record(*(trail.event() for _ in range(4)))
        await trail.tamper("DELETE FROM entries WHERE tenant_id = $1 AND position = 4")
        sql = "UPDATE heads SET position = 3, hash = e.hash FROM entries e "
        await trail.tamper(sql + "WHERE heads.tenant_id = $1 AND e.tenant_id = $1 AND e.position = 3")

        await trail.record(trail.event())

        verification = await trail.verify()
        assert list(verification.broken_positions) == []
        assert list(verification.missing) == ["orders:4"]

    async def test_removed_head_is_found(self, trail: Any) -> None:
        await trail.record(trail.event())

        await trail.tamper("DELETE FROM heads WHERE tenant_id = $1")

        assert not (await trail.verify()).intact

    async def test_last_entry_that_is_not_the_heads_is_found(self, trail: Any) -> None:
        await trail.record(trail.event(), trail.event())

        await trail.tamper("UPDATE heads SET hash = decode(repeat('00', 32), 'hex') WHERE tenant_id = $1")

        assert list((await trail.verify()).broken_positions) == [2]

    async def test_number_that_never_arrived_is_missing(self, trail: Any) -> None:
        await trail.record(trail.event(), trail.event(service="auth", service_sequence=1))

        await trail.record(trail.event(service_sequence=4), trail.event(service="locks", service_sequence=2))

        verification = await trail.verify()
        assert list(verification.missing) == ["locks:1", "orders:2", "orders:3"]
        assert (verification.intact, list(verification.broken_positions)) == (False, [])

    async def test_many_missing_numbers_are_cut_at_a_hundred(self, trail: Any) -> None:
        await trail.record(trail.event(service_sequence=10**12))

        assert len((await trail.verify()).missing) == 100

    async def test_is_fine_while_events_arrive(self, trail: Any) -> None:
        async def arrive() -> None:
            for _ in range(30):
                await trail.record(trail.event())

        arriving = asyncio.create_task(arrive())
        found = []
        while not arriving.done():
            found.append((await trail.verify()).intact)

        await arriving
        assert found
        assert all(found)


class TestVerifyWaits:
    async def test_number_that_arrives_late_is_not_missing(self, trail: Any) -> None:
        late = trail.event()
        await trail.record(trail.event())

        verifying = asyncio.create_task(trail.verify())
        await trail.record(late)

        assert (await verifying).intact
