"""An HTTP request to a request message: path parameters, query and body, as `google.api.http` lays them out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway import errors, wellknown
from gateway.contracts import Binding, Contract, ContractError, Method
from gateway.decoding import Decoders, Mode
from gateway.fields import Decode, from_text, is_leaf, is_map, message_of

# Dots in the name of a query parameter; deeper filters are a body.
QUERY_DEPTH_MAX: Final = 3
# More parameters than any method has.
QUERY_PARAMS_MAX: Final = 128
MASK: Final = "update_mask"
_NOT_IN_TEXT: Final = frozenset({"Struct", "Value", "ListValue", "Empty"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of the request that is written as text. `field` is its descriptor, `path` its dotted name."""

    path: str
    field: FieldDescriptor
    put: Callable[[Any, Any], None]
    decode: Decode

    def read(self, message: Message, texts: list[str], reading: wellknown.Reading) -> None:
        """Put the values into the message."""
        if len(texts) > 1 and not self.field.is_repeated:
            reading.bad(self.path, "may be given once only")
            return
        values = [self.decode(text, self.path, reading) for text in texts]
        if None not in values:
            self.put(message, values if self.field.is_repeated else values[0])


class RequestReader:
    """Reads the requests of one binding. `params` are the field paths in its template."""

    def __init__(self, method: Method, binding: Binding, params: tuple[str, ...], decoders: Decoders) -> None:
        self._make = method.request
        self._descriptor = method.input
        self._contract: Contract = method.contract
        self.params = {path: _parameter(self._descriptor, path) for path in params}
        self.query = {each.path: each for each in self._query(binding)}
        self.body = self._body_field(binding)
        self.masked = self.body is not None and binding.verb in {"PATCH", "PUT"} and self._has_mask()
        self.mode = _mode(binding, masked=self.masked)
        self._read_body = self._body_reader(binding, decoders)

    def read(
        self, params: Mapping[str, str], query: Mapping[str, list[str]], body: bytes, reading: wellknown.Reading
    ) -> Message | None:
        """The message, or None when `reading` has errors."""
        message = self._read_body(body, reading) if self._read_body is not None else None
        if message is None:
            # After an error in the body too: the parameters are read all the same, for their own errors.
            message = self._make()
        for path, text in params.items():
            self.params[path].read(message, [text], reading)
        for path, texts in query.items():
            parameter = self.query.get(path)
            if parameter is None:
                reading.bad(path[:64], "is not a known parameter")
            else:
                parameter.read(message, texts, reading)
        return None if reading.errors else message

    def _body_field(self, binding: Binding) -> FieldDescriptor | None:
        if binding.body in {"", "*"}:
            return None
        found: FieldDescriptor | None = self._descriptor.fields_by_name.get(binding.body)
        if found is None:
            raise ContractError(f"{self._descriptor.full_name} has no field {binding.body} for a body")
        return found

    def _has_mask(self) -> bool:
        found = self._descriptor.fields_by_name.get(MASK)
        return (
            found is not None
            and found.message_type is not None
            and found.message_type.full_name == "google.protobuf.FieldMask"
        )

    def _query(self, binding: Binding) -> Iterator[Parameter]:
        if binding.body == "*":
            return
        taken = {*self.params, binding.body} | ({MASK} if binding.verb in {"PATCH", "PUT"} else set())
        for path in _leaf_paths(self._descriptor, "", QUERY_DEPTH_MAX):
            if path not in taken and path.split(".")[0] not in taken:
                yield _parameter(self._descriptor, path)

    def _body_reader(
        self, binding: Binding, decoders: Decoders
    ) -> Callable[[bytes, wellknown.Reading], Message | None] | None:
        if binding.body == "":
            return None
        if self.body is None:
            whole = decoders.of(self._descriptor, self.mode, frozenset(path for path in self.params if "." not in path))
            return lambda raw, reading: whole(_parse(raw or b"{}", reading), "", reading)
        if self.body.message_type is not None and not is_leaf(self.body.message_type) and not self.body.is_repeated:
            return self._field_reader(self.body, decoders.of(self.body.message_type, self.mode))
        others = frozenset(each.name for each in self._descriptor.fields) - {binding.body}
        return _unwrapped(binding.body, decoders.of(self._descriptor, self.mode, others))

    def _field_reader(
        self, field: FieldDescriptor, decode: Decode
    ) -> Callable[[bytes, wellknown.Reading], Message | None]:
        name, mode = field.name, self.mode
        replaced = [
            each.name
            for each in message_of(field).fields
            if not self._contract.policy_of(each).output_only and not self._contract.policy_of(each).immutable
        ]

        def read(raw: bytes, reading: wellknown.Reading) -> Message | None:
            value = decode(_parse(raw, reading), "", reading)
            if reading.errors:
                return None
            if not self.masked:
                return self._make(**{name: value})
            paths = reading.mask if mode is Mode.PATCH else replaced
            if not paths:
                reading.bad("body", "nothing to change")
                return None
            return self._make(**{name: value, MASK: {"paths": paths}})

        return read


