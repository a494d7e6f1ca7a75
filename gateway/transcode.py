"""JSON to messages and back, for one binding of one method.

Under `/api/v1` an answer is `{"data": ..., "meta": {...}}`; elsewhere it is the bare message. The payload is encoded
once and the envelope is put around its bytes.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from switchyard.options.v1 import policy_pb2

from gateway import errors, trims, wellknown
from gateway.contracts import Binding, Contract, ContractError, Method
from gateway.decoding import Decoders
from gateway.encoding import Encoders, Tree
from gateway.fields import is_leaf, is_map
from gateway.requests import RequestReader, parse_query
from gateway.trims import WHOLE, Trim

MEDIA_TYPE: Final = "application/json"
NEXT_CURSOR: Final = "next_cursor"
_VARIABLE = re.compile(r"\{([^}=]+)[^}]*\}")


class Codecs:
    """The encoders and decoders of one contract, shared by its bindings."""

    def __init__(self, contract: Contract) -> None:
        self.encoders = Encoders(contract)
        self.decoders = Decoders(contract)


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request.

    `params` are its path parameters; `guarded` maps each field it sets that needs a permission of its own to that
    permission.
    """

    message: Message
    params: Mapping[str, str]
    guarded: Mapping[str, str]
    trim: Trim = WHOLE


@dataclass(frozen=True, slots=True)
class Answer:
    """A success, ready to send. Header names are in lower case; an answer with a body has its media type."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Shape:
    """Encodes a response: its payload, and what goes into `meta` besides the request id."""

    payload: Callable[[Message], Any]
    meta: Callable[[Message], dict[str, Any]] | None


class Transcoder:
    """One binding's two directions, compiled when it is made.

    `params` are the field paths of its template; `canonical` is the template under `/api/v1`, if the method has one.
    """

    def __init__(
        self,
        method: Method,
        binding: Binding,
        codecs: Codecs,
        *,
        params: tuple[str, ...],
        is_alias: bool,
        canonical: str | None,
    ) -> None:
        self.method = method
        self.binding = binding
        self.is_alias = is_alias
        self.response = method.output
        self.reader = RequestReader(method, binding, params, codecs.decoders)
        self.items = list_field(self.response) if not binding.response_body else None
        self.payload_field = _payload_field(self.response, binding)
        self.item = _item(self.response, self.items or self.payload_field)
        own = {each.name for each in method.input.fields}
        trims_it = binding.verb == "GET" and self.item is not None
        self.takes_fields = trims_it and "fields" not in own
        self.takes_view = (
            trims_it and "view" not in own and self.item is not None and trims.has_views(method.contract, self.item)
        )
        self.read_permissions = trims.read_permissions(method.contract, self.response)
        # Whether the ETag is a digest of what is in the answer.
        self.digests = method.policy.content_etag and binding.verb == "GET"
        self._encoders = codecs.encoders
        self.canonical = canonical or binding.template
        self._has_id = _is_scalar(self.response.fields_by_name.get("id"), FieldDescriptor.TYPE_STRING)
        self._has_version = _is_scalar(self.response.fields_by_name.get("version"), FieldDescriptor.TYPE_INT64)
        self._whole = self._shape(WHOLE, frozenset())

    @property
    def is_empty(self) -> bool:
        """Whether the answer has no body."""
        return self.response.full_name == "google.protobuf.Empty"

    @property
    def is_list(self) -> bool:
        """Whether the answer is a page."""
        return self.items is not None

    @property
    def has_etag(self) -> bool:
        """Whether the answer is one resource with a version, or its contract wants a digest of it."""
        return self.digests or (self._has_version and self.payload_field is None)

    def decode(self, params: Mapping[str, str], query: str, body: bytes) -> Call:
        """Build the request. Raises `errors.Problem` (422) with everything that is wrong with it.

        `query` is the raw query string. A body is only read where the binding has one.
        """
        reading = wellknown.Reading()
        found = parse_query(query, reading) if query else {}
        trim = self._trim(found, reading) if found else WHOLE
        message = self.reader.read(params, found, body, reading)
        if message is None:
            raise errors.invalid(reading.errors)
        return Call(message, params, reading.guarded, trim)

    def encode(
        self,
        call: Call,
        message: Message,
        *,
        request_id: str,
        if_none_match: str = "",
        denied: frozenset[str] = frozenset(),
    ) -> Answer:
        """Build the answer: envelope, status, `location`, `etag`; 304 where `if_none_match` names the version.

        `denied` are the read permissions, of those in `read_permissions`, that the caller lacks: the fields that ask
        for them are left out.
        """
        if self.is_empty:
            return Answer(HTTPStatus.NO_CONTENT, {}, b"")
        headers = {"content-type": MEDIA_TYPE}
        if self.has_etag and not self.digests:
            headers["etag"] = f'"{message.version}"'  # type: ignore[attr-defined]
            if self._is_known(headers, if_none_match):
                return Answer(HTTPStatus.NOT_MODIFIED, {"etag": headers["etag"]}, b"")
        whole = call.trim is WHOLE and not denied
        shape = self._whole if whole else self._shape(call.trim, denied & self.read_permissions)
        payload, meta = self._parts(shape, message)
        if self.digests:
            headers["etag"] = _digest(payload, meta)
            if self._is_known(headers, if_none_match):
                return Answer(HTTPStatus.NOT_MODIFIED, {"etag": headers["etag"]}, b"")
        return Answer(self._status(call, message, headers), headers, self._body(payload, meta, request_id))

    def _is_known(self, headers: Mapping[str, str], if_none_match: str) -> bool:
        return bool(if_none_match) and self.binding.verb == "GET" and _names(if_none_match, headers["etag"])

    def payload(self, message: Message, *, denied: frozenset[str] = frozenset()) -> bytes:
        """The answer's message as JSON, without an envelope."""
        shape = self._shape(WHOLE, denied & self.read_permissions) if denied else self._whole
        return orjson.dumps(shape.payload(message))

    def _status(self, call: Call, message: Message, headers: dict[str, str]) -> int:
        success = self.method.policy.success
        if success == policy_pb2.SUCCESS_UNSPECIFIED:
            return HTTPStatus.OK
        headers["location"] = self._location(call, message)
        return HTTPStatus.CREATED if success == policy_pb2.SUCCESS_CREATED else HTTPStatus.ACCEPTED

    def _location(self, call: Call, message: Message) -> str:
        path = _VARIABLE.sub(lambda found: quote(call.params.get(found.group(1), ""), safe=""), self.canonical)
        return f"{path}/{quote(message.id, safe='')}" if self._has_id else path  # type: ignore[attr-defined]

    def _parts(self, shape: _Shape, message: Message) -> tuple[bytes, bytes]:
        """The payload, and what goes into `meta` besides the request id: an object's inside, or nothing."""
        payload = orjson.dumps(shape.payload(message))
        rest = {} if shape.meta is None or self.is_alias else shape.meta(message)
        return payload, orjson.dumps(rest)[1:-1]

    def _body(self, payload: bytes, meta: bytes, request_id: str) -> bytes:
        if self.is_alias:
            return payload
        told = b'"request_id":' + orjson.dumps(request_id) + (b"," + meta if meta else b"")
        return b'{"data":' + payload + b',"meta":{' + told + b"}}"

    def _trim(self, query: dict[str, list[str]], reading: wellknown.Reading) -> Trim:
        """Take the gateway's own two parameters out of the query."""
        fields: tuple[str, ...] = ()
        view = ""
        if self.takes_fields and self.item is not None and "fields" in query:
            fields = trims.parse_fields(self.item, ",".join(query.pop("fields")), reading)
        if self.takes_view and "view" in query:
            view = query.pop("view")[-1]
            if view not in trims.VIEWS:
                reading.bad("view", wellknown.why_not_enum(trims.VIEWS))
        return Trim(fields, view) if fields or view not in {"", "full"} else WHOLE

    def _shape(self, trim: Trim, denied: frozenset[str]) -> _Shape:
        part = self.items or self.payload_field
        below = None if self.item is None else trims.tree(self.method.contract, self.item, trim, denied)
        if part is None:
            return _Shape(self._encoders.of(self.response, below), None)
        if self.items is None or not self.is_alias:
            return self._part(part, below)
        others: dict[str, Tree] = {each.name: None for each in self.response.fields}
        return _Shape(self._encoders.of(self.response, None if below is None else {**others, part.name: below}), None)

    def _part(self, part: FieldDescriptor, below: Tree) -> _Shape:
        """The payload is one field; of a page, the other fields go into `meta`, the cursor only if there is more."""
        name, repeated = part.name, part.is_repeated
        meta = None
        if self.items is not None:
            rest: Tree = {each.name: None for each in self.response.fields if each.name != name}
            meta = _without_empty_cursor(self._encoders.of(self.response, rest))
        if part.message_type is not None and not is_leaf(part.message_type) and not is_map(part):
            encode = self._encoders.of(part.message_type, below)
            if repeated:
                return _Shape(lambda message: [encode(each) for each in getattr(message, name)], meta)
        whole = self._encoders.of(self.response, {name: below})
        return _Shape(lambda message: whole(message).get(name), meta)


