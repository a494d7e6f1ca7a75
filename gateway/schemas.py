"""Message types as JSON Schema: what goes in (per use) and what comes out."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway import rules, wellknown
from gateway.contracts import Contract
from gateway.decoding import Mode
from gateway.fields import WRAPPERS, enum_of, int_bounds, is_leaf, is_map, message_of, value_field
from gateway.rules import Schema


class Shown(enum.Enum):
    """An answer: as it is; with fields left out by `fields`, `view` or a permission; as a raw method writes it."""

    WHOLE = "whole"
    TRIMMED = "trimmed"
    RAW = "raw"


Use = Mode | Shown
_SUFFIXES: Final[dict[Use, str]] = {
    Mode.CREATE: "Input",
    Mode.REPLACE: "Replacement",
    Mode.PATCH: "Patch",
    Shown.WHOLE: "",
    Shown.TRIMMED: "Trimmed",
    Shown.RAW: "",
}
# Whole groups, then a rest whose unused bits are zero.
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
_PATH: Final = r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*"
_WITHOUT_NUL: Final = "^[^\\u0000]*$"
_FREE: Final[dict[str, Schema]] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    "Duration": {"type": "string", "pattern": r"^-?[0-9]{1,11}(\.[0-9]{1,9})?s$"},
    "Struct": {"type": "object"},
    "Value": {},
    "ListValue": {"type": "array"},
    "FieldMask": {"type": "string", "pattern": f"^({_PATH}(,{_PATH})*)?$"},
    "Empty": {"type": "object", "maxProperties": 0},
}
_SCALARS: Final[dict[int, Schema]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.TYPE_FLOAT: {
        "type": "number",
        "minimum": -wellknown.FLOAT32_MAX,
        "maximum": wellknown.FLOAT32_MAX,
    },
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
}


@dataclass(frozen=True, slots=True)
class _Key:
    content: bytes
    use: Use
    without: frozenset[str]


class Schemas:
    """`components/schemas`, filled as references are asked for."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._names: dict[_Key, str] = {}

    def ref(
        self, contract: Contract, message: Descriptor, use: Use, *, without: frozenset[str] = frozenset()
    ) -> Schema:
        """A reference to the schema of a type; one content has one name, whichever contract brings it."""
        key = _Key(_content(message), use, without)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._free_name(contract.service, message, use)
            self.components[name] = {}
            self.components[name] = self._message(contract, message, use, without)
        return {"$ref": f"#/components/schemas/{name}"}

    def _free_name(self, service: str, message: Descriptor, use: Use) -> str:
        short = message.full_name.removeprefix(f"{message.file.package}.").replace(".", "")
        prefix = service.replace("-", " ").title().replace(" ", "")
        for name in (short, f"{prefix}{short}", message.full_name):
            if f"{name}{_SUFFIXES[use]}" not in self.components:
                return f"{name}{_SUFFIXES[use]}"
        return f"{message.full_name}{_SUFFIXES[use]}.{len(self.components)}"

    def _message(self, contract: Contract, message: Descriptor, use: Use, without: frozenset[str]) -> Schema:
        shown = [each for each in message.fields if each.name not in without and _is_part(contract, each, use)]
        schema: Schema = {
            "type": "object",
            "properties": {each.name: self.field(contract, each, use) for each in shown},
        }
        comment = contract.comments.get(message.full_name)
        if comment:
            schema["description"] = prose(comment)
        required = [each.name for each in shown if is_required(contract, each, use)]
        if required:
            schema["required"] = required
        if isinstance(use, Mode):
            schema["additionalProperties"] = False
        if use is Mode.PATCH:
            schema["minProperties"] = 1
        chosen = list(_oneofs(contract, message, use)) if isinstance(use, Mode) else []
        if chosen:
            schema["allOf"] = chosen
        return schema

    def field(self, contract: Contract, field: FieldDescriptor, use: Use) -> Schema:
        """The schema of one field."""
        found, policy = contract.rules_of(field), contract.policy_of(field)
        schema = self._ruled(contract, field, use)
        if isinstance(use, Mode):
            if found.required and not field.has_presence:
                schema = rules.not_zero(schema)
            elif found.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
                schema = rules.or_zero(schema)
            if (field.has_presence and not found.required) or (use is Mode.PATCH and not found.required):
                schema = _nullable(schema)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated and is_value(field):
            schema = {}
        comment = contract.comments.get(field.full_name)
        notes: Schema = {"description": prose(comment)} if comment else {}
        if policy.read_permission or policy.write_permission:
            notes["x-permission"] = {"read": policy.read_permission, "write": policy.write_permission}
        if policy.sensitive:
            notes["x-sensitive"] = True
        return {**schema, **notes}

    def _ruled(self, contract: Contract, field: FieldDescriptor, use: Use) -> Schema:
        found = contract.rules_of(field)
        inward = isinstance(use, Mode)
        if is_map(field):
            value = value_field(field)
            element = self._one(contract, value, use, found.map.values if inward else None)
            base: Schema = {"type": "object", "additionalProperties": element, **_names(field)}
        elif field.is_repeated:
            element = self._one(contract, field, use, found.repeated.items if inward else None)
            base = {"type": "array", "items": element}
        else:
            return self._one(contract, field, use, found if inward else None)
        return (
            {**base, **rules.keywords(found)}
            if inward
            else {each: base[each] for each in base if each != "propertyNames"}
        )

    def _one(
        self, contract: Contract, field: FieldDescriptor, use: Use, found: validate_pb2.FieldRules | None
    ) -> Schema:
        """The schema of one value: of an element, in a list or map."""
        message = field.message_type
        if message is None or message.full_name in WRAPPERS:
            schema = scalar(field if message is None else value_field(field), found)
            return _without_nul(schema) if isinstance(use, Mode) else schema
        if is_leaf(message):
            return dict(_FREE[message.full_name.removeprefix("google.protobuf.")])
        merged = use is Mode.PATCH and not field.is_repeated
        inner = Mode.REPLACE if use is Mode.PATCH and not merged else use
        return self.ref(contract, message, inner)


