"""The audit event of every mutation, written in the transaction that does it.

What changed is read from the session: the before and after of every row that was added, changed or deleted through the
ORM. A heart that changes rows with statements of its own tells it with `changed`. A column with
`info={"sensitive": True}` is masked, one with `info={"untold": True}` left out: whether it has a value is nobody's
business.
"""

import copy
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import event as sa_event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from switchyard.audit.v1 import audit_pb2
from uuid_utils.compat import uuid7

from chassis import call, clock, codec, events, telemetry
from chassis.identity import Principal

SUCCESS = audit_pb2.OUTCOME_SUCCESS
DENIED = audit_pb2.OUTCOME_DENIED
FAILURE = audit_pb2.OUTCOME_FAILURE

MASK = "***"
# One call that changes thousands of rows says how many and shows the first ones.
CHANGES_MAX = 50

_TOLD = ("audit_changes", "audit_resources")
_NOT_TOLD = frozenset({"tenant_id", "created_at", "updated_at"})


def changed(
    session: AsyncSession,
    resource: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Tell the trail of a change that was not made through the ORM. `resource` is such as `items/0198...`."""
    _note(session.sync_session, resource, dict(before or {}), dict(after or {}))


def at(session: AsyncSession, site_id: UUID | str) -> None:
    """Name the site that a change concerned, where no row that was changed through the ORM says it."""
    _site(session.sync_session).add(str(site_id))


def about(session: AsyncSession, resource: str) -> None:
    """Name a resource that the call concerned without changing it."""
    session.info.setdefault("audit_resources", {})[resource] = None


def mark(session: AsyncSession) -> Callable[[], None]:
    """What forgets all that the trail is told from here on."""
    kept = {name: copy.deepcopy(session.info.get(name, {})) for name in _TOLD}
    return lambda: session.info.update(kept)


async def write(session: AsyncSession) -> None:
    """Note the audit event of a transaction that changed something; the chassis does it just before the commit."""
    current = call.find()
    touched = session.info.get("audit_changes") or session.info.get("audit_resources")
    if current is not None and current.category and touched:
        add(session, outcome=SUCCESS)


def add(session: AsyncSession, *, outcome: audit_pb2.Outcome, error_code: str = "") -> None:
    """Note one audit event about the current call."""
    transaction = events.of(session)
    changes: dict[str, Any] = session.info.get("audit_changes", {})
    entry = event(
        call.current(),
        service=transaction.service,
        tenant=transaction.principal.tenant,
        outcome=outcome,
        code=error_code,
    )
    resources = list(session.info.get("audit_resources", {})) + [name for name in changes if name != "more"]
    entry.resources.extend(resources[:CHANGES_MAX])
    if changes:
        entry.changes.CopyFrom(_struct(changes))
    sites = session.info.get("audit_sites", ())
    if len(sites) == 1:
        entry.site_id = next(iter(sites))
    subject, body = message(entry)
    events.add(session, event_id=entry.id, subject=subject, audience="", envelope=body.decode())


def event(
    current: call.Call, *, service: str, tenant: UUID, outcome: audit_pb2.Outcome, code: str = ""
) -> audit_pb2.AuditEvent:
    """What the trail is told of a call: all but what it changed."""
    principal = current.principal
    actor, subject = names(principal)
    entry = audit_pb2.AuditEvent(
        id=str(uuid7()),
        tenant_id=str(tenant),
        service=service,
        action=current.action,
        category=current.category or "access",
        actor=actor,
        subject=subject,
        roles=principal.roles,
        outcome=outcome,
        error_code=code,
        address=current.address,
        user_agent=current.user_agent,
        session_id=principal.session_id,
        request_id=current.request_id,
        trace_id=telemetry.trace_id(),
    )
    entry.occurred_at.FromDatetime(clock.now())
    if current.audit_context:
        entry.context.CopyFrom(_struct(orjson.loads(current.audit_context)))
    return entry


def names(principal: Principal) -> tuple[str, str]:
    """Who acts, and for whom or in whose name: the name of a person who acts in another's stands first."""
    if principal.actor:
        return principal.actor, principal.on_behalf_of or principal.name
    return principal.name, principal.on_behalf_of


def message(entry: audit_pb2.AuditEvent) -> tuple[str, bytes]:
    """The subject and the body under which an event travels to the trail."""
    return f"aud.{entry.tenant_id}.{entry.service}", codec.encode(entry)


@sa_event.listens_for(Session, "after_flush")
def _note_flush(session: Session, _context: object) -> None:
    for row in session.new:
        _note(session, _resource(row), {}, _columns(row))
        _note_site(session, row)
    for row in session.dirty:
        if session.is_modified(row):
            before, after = _difference(row)
            _note(session, _resource(row), before, after)
            _note_site(session, row)
    for row in session.deleted:
        _note(session, _resource(row), _columns(row), {})
        _note_site(session, row)


def _note_site(session: Session, row: object) -> None:
    """A row that is a site's says which site the change concerned."""
    site_id = getattr(row, "site_id", None)
    if site_id is not None:
        _site(session).add(str(site_id))


def _site(session: Session) -> set[str]:
    sites: set[str] = session.info.setdefault("audit_sites", set())
    return sites


def _note(session: Session, resource: str, before: dict[str, object], after: dict[str, object]) -> None:
    changes = session.info.setdefault("audit_changes", {})
    if len(changes) >= CHANGES_MAX and resource not in changes:
        changes["more"] = changes.get("more", 0) + 1
        return
    entry = changes.setdefault(resource, {"before": {}, "after": {}})
    # The first "before" and the last "after" of a transaction are what a reader wants.
    entry["before"] = {**_plain(before), **entry["before"]}
    entry["after"] = {**entry["after"], **_plain(after)}


def _resource(row: object) -> str:
    mapper = sa.inspect(type(row))
    keys = [
        str(getattr(row, mapper.get_property_by_column(column).key))
        for column in mapper.primary_key
        if column.name != "tenant_id"
    ]
    return f"{mapper.local_table.name}/{'/'.join(keys)}"


def _columns(row: object) -> dict[str, object]:
    mapper = sa.inspect(type(row))
    told = ((attribute.key, attribute.columns[0]) for attribute in mapper.column_attrs)
    return {
        key: MASK if column.info.get("sensitive") else getattr(row, key)
        for key, column in told
        if key not in _NOT_TOLD and not column.info.get("untold") and getattr(row, key) is not None
    }


def _difference(row: object) -> tuple[dict[str, object], dict[str, object]]:
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    state: Any = sa.inspect(row)
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        info = attribute.columns[0].info
        if attribute.key in _NOT_TOLD or info.get("untold") or not history.has_changes():
            continue
        masked = bool(info.get("sensitive"))
        before[attribute.key] = MASK if masked else next(iter(history.deleted), None)
        after[attribute.key] = MASK if masked else next(iter(history.added), None)
    return before, after


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return MASK
    if isinstance(value, list | tuple | set):
        return [_plain_value(entry) for entry in value]
    if isinstance(value, dict):
        return {str(name): _plain_value(entry) for name, entry in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _struct(values: Mapping[str, Any]) -> Struct:
    return json_format.ParseDict(dict(values), Struct())
