"""Messages in the API's JSON form.

`snake_case`, enums as lower-case words, 64-bit integers as numbers, times in RFC 3339 with milliseconds. Scalars, lists
and maps are always there; optional fields and messages when they are set.

This is the form in which events and audit entries travel; what clients send is read by the gateway, which is stricter.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import orjson
from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]

_TIMESTAMP = "google.protobuf.Timestamp"
_WELL_KNOWN = "google.protobuf."


def encode(message: Message) -> bytes:
    """A message as JSON bytes."""
    return orjson.dumps(to_json(message))


def to_json(message: Message) -> Any:
    """A message as what `orjson` takes."""
    return _encoder(message.DESCRIPTOR)(message)


def from_json(kind: type[M], value: dict[str, Any]) -> M:
    """A message from decoded JSON. Fields and enum words that this release does not know are passed over."""
    message = kind()
    _fill(message, value)
    return message


@cache
def words(enum: EnumDescriptor) -> dict[int, str]:
    """The lower-case word of each value but the unspecified one: `ORDER_STATUS_QUEUED` is `queued`."""
    values = list(enum.values)
    first = values[0].name
    prefix = first.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix).lower() for value in values if value.name != first}


@cache
def _encoder(descriptor: Descriptor) -> Convert:
    if descriptor.full_name == _TIMESTAMP:
        return _time
    if descriptor.full_name.startswith(_WELL_KNOWN):
        return lambda message: json_format.MessageToDict(message, preserving_proto_field_name=True)
    plan = [(field.name, field.has_presence, _converter(field)) for field in descriptor.fields]

    def convert(message: Any) -> dict[str, Any]:
        told = {}
        for name, optional, converter in plan:
            if optional and not message.HasField(name):
                continue
            value = converter(getattr(message, name))
            if value is not None:
                told[name] = value
        return told

    return convert


def _converter(field: FieldDescriptor) -> Convert:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of_value = _single(kind.fields_by_name["value"])
        return lambda entries: {str(key): of_value(value) for key, value in entries.items()}
    one = _single(field)
    if field.is_repeated:
        return lambda values: [one(value) for value in values]
    return one


def _single(field: FieldDescriptor) -> Convert:
    if field.message_type is not None:
        nested = field.message_type
        # Looked up when first met: a message may hold itself.
        return lambda value: _encoder(nested)(value)  # noqa: PLW0108 - not inlined, or it would recurse
    if field.enum_type is not None:
        return words(field.enum_type).get
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    return lambda value: value


def _time(message: Any) -> str:
    moment = datetime.fromtimestamp(message.seconds, UTC).replace(microsecond=message.nanos // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fill(message: Any, value: dict[str, Any]) -> None:
    for name, given in value.items():
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None or given is None:
            continue
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            _fill_map(getattr(message, name), kind.fields_by_name["value"], given)
        elif field.is_repeated:
            getattr(message, name).extend([_read(field, entry) for entry in given])
        elif kind is not None:
            getattr(message, name).CopyFrom(_read(field, given))
        elif (read := _read(field, given)) is not None:
            setattr(message, name, read)


def _fill_map(target: Any, field: FieldDescriptor, given: dict[str, Any]) -> None:
    for key, entry in given.items():
        if field.message_type is not None:
            target[key].CopyFrom(_read(field, entry))
        else:
            target[key] = _read(field, entry)


def _read(field: FieldDescriptor, value: Any) -> Any:
    kind = field.message_type
    if kind is not None:
        nested = GetMessageClass(kind)()
        if isinstance(nested, struct_pb2.Struct):
            nested.update(value)
        elif kind.full_name.startswith(_WELL_KNOWN):
            json_format.ParseDict(value, nested)
        else:
            _fill(nested, value)
        return nested
    if field.enum_type is not None:
        return next((number for number, word in words(field.enum_type).items() if word == value), None)
    return base64.b64decode(value) if field.type == FieldDescriptor.TYPE_BYTES else value