def is_required(contract: Contract, field: FieldDescriptor, use: Use) -> bool:
    """Whether a field has to be given, or in an answer is always there."""
    if use in {Shown.TRIMMED, Shown.RAW, Mode.PATCH}:
        return False
    if use is Shown.WHOLE:
        vanishes = field.type == FieldDescriptor.TYPE_ENUM and not field.is_repeated
        return not field.has_presence and not vanishes
    found = contract.rules_of(field)
    if found.required:
        return True
    if field.has_presence or found.ignore != validate_pb2.IGNORE_UNSPECIFIED:
        return False
    # Rules of a field without presence hold for its zero too, so leaving it out breaks them.
    if field.is_repeated:
        return found.repeated.min_items > 0 or found.map.min_pairs > 0
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rules.enum_refuses_zero(found.enum)
    return rules.refuses_zero(scalar(field, found))


def scalar(field: FieldDescriptor, found: validate_pb2.FieldRules | None = None) -> Schema:
    """The schema of a scalar or enum, with the rules for it."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        words = wellknown.enum_words(enum_of(field))
        if enum_of(field).full_name == "google.protobuf.NullValue":
            return {"type": "null"}
        return {"type": "string", "enum": list(wellknown.enum_names(enum_of(field)))} | (
            rules.keywords(found, words) if found is not None else {}
        )
    bounds = int_bounds(field)
    base: Schema
    if bounds is not None:
        base = {"type": "integer", "minimum": bounds[0], "maximum": bounds[1]}
        base["format"] = "int32" if bounds[1] <= 2**32 else "int64"
    else:
        base = dict(_SCALARS[field.type])
    return base if found is None else {**base, **rules.keywords(found)}


def prose(comment: str) -> str:
    """A comment of the source as one paragraph per paragraph."""
    paragraphs = [" ".join(each.split()) for each in comment.split("\n\n")]
    return "\n\n".join(each for each in paragraphs if each)


def is_value(field: FieldDescriptor) -> bool:
    """Whether any JSON can stand in the field."""
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"


def _content(message: Descriptor) -> bytes:
    copied = descriptor_pb2.DescriptorProto()
    message.CopyToProto(copied)
    return message.full_name.encode() + copied.SerializeToString(deterministic=True)


def _is_part(contract: Contract, field: FieldDescriptor, use: Use) -> bool:
    policy = contract.policy_of(field)
    if not isinstance(use, Mode):
        return True
    return not policy.output_only and not (policy.immutable and use is not Mode.CREATE)


def _nullable(schema: Schema) -> Schema:
    if not schema:
        return schema
    if "enum" in schema and schema.get("type") == "string":
        return {**schema, "type": ["string", "null"], "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str) and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _without_nul(schema: Schema) -> Schema:
    """The schema of text that comes in: where nothing else excludes the NUL character, this does."""
    said = {"pattern", "format", "enum", "const", "allOf"}
    return schema if schema.get("type") != "string" or said & set(schema) else {**schema, "pattern": _WITHOUT_NUL}


def _names(field: FieldDescriptor) -> Schema:
    """What the names in a map can be."""
    key = message_of(field).fields_by_name["key"]
    if key.type == FieldDescriptor.TYPE_STRING:
        return {"propertyNames": {"pattern": _WITHOUT_NUL}}
    if key.type == FieldDescriptor.TYPE_BOOL:
        return {"propertyNames": {"enum": ["true", "false"]}}
    signed = "-?" if (int_bounds(key) or (0, 0))[0] < 0 else ""
    # Nine digits fit into every integer; the few longer ones that fit too are not worth a longer pattern.
    return {"propertyNames": {"pattern": f"^(0|{signed}[1-9][0-9]{{0,8}})$"}}


def _oneofs(contract: Contract, message: Descriptor, use: Use) -> Iterator[Schema]:
    for oneof in message.oneofs:
        names = [each.name for each in oneof.fields]
        if len(names) > 1:
            yield from _one_at_most(names)
        if oneof.full_name in contract.demanded and use is not Mode.PATCH:
            given: Schema = {"not": {"type": "null"}}
            yield {"anyOf": [{"required": [name], "properties": {name: given}} for name in names]}


def _one_at_most(names: list[str]) -> Iterator[Schema]:
    """No two members of a oneof at once; null counts as left out."""
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            given: dict[str, Any] = {name: {"not": {"type": "null"}} for name in (first, second)}
            yield {"not": {"required": [first, second], "properties": given}}
