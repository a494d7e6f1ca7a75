"""The heart of registry: what a registration becomes, what is told of the instances, and what is written down."""

import contextlib
import hashlib
import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.audit.v1 import audit_pb2
from switchyard.registry.v1 import events_pb2
from switchyard.registry.v1 import registry_pb2 as pb
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, errors, events
from chassis.identity import PLATFORM, Principal
from services.registry import keeper, rules
from services.registry.models import HistoryEntry
from services.registry.roster import Entry, Known

WEIGHT_DEFAULT = 100
# As far back as the instances of a service can be asked for.
AT_MAX = timedelta(days=30)


class Change(NamedTuple):
    """A change of an instance, as the bucket's stream tells it."""

    instance: pb.Instance
    from_state: pb.InstanceState
    occurred_at: datetime
    # What the audit trail is to be told: who did it. None for what the registry did by itself.
    audited: audit_pb2.AuditEvent | None


def check_owner(principal: Principal, service: str) -> None:
    """A service speaks for itself only. Raises `Denied`."""
    if principal.kind == "service" and principal.id != service:
        message = f"{principal.id} cannot speak for {service}"
        raise errors.Denied(message)


def check_address(address: str) -> None:
    """An instance says where it is found. Raises `Invalid` for an address that every host has."""
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        if not host or ipaddress.ip_address(host).is_unspecified:
            raise errors.Invalid(fields={"address": ["must be `host:port` of one host"]})


def digest(contract: bytes) -> str:
    """The name of a contract, empty for none. Raises `Invalid` for what is none."""
    if not contract:
        return ""
    try:
        FileDescriptorSet.FromString(contract)
    except DecodeError:
        raise errors.Invalid(fields={"contract": ["is not a serialized FileDescriptorSet"]}) from None
    return hashlib.sha256(contract).hexdigest()


def registered(known: Known | None, request: pb.RegisterRequest, contract_digest: str) -> pb.Instance:
    """A registration, to be written over `known`. Raises `Conflict` for a process that has a successor."""
    # Who renewed an epoch and never heard the answer shows the same one again.
    if known is not None and request.epoch not in {0, known.instance.epoch, known.renews}:
        raise keeper.superseded()
    instance = pb.Instance()
    instance.CopyFrom(request.instance)
    instance.service = request.name
    if not instance.HasField("weight"):
        instance.weight = WEIGHT_DEFAULT
    instance.contract_digest = contract_digest
    # The same process stays drained.
    drained = known is not None and request.epoch > 0 and _is_drained(known)
    instance.state = pb.INSTANCE_STATE_DRAINING if drained else pb.INSTANCE_STATE_STARTING
    instance.reason = "registered again, still drained" if drained else "registered"
    instance.health_score = rules.SCORES[instance.state]
    instance.epoch = 0
    instance.preserved = False
    instance.registered_at.FromDatetime(clock.now())
    instance.last_seen_at.CopyFrom(instance.registered_at)
    instance.changed_at.CopyFrom(instance.registered_at)
    return instance


def _is_drained(known: Known) -> bool:
    gone = known.instance.state == pb.INSTANCE_STATE_GONE
    return (known.left if gone else known.instance.state) == pb.INSTANCE_STATE_DRAINING


def left(known: Known | None, state: pb.InstanceState, reason: str) -> pb.Instance | None:
    """An instance that somebody drains or takes out; None when it has been before."""
    if known is None or known.instance.state in (state, pb.INSTANCE_STATE_GONE):
        return None
    return keeper.turned(known.instance, state, reason)


def trail(instance_id: str) -> bytes:
    """What the audit trail is to be told of the current call, once it has had its effect."""
    current = call.current()
    if not current.category:
        return b""
    entry = audit.event(current, service="registry", tenant=PLATFORM, outcome=audit.SUCCESS)
    entry.resources.append(f"instances/{instance_id}")
    return entry.SerializeToString()


def record(session: AsyncSession, change: Change, *, late: bool) -> None:
    """Write one change into the history, and tell it to the trail and, unless later ones were told, to who listens."""
    instance = change.instance
    session.add(
        HistoryEntry(
            tenant_id=PLATFORM,
            id=uuid7(),
            service=instance.service,
            instance_id=UUID(instance.id),
            from_state=change.from_state,
            to_state=instance.state,
            reason=instance.reason,
            occurred_at=change.occurred_at,
            health_score=instance.health_score,
            revision=instance.revision,
            instance=instance.SerializeToString(),
        )
    )
    if change.audited is not None:
        subject, body = audit.message(change.audited)
        events.add(session, event_id=change.audited.id, subject=subject, audience="", envelope=body.decode())
    if change.from_state != instance.state and not late:
        event = events_pb2.InstanceHealthChanged(
            service_name=instance.service,
            instance_id=instance.id,
            status=instance.state,
            health_score=instance.health_score,
            reason=instance.reason,
            previous_status=change.from_state,
            zone=instance.zone,
            revision=instance.revision,
        )
        events.publish(session, event, subject=f"instances/{instance.id}", audience=["service-health"], state=True)


def state_of(number: int) -> pb.InstanceState:
    """A state as it was stored. The generated types know no number."""
    return cast("pb.InstanceState", number)


def check_moment(moment: datetime) -> None:
    """A moment that can be asked for. Raises `Invalid`."""
    now = clock.now()
    if not now - AT_MAX <= moment <= now:
        raise errors.Invalid(fields={"at": ["must lie within the last 30 days"]})


def wanted(instances: Iterable[pb.Instance], request: pb.ListInstancesRequest) -> list[pb.Instance]:
    """Those of the instances that were asked for."""
    shown = [each for each in instances if request.include_gone or each.state != pb.INSTANCE_STATE_GONE]
    return [each for each in shown if not request.state or each.state in request.state]


def now_seen(entry: Entry, now: float, process: bytes) -> pb.Instance:
    """An instance with what this process knows better than the bucket: when it was heard, and how its checks went."""
    shown = pb.Instance()
    shown.CopyFrom(entry.instance)
    if not entry.gone:
        heard_at = clock.now() - timedelta(seconds=max(0.0, now - entry.signs.heard_at))
        shown.last_seen_at.FromDatetime(max(heard_at, shown.registered_at.ToDatetime(heard_at.tzinfo)))
        shown.health_score = _score(entry, process)
    return shown


def _score(entry: Entry, process: bytes) -> int:
    """As the process that looks after the instance knows it, or as it was at the last change."""
    ours = entry.home == process and entry.signs.checks
    return rules.score(entry.instance.state, entry.signs.checks) if ours else entry.instance.health_score


def summary(name: str, entries: Sequence[Entry], process: bytes) -> pb.ServiceSummary:
    """A service by its instances."""
    counts = Counter(entry.instance.state for entry in entries)
    here = [entry for entry in entries if not entry.gone]
    return pb.ServiceSummary(
        name=name,
        state=next(state for state in rules.SCORES if counts[state]),
        health_score=sum(_score(entry, process) for entry in here) // len(here) if here else 0,
        instances_passing=sum(counts[state] for state in rules.SERVING),
        instances_total=len(here),
        instances_by_state={state_name(state): count for state, count in counts.items()},
        zones=sorted({entry.instance.zone for entry in here if entry.instance.zone}),
    )


def state_name(state: pb.InstanceState) -> str:
    """A state in the API's words."""
    return pb.InstanceState.Name(state).removeprefix("INSTANCE_STATE_").lower()
