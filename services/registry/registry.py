"""The heart of registry: what is registered, durably, before it counts."""

import hashlib
from collections.abc import Sequence
from typing import cast
from uuid import UUID

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.registry.v1 import events_pb2
from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import audit, clock, errors, events
from chassis.identity import PLATFORM, Principal
from services.registry import store
from services.registry.models import HistoryEntry, Instance
from services.registry.roster import SCORES, SERVING, Change

WEIGHT_DEFAULT = 100


def check_owner(principal: Principal, service: str) -> None:
    """A service speaks for itself only. Raises `Denied`."""
    if principal.kind == "service" and principal.id != service:
        message = f"{principal.id} cannot speak for {service}"
        raise errors.Denied(message)


async def register(session: AsyncSession, service: str, told: pb.Instance, contract: bytes) -> pb.Instance:
    """Store a registration under a new epoch; the instance as it now is.

    Raises `Invalid` for a bad contract, `AlreadyExists` for the id of another service's instance.
    """
    digest = _digest(contract)
    if digest:
        await store.keep_contract(session, digest, contract)
    registered = pb.Instance()
    registered.CopyFrom(told)
    registered.service = service
    registered.weight = told.weight or WEIGHT_DEFAULT
    registered.contract_digest = digest
    registered.epoch = await store.next_epoch(session, service)
    registered.state = pb.INSTANCE_STATE_STARTING
    registered.health_score = SCORES[registered.state]
    registered.registered_at.FromDatetime(clock.now())
    registered.last_seen_at.CopyFrom(registered.registered_at)
    known = await store.instance(session, told.id)
    if known is not None and known.service != service:
        raise errors.AlreadyExists(f"the instance is one of {known.service}")
    row = known or Instance(tenant_id=PLATFORM, id=UUID(told.id))
    row.service, row.epoch, row.state, row.contract_digest = service, registered.epoch, registered.state, digest
    row.address, row.told, row.registered_at = told.address, registered.SerializeToString(), clock.now()
    session.add(row)
    return registered


def _digest(contract: bytes) -> str:
    if not contract:
        return ""
    try:
        FileDescriptorSet.FromString(contract)
    except DecodeError:
        raise errors.Invalid(fields={"contract": ["is not a serialized FileDescriptorSet"]}) from None
    return hashlib.sha256(contract).hexdigest()


def concerning(session: AsyncSession, instance: pb.Instance) -> None:
    """Name an instance in the trail of a call that concerns it."""
    audit.about(session, f"instances/{instance.id}")


async def record(session: AsyncSession, change: Change) -> None:
    """Write one change of state into the history, and publish it."""
    instance = change.instance
    session.add(
        HistoryEntry(
            tenant_id=PLATFORM,
            id=uuid7(),
            service=instance.service,
            instance_id=UUID(instance.id),
            from_state=change.from_state,
            to_state=instance.state,
            reason=change.reason,
            occurred_at=clock.now(),
        )
    )
    row = await store.instance(session, instance.id)
    if row is not None and row.epoch == instance.epoch:
        if instance.state == pb.INSTANCE_STATE_GONE:
            await session.delete(row)
        else:
            row.state = instance.state
    event = events_pb2.InstanceHealthChanged(
        service_name=instance.service,
        instance_id=instance.id,
        status=instance.state,
        health_score=instance.health_score,
        reason=change.reason,
    )
    events.publish(session, event, subject=f"services/{instance.service}", audience=["service-health"])


async def registered(session: AsyncSession) -> list[pb.Instance]:
    """All instances that were registered and not gone, in the state they were last in."""
    found = []
    for row in await store.instances(session):
        instance = pb.Instance.FromString(row.told)
        instance.state = state_of(row.state)
        instance.health_score = SCORES[instance.state]
        found.append(instance)
    return found


def state_of(number: int) -> pb.InstanceState:
    """A state as it was stored. The generated types know no number."""
    return cast("pb.InstanceState", number)


def summary(name: str, instances: Sequence[pb.Instance]) -> pb.ServiceSummary:
    """A service by its instances."""
    best = max(instances, key=lambda instance: SCORES[instance.state])
    return pb.ServiceSummary(
        name=name,
        state=best.state,
        health_score=sum(instance.health_score for instance in instances) // len(instances),
        instances_passing=sum(instance.state in SERVING for instance in instances),
        instances_total=len(instances),
    )
