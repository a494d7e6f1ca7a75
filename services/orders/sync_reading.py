"""Reading what an offline client has logged: strictly, and each operation for itself.

The gateway refuses a request as a whole for one wrong field; in a log, that would let one bad entry keep all the others
from ever being told. So the bodies come as they are, and are read here by the same rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from switchyard.orders.v1 import orders_pb2, sync_pb2

from chassis import clock, codec, errors, idempotency, policy
from chassis.rpc import validation

PLACE, CANCEL, UPDATE = "place_order", "cancel_order", "update_order_status"
BODIES: Mapping[str, type[Message]] = {
    PLACE: orders_pb2.PlaceOrderRequest,
    CANCEL: sync_pb2.CancelOrderOperation,
    UPDATE: sync_pb2.UpdateOrderStatusOperation,
}
# What an operation may be called, and what it is not worth looking at longer words for.
NAME_LENGTH_MAX = 64
EXACT_MAX = 2**53 - 1
_INTEGERS = frozenset(
    {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32}
    | {FieldDescriptor.CPPTYPE_UINT64}
)
_WELL_KNOWN = "google.protobuf."


@dataclass
class Entry:
    """An operation as it was read; `problems` says what is wrong with it, by field."""

    told: sync_pb2.Operation
    id: UUID | None = None
    order_id: UUID | None = None
    after: UUID | None = None
    body: Any = None
    fingerprint: bytes = b""
    problems: dict[str, list[str]] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """What it does."""
        return self.told.type

    @property
    def sequence(self) -> int:
        """Its place in the client's log."""
        return self.told.sequence


def read(told: sync_pb2.Operation, site_id: str = "") -> Entry:
    """An operation; `site_id` stands in an order that names none."""
    entry = Entry(told, fingerprint=idempotency.fingerprint(told))
    entry.id = _uuid(told.operation_id)
    entry.after = _uuid(told.after)
    checks = {
        "operation_id": (entry.id is not None, "must be a UUID"),
        "sequence": (told.sequence >= 1, "must be at least 1"),
        "occurred_at": (_is_time(told), "must be a time"),
        "type": (told.type in BODIES, f"must be one of {', '.join(BODIES)}"),
        "after": (not told.after or entry.after is not None, "must be a UUID"),
    }
    entry.problems = {name: [message] for name, (right, message) in checks.items() if not right}
    body: dict[str, Any] = json_format.MessageToDict(told.body)
    named = body.get("id" if told.type == PLACE else "order_id")
    # Also of a body that is not valid: what else concerns the order is told from it.
    entry.order_id = _uuid(named) if isinstance(named, str) else None
    if told.type in BODIES:
        if told.type == PLACE and site_id:
            body.setdefault("site_id", site_id)
        _read_body(entry, body)
    return entry


def _read_body(entry: Entry, told: dict[str, Any]) -> None:
    kind, problems = BODIES[entry.type], entry.problems
    if entry.type == PLACE and "id" not in told:
        problems["body.id"] = ["is required"]
    prepared = _object(kind.DESCRIPTOR, told, "body", problems)
    if problems:
        return
    body = kind()
    try:
        json_format.ParseDict(prepared, body)
        validation.check(body, patches=False)
    except json_format.ParseError:
        problems["body"] = ["is not valid"]
    except errors.Invalid as failure:
        problems.update({f"body.{path}": messages for path, messages in failure.fields.items()})
    else:
        entry.body = body


def occurred_at(entry: Entry) -> datetime:
    """When it was done; a clock that runs ahead of ours does not lead us into the future."""
    return min(entry.told.occurred_at.ToDatetime(UTC), clock.now())


def _is_time(told: sync_pb2.Operation) -> bool:
    try:
        return told.HasField("occurred_at") and bool(told.occurred_at.ToDatetime(UTC))
    except (ValueError, OverflowError):
        return False


def _object(descriptor: Any, told: Any, path: str, problems: dict[str, list[str]]) -> Any:
    """JSON in our words as what `ParseDict` takes; what is wrong is noted."""
    if not isinstance(told, dict):
        problems[path] = ["must be an object"]
        return None
    prepared = {}
    for name, value in told.items():
        here = f"{path}.{name[:NAME_LENGTH_MAX]}"
        known = descriptor.fields_by_name.get(name)
        if known is None:
            problems[here] = ["is not a known field"]
        elif policy.field_policy(known).output_only:
            problems[here] = ["is read-only"]
        elif value is not None:
            prepared[name] = _field(known, value, here, problems)
    return prepared


def _field(known: Any, value: Any, path: str, problems: dict[str, list[str]]) -> Any:
    if not known.is_repeated:
        return _single(known, value, path, problems)
    if not isinstance(value, list):
        problems[path] = ["must be a list"]
        return None
    return [_single(known, entry, f"{path}.{position}", problems) for position, entry in enumerate(value)]


def _single(known: Any, value: Any, path: str, problems: dict[str, list[str]]) -> Any:
    nested = known.message_type
    if nested is not None:
        return value if nested.full_name.startswith(_WELL_KNOWN) else _object(nested, value, path, problems)
    if known.enum_type is not None:
        names = {word: number for number, word in codec.words(known.enum_type).items()}
        if value not in names if isinstance(value, str) else True:
            problems[path] = [f"must be one of {', '.join(names)}"]
            return None
        return names[value]
    if known.cpp_type in _INTEGERS:
        # Numbers of JSON: a truth is none, and beyond this a double no longer holds every whole one.
        right = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= EXACT_MAX
        right = right and float(value).is_integer()
        wanted = "a whole number"
    else:
        truth = known.cpp_type == FieldDescriptor.CPPTYPE_BOOL
        right = isinstance(value, bool) if truth else isinstance(value, str) and "\0" not in value
        wanted = "true or false" if truth else "a string"
    if not right:
        problems[path] = [f"must be {wanted}"]
        return None
    return int(value) if known.cpp_type in _INTEGERS else value


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) <= NAME_LENGTH_MAX else None
    except ValueError:
        return None
