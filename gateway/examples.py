"""Example values: what the contract gives, else something sensible for the type and its rules."""

import re
from typing import Any, Final

import orjson
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway import rules, wellknown
from gateway.contracts import Contract
from gateway.decoding import Mode
from gateway.fields import WRAPPERS, is_leaf, is_map, message_of, value_field
from gateway.schemas import Use, is_required, scalar

UUID: Final = "01980000-0000-7000-8000-000000000001"
TIME: Final = "2026-11-21T09:30:00.000Z"
# An example that would have to be longer is not worth its place.
LEN_MAX: Final = 1000
_LEAVES: Final[dict[str, Any]] = {
    "Timestamp": TIME,
    "Duration": "1.5s",
    "Struct": {},
    "Value": "anything",
    "ListValue": [],
    "FieldMask": "name",
    "Empty": {},
}
_FORMATS: Final = {
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uuid": UUID,
}
# Tried in turn on a pattern that no example came with.
_CANDIDATES: Final = ("example", "EXAMPLE", "USD", "a", "A", "1", "12:30", "example-1", "2026-11-21")
# Tried only where the pattern counts to it: a long text can keep a bad pattern busy for ever.
_DIGEST: Final = "0" * 64
_STRINGS: Final = {"next_cursor": "", "cursor": "", "currency": "USD", "time_zone": "UTC", "token_type": "Bearer"}


def of_message(
    contract: Contract,
    message: Descriptor,
    use: Use,
    *,
    without: frozenset[str] = frozenset(),
    above: tuple[str, ...] = (),
) -> dict[str, Any]:
    """An example of a message: of an answer, all of it; of a request, what is needed and what the contract shows.

    `above` are the types around it: an example of a type inside itself has an end.
    """
    found: dict[str, Any] = {}
    taken: set[str] = set()
    around = (*above, message.full_name)
    for field in message.fields:
        oneof = field.containing_oneof
        is_demanded = oneof is not None and oneof.full_name in contract.demanded
        if field.name in without or not (is_demanded or _is_shown(contract, field, use)):
            continue
        if oneof is not None and len(oneof.fields) > 1:
            if oneof.name in taken:
                continue
            taken.add(oneof.name)
        element = value_field(field) if is_map(field) else field
        if element.message_type is None or element.message_type.full_name not in around:
            found[field.name] = of_field(contract, field, use, above=around)
        elif field.is_repeated:
            found[field.name] = {} if is_map(field) else []
    return found


def _is_shown(contract: Contract, field: FieldDescriptor, use: Use) -> bool:
    policy, found = contract.policy_of(field), contract.rules_of(field)
    if not isinstance(use, Mode):
        # A secret in an answer is one that the caller has just been given; a password is never one of them.
        return not policy.sensitive or policy.output_only or not found.ByteSize()
    if policy.output_only or (policy.immutable and use is not Mode.CREATE):
        return False
    return bool(policy.example) or is_required(contract, field, use if use is Mode.CREATE else Mode.REPLACE)


def of_field(contract: Contract, field: FieldDescriptor, use: Use, *, above: tuple[str, ...] = ()) -> Any:
    """An example of one field."""
    policy, found = contract.policy_of(field), contract.rules_of(field)
    if policy.example:
        try:
            return orjson.loads(policy.example)
        except orjson.JSONDecodeError:
            return policy.example
    if is_map(field):
        value = value_field(field)
        return {_name(field): _one(contract, value, use, found.map.values, above)}
    if field.is_repeated:
        count = min(max(1, found.repeated.min_items), LEN_MAX)
        return [_one(contract, field, use, found.repeated.items, above) for _ in range(count)]
    return _one(contract, field, use, found, above)


def _name(field: FieldDescriptor) -> str:
    key = message_of(field).fields_by_name["key"]
    return {FieldDescriptor.TYPE_STRING: "key", FieldDescriptor.TYPE_BOOL: "true"}.get(key.type, "1")


def _one(
    contract: Contract, field: FieldDescriptor, use: Use, found: validate_pb2.FieldRules, above: tuple[str, ...]
) -> Any:
    message = field.message_type
    if message is not None and message.full_name in WRAPPERS:
        return of_scalar(value_field(field), scalar(value_field(field), found))
    if message is not None and is_leaf(message):
        return _LEAVES[message.full_name.removeprefix("google.protobuf.")]
    if message is not None:
        inner = Mode.REPLACE if use is Mode.PATCH and field.is_repeated else use
        return of_message(contract, message, inner, above=above)
    return of_scalar(field, scalar(field, found))


def of_scalar(field: FieldDescriptor, schema: rules.Schema) -> Any:
    """An example that keeps the rules of a scalar."""
    for keyword in ("const", "enum"):
        if schema.get(keyword):
            return schema[keyword] if keyword == "const" else schema[keyword][0]
    if schema["type"] == "string":
        return _string(field, schema)
    if schema["type"] == "boolean":
        return False
    return _number(field, schema)


def _number(field: FieldDescriptor, schema: rules.Schema) -> float:
    low: float = max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)
    high: float = min(schema.get("maximum", wellknown.EXACT_MAX), schema.get("exclusiveMaximum", 2**53) - 1)
    wanted = 25 if field.name == "page_size" else 1
    return high if high < low else max(low, min(high, wanted))


def _string(field: FieldDescriptor, schema: rules.Schema) -> str:
    if schema.get("contentEncoding") == "base64":
        return "ZXhhbXBsZQ=="
    if "format" in schema:
        return _FORMATS[schema["format"]]
    if field.name == "id" or field.name.endswith(("_id", "_ids")):
        text = UUID
    else:
        text = _STRINGS.get(field.name, field.name.replace("_", " "))
    patterns = [schema["pattern"]] if "pattern" in schema else [each["pattern"] for each in schema.get("allOf", [])]
    low: int = min(schema.get("minLength", 0), LEN_MAX)
    high: int = schema.get("maxLength", LEN_MAX)
    digest = (_DIGEST,) if any("64" in pattern for pattern in patterns) else ()
    for candidate in (text[:64], *_CANDIDATES, *digest):
        fitted: str = candidate.ljust(low, "x")[:high]
        if all(re.search(pattern, fitted) for pattern in patterns):
            return fitted
    return text
