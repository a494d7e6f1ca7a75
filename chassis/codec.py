"""Messages in the API's JSON form: `snake_case`, enums as lower-case words, 64-bit integers as numbers."""

from typing import Any, TypeVar

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """A message as JSON."""
    return orjson.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True))


def from_json(kind: type[M], value: dict[str, Any]) -> M:
    """A message from decoded JSON; fields that this release does not know are passed over."""
    return json_format.ParseDict(value, kind(), ignore_unknown_fields=True)
