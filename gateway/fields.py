"""One value of one field, from JSON or from text, whatever its type. Messages of the contract are not values."""

import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway import wellknown
from gateway.contracts import ContractError

# A value, the path it stands at, and where errors go; answers None after an error.
Decode = Callable[[Any, str, wellknown.Reading], Any]

_WRAPPERS: Final = ("Double", "Float", "Int32", "Int64", "UInt32", "UInt64", "Bool", "String", "Bytes")
WRAPPERS: Final = frozenset(f"google.protobuf.{kind}Value" for kind in _WRAPPERS)
# Types with a JSON form of their own.
LEAVES: Final = WRAPPERS | {
    f"google.protobuf.{name}"
    for name in ("Timestamp", "Duration", "Struct", "Value", "ListValue", "FieldMask", "Empty")
}
_INT32, _UINT32 = (-(2**31), 2**31 - 1), (0, 2**32 - 1)
_INT64, _UINT64 = (-wellknown.EXACT_MAX, wellknown.EXACT_MAX), (0, wellknown.EXACT_MAX)
_BOUNDS: Final = {
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
}
_SCALARS: Final[dict[int, Decode]] = {
    FieldDescriptor.TYPE_STRING: wellknown.text,
    FieldDescriptor.TYPE_BOOL: wellknown.boolean,
    FieldDescriptor.TYPE_BYTES: wellknown.octets,
    FieldDescriptor.TYPE_DOUBLE: wellknown.double,
    FieldDescriptor.TYPE_FLOAT: wellknown.single,
}
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,308})(\.[0-9]{1,64})?([eE][+-]?[0-9]{1,3})?")


def message_of(found: FieldDescriptor) -> Descriptor:
    """The type of a field that has a message type."""
    assert found.message_type is not None
    return found.message_type


def enum_of(found: FieldDescriptor) -> EnumDescriptor:
    """The type of a field that has an enum type."""
    assert found.enum_type is not None
    return found.enum_type


def value_field(found: FieldDescriptor) -> FieldDescriptor:
    """The field `value` of a map's entry or of a wrapper."""
    return message_of(found).fields_by_name["value"]


def is_leaf(message: Descriptor) -> bool:
    """Whether the type has a JSON form of its own."""
    return message.full_name in LEAVES


def is_map(found: FieldDescriptor) -> bool:
    """Whether the field is a map."""
    return found.is_repeated and found.message_type is not None and bool(found.message_type.GetOptions().map_entry)


def int_bounds(found: FieldDescriptor) -> tuple[int, int] | None:
    """The range of an integer field in JSON; None for a field of another type."""
    return _BOUNDS.get(found.type)


def from_json(found: FieldDescriptor) -> Decode:
    """The decoder of one JSON value (an element, in a list) of a field whose type is not a message of the contract."""
    if found.message_type is not None and found.type != FieldDescriptor.TYPE_GROUP:
        return _leaf(found.message_type)
    if found.type == FieldDescriptor.TYPE_ENUM:
        return _enum(enum_of(found))
    bounds = int_bounds(found)
    if bounds is not None:
        low, high = bounds
        return lambda value, path, reading: wellknown.integer(value, low, high, path, reading)
    if found.type not in _SCALARS:
        raise ContractError(f"{found.full_name}: a field of this type has no JSON form here")
    return _SCALARS[found.type]


def from_text(found: FieldDescriptor) -> Decode:
    """The decoder of text that stands for such a value: in the path, in the query, as a name in a map."""
    inner = found
    if found.message_type is not None and found.message_type.full_name in WRAPPERS:
        inner = value_field(found)
    parse = _text_parser(inner)
    decode = from_json(found)
    return decode if parse is None else _parsed(parse, decode)


def _text_parser(found: FieldDescriptor) -> Callable[[str], Any] | None:
    if found.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get
    if int_bounds(found) is not None:
        return lambda value: int(value) if _INTEGER.fullmatch(value) else None
    if found.type in {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}:
        return lambda value: float(value) if _NUMBER.fullmatch(value) else None
    return None


def _parsed(parse: Callable[[str], Any], decode: Decode) -> Decode:
    def read(value: Any, path: str, reading: wellknown.Reading) -> Any:
        parsed = parse(value)
        # What is no such thing stays text, which the decoder then refuses in its own words.
        return decode(value if parsed is None else parsed, path, reading)

    return read


def _enum(enum: EnumDescriptor) -> Decode:
    if enum.full_name == "google.protobuf.NullValue":
        return lambda value, path, reading: 0 if value is None else reading.bad(path, "must be null")
    names = wellknown.enum_names(enum)
    why = wellknown.why_not_enum(names)

    def decode(value: Any, path: str, reading: wellknown.Reading) -> int | None:
        number = names.get(value) if value.__class__ is str else None
        return reading.bad(path, why) if number is None else number

    return decode


def _leaf(message: Descriptor) -> Decode:
    name = message.full_name.removeprefix("google.protobuf.")
    if message.full_name not in LEAVES:
        raise ContractError(f"{message.full_name} has no JSON form here")
    make: Any = message_factory.GetMessageClass(message)
    fill = {"Struct": wellknown.fill_struct, "ListValue": wellknown.fill_list, "Value": wellknown.fill_value}.get(name)
    if fill is not None:
        return lambda value, path, reading: fill(make(), value, path, reading)
    if name == "Empty":
        return lambda value, path, reading: make() if value == {} else reading.bad(path, "must be an empty object")
    if name == "Timestamp":
        return _made(wellknown.timestamp, lambda pair: make(seconds=pair[0], nanos=pair[1]))
    if name == "Duration":
        return _made(wellknown.duration, lambda pair: make(seconds=pair[0], nanos=pair[1]))
    if name == "FieldMask":
        return _made(wellknown.mask_paths, lambda paths: make(paths=paths))
    return _made(from_json(message.fields_by_name["value"]), lambda value: make(value=value))


def _made(parse: Decode, make: Callable[[Any], Any]) -> Decode:
    def decode(value: Any, path: str, reading: wellknown.Reading) -> Any:
        found = parse(value, path, reading)
        return None if found is None else make(found)

    return decode