def parse_query(query: str, reading: wellknown.Reading) -> dict[str, list[str]]:
    """The parameters of a raw query string, each with its values in order."""
    found: dict[str, list[str]] = {}
    if not query:
        return found
    pairs = query.split("&")
    if len(pairs) > QUERY_PARAMS_MAX:
        reading.bad("query", f"must be at most {QUERY_PARAMS_MAX} parameters")
        return found
    for pair in pairs:
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            try:
                name, value = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
            except UnicodeDecodeError:
                reading.bad("query", "must be UTF-8")
                continue
        if pair:
            found.setdefault(name, []).append(value)
    return found


def _mode(binding: Binding, *, masked: bool) -> Mode:
    if binding.verb == "PATCH" and masked:
        return Mode.PATCH
    return Mode.REPLACE if binding.verb in {"PATCH", "PUT"} else Mode.CREATE


def _parse(raw: bytes, reading: wellknown.Reading) -> Any:
    if not raw:
        reading.bad("body", "a JSON body is required")
        raise errors.invalid(reading.errors)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        reading.bad("body", f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}")
        raise errors.invalid(reading.errors) from None
    if b"\\u0000" in raw:
        wellknown.refuse_nul(value, "", reading)
    return value


def _unwrapped(name: str, decode: Decode) -> Callable[[bytes, wellknown.Reading], Message | None]:
    """The reader of a body that is one field and not a message of the contract: a list, a map, a scalar."""

    def read(raw: bytes, reading: wellknown.Reading) -> Message | None:
        inner = wellknown.Reading()
        message: Message | None = decode({name: _parse(raw, reading)}, "", inner)
        for path, texts in inner.errors.items():
            for text in texts:
                reading.bad(path.removeprefix(name).removeprefix("."), text)
        return message

    return read


def _leaf_paths(message: Descriptor, prefix: str, depth: int) -> Iterator[str]:
    for field in message.fields:
        below = field.message_type
        if is_map(field) or (below is not None and below.full_name.removeprefix("google.protobuf.") in _NOT_IN_TEXT):
            continue
        if below is None or is_leaf(below):
            yield f"{prefix}{field.name}"
        elif depth > 1 and not field.is_repeated:
            yield from _leaf_paths(below, f"{prefix}{field.name}.", depth - 1)


def _parameter(message: Descriptor, path: str) -> Parameter:
    *above, last = path.split(".")
    at = message
    for name in above:
        found = at.fields_by_name.get(name)
        if found is None or found.message_type is None or found.is_repeated:
            raise ContractError(f"{message.full_name} has no field {path}")
        at = found.message_type
    field = at.fields_by_name.get(last)
    if field is None or is_map(field) or (field.message_type is not None and not is_leaf(field.message_type)):
        raise ContractError(f"{message.full_name} has no field {path} that can be a parameter")
    return Parameter(path, field, _setter(above, field), _without_nul(from_text(field)))


def _without_nul(decode: Decode) -> Decode:
    def read(value: Any, path: str, reading: wellknown.Reading) -> Any:
        return reading.bad(path, wellknown.NUL) if "\0" in value else decode(value, path, reading)

    return read


def _setter(above: list[str], field: FieldDescriptor) -> Callable[[Any, Any], None]:
    name, is_message, is_repeated = field.name, field.message_type is not None, field.is_repeated

    def put(message: Any, value: Any) -> None:
        for each in above:
            message = getattr(message, each)
        if is_repeated:
            getattr(message, name).extend(value)
        elif is_message:
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)

    return put
