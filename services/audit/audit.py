"""A tenant's chain: appending to it, and proving that it is whole.

The bytes of an entry are its `AuditEvent` with `position` and `recorded_at` set and `hash` empty, in protobuf's
deterministic serialisation, and are kept as they were hashed: nothing hangs on another release serialising in the same
way. An entry's hash is SHA-256(hash of the entry before, then those bytes); the first entry follows 32 zero bytes.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.audit.v1 import audit_pb2

from chassis import clock, events
from services.audit import store

ORIGIN = bytes(32)
# Entries read at once: some megabytes at most, and a few milliseconds of hashing between two waits.
CHUNK = 1000
FOUND_MAX = 100
# A number that is missing may be on its way, in a batch that another process is just writing: look again after this.
SETTLE_S = 2.0


async def append(session: AsyncSession, arrived: Sequence[audit_pb2.AuditEvent]) -> None:
    """Append events to the tenant's chain; those that are in it already are passed over."""
    tenant_id = events.of(session).principal.tenant
    head = await store.lock_head(session, tenant_id, ORIGIN)
    known = await store.known(session, (UUID(event.id) for event in arrived))
    position, previous = head.position, head.hash
    entries: list[dict[str, object]] = []
    for event in {event.id: event for event in arrived}.values():
        if UUID(event.id) in known:
            continue
        position += 1
        entry = _entry(tenant_id, event, position=position, previous=previous)
        entries.append(entry)
        previous = entry["hash"]
    if entries:
        await store.append(session, entries, after=head.position)


def _entry(tenant_id: UUID, event: audit_pb2.AuditEvent, *, position: int, previous: bytes) -> dict[str, Any]:
    kept = audit_pb2.AuditEvent()
    kept.CopyFrom(event)
    kept.position, kept.hash = position, ""
    kept.recorded_at.FromDatetime(clock.now())
    stored = kept.SerializeToString(deterministic=True)
    return {"tenant_id": tenant_id, "event": stored, "hash": link(previous, stored), **_copies(kept)}


def link(previous: bytes, event: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(previous + event).digest()


def _copies(event: audit_pb2.AuditEvent) -> dict[str, object]:
    """What stands in the columns beside an event's bytes."""
    return {
        "position": event.position,
        "id": UUID(event.id),
        "service": event.service,
        "service_sequence": event.service_sequence,
        "occurred_at": _time(event),
        "category": event.category,
        "action": event.action,
        "actor": event.actor,
        "outcome": event.outcome,
        "address": event.address,
        "request_id": event.request_id,
        "resources": list(event.resources),
    }


def _time(event: audit_pb2.AuditEvent) -> datetime:
    return event.occurred_at.ToDatetime(UTC)


@dataclass
class Finding:
    """What a verification has found so far."""

    head: bytes = ORIGIN
    entries: int = 0
    broken: list[int] = field(default_factory=list)
    missing: list[tuple[str, int]] = field(default_factory=list)

    def tell(self, positions: Sequence[int]) -> None:
        """Note broken positions, each once and not more than the first hundred."""
        known = set(self.broken)
        room = FOUND_MAX - len(self.broken)
        self.broken += [position for position in positions[:room] if position not in known]


async def verify(session: AsyncSession) -> Finding:
    """Recompute the chain up to its present head. What is appended meanwhile is left to the next time."""
    head = await store.head(session)
    if head is None:
        # Nothing has ever been appended, or somebody has taken the head away: then every entry is without an end.
        return Finding(broken=await store.orphans(session, most=FOUND_MAX))
    finding = Finding(head=head.hash)
    position, last = await _walk(session, finding, head.position)
    # What is cut off at the end, or a last entry that is not the one the head names.
    finding.tell(range(position + 1, head.position + 1))
    if position == head.position and last != head.hash:
        finding.tell([position])
    finding.missing = await _missing(session, head.position)
    return finding


async def _walk(session: AsyncSession, finding: Finding, until: int) -> tuple[int, bytes]:
    """Check every entry against the one before it. The last one's position and hash."""
    position, previous = 0, ORIGIN
    while rows := await store.chunk(session, after=position, until=until, size=CHUNK):
        for row in rows:
            finding.tell(range(position + 1, row["position"]))
            if row["position"] != position + 1 or not _is_intact(row, previous):
                finding.tell([row["position"]])
            position, previous = row["position"], row["hash"]
        finding.entries += len(rows)
    return position, previous


def _is_intact(row: sa.RowMapping, previous: bytes) -> bool:
    if row["hash"] != link(previous, row["event"]):
        return False
    copies = _copies(audit_pb2.AuditEvent.FromString(row["event"]))
    return all(row[name] == value for name, value in copies.items())


async def _missing(session: AsyncSession, head: int) -> list[tuple[str, int]]:
    gaps = await store.gaps(session, head=head, most=FOUND_MAX)
    runs = (((service, number) for number in range(first, last + 1)) for service, first, last in gaps)
    numbers = list(islice(chain.from_iterable(runs), FOUND_MAX))
    if not numbers:
        return []
    await asyncio.sleep(SETTLE_S)
    arrived = await store.arrived(session, numbers)
    return [number for number in numbers if number not in arrived]