def list_field(response: Descriptor) -> FieldDescriptor | None:
    """The items of a page: the one list of messages in a response that has a cursor."""
    if not _is_scalar(response.fields_by_name.get(NEXT_CURSOR), FieldDescriptor.TYPE_STRING):
        return None
    lists = [each for each in response.fields if each.is_repeated and each.message_type and not is_map(each)]
    return lists[0] if len(lists) == 1 else None


def _payload_field(response: Descriptor, binding: Binding) -> FieldDescriptor | None:
    if not binding.response_body:
        return None
    found: FieldDescriptor | None = response.fields_by_name.get(binding.response_body)
    if found is None:
        raise ContractError(f"{response.full_name} has no field {binding.response_body} for a response body")
    return found


def _item(response: Descriptor, part: FieldDescriptor | None) -> Descriptor | None:
    """The type that `fields` and `view` are about; None where the answer is not made of messages of the contract."""
    message = response if part is None else part.message_type
    if message is None or is_leaf(message) or (part is not None and is_map(part)):
        return None
    return message


def _is_scalar(found: FieldDescriptor | None, kind: int) -> bool:
    return found is not None and found.type == kind and not found.is_repeated


def _without_empty_cursor(encode: Callable[[Message], dict[str, Any]]) -> Callable[[Message], dict[str, Any]]:
    def meta(message: Message) -> dict[str, Any]:
        found = encode(message)
        if not found[NEXT_CURSOR]:
            del found[NEXT_CURSOR]
        return found

    return meta


def _names(if_none_match: str, etag: str) -> bool:
    """Weak comparison (RFC 9110, section 13.1.2)."""
    listed = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in listed or etag.removeprefix("W/") in listed


def _digest(payload: bytes, meta: bytes) -> str:
    """Weak: of two answers with it, the id of the request may differ."""
    digest = hashlib.blake2b(payload, digest_size=16)
    digest.update(b"\n" + meta)
    return f'W/"{digest.hexdigest()}"'
