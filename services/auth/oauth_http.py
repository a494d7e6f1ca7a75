"""HTTP as OAuth speaks it: a request as it came, and the answer to it."""

import base64
import binascii
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import UUID

import orjson
from switchyard.common.v1 import http_pb2

FORM = "application/x-www-form-urlencoded"
# More than any request of the protocol has.
_PARAMETERS_MAX = 64
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


@dataclass(frozen=True)
class Asked:
    """A request. `parameters` are the form's of a POST and the query's of a GET; one without a value is left out.

    `fault` says why it cannot be read.
    """

    method: str
    headers: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    repeated: Sequence[str] = ()
    fault: str = ""

    def get(self, name: str) -> str:
        """A parameter, or nothing."""
        return self.parameters.get(name, "")

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies; of two with one name, the first."""
        pairs = (one.strip().partition("=") for one in self.headers.get("cookie", "").split(";"))
        return {name: value for name, _, value in reversed([*pairs]) if name}

    @property
    def basic(self) -> tuple[str, str] | None:
        """Name and secret of `Authorization: Basic`, each form-encoded (RFC 6749, 2.3.1); none if there is no such."""
        scheme, _, told = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, secret = base64.b64decode(told.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return "", ""
        return unquote(name), unquote(secret)

    @property
    def bearer(self) -> str:
        """The token of `Authorization: Bearer`, or nothing."""
        scheme, _, told = self.headers.get("authorization", "").partition(" ")
        return told.strip() if scheme.lower() == "bearer" else ""

    @property
    def client_id(self) -> UUID | None:
        """Who says it asks; nothing is proved yet."""
        try:
            return UUID(self.basic[0] if self.basic else self.get("client_id"))
        except ValueError:
            return None


@dataclass(frozen=True)
class Answer:
    """An answer. Authlib makes one of a status, headers and an object (JSON) or nothing."""

    status: int
    body: Any
    headers: Sequence[tuple[str, str]] = ()

    @property
    def error(self) -> str:
        """The error that it tells the client; empty: none."""
        return str(self.body.get("error", "")) if isinstance(self.body, dict) else ""

    @property
    def location(self) -> str:
        """Where it sends the browser."""
        return next((value for name, value in self.headers if name.lower() == "location"), "")

    def to_message(self, *, cookies: Sequence[str] = ()) -> http_pb2.HttpResponse:
        """The answer as it travels; nobody keeps it."""
        named = {name.lower(): value for name, value in self.headers} | _NO_STORE
        body = self.body if isinstance(self.body, bytes) else b""
        if isinstance(self.body, dict):
            named["content-type"] = "application/json"
            body = orjson.dumps(self.body)
        headers = [http_pb2.HttpHeader(name=name, value=value) for name, value in named.items()]
        headers += [http_pb2.HttpHeader(name="set-cookie", value=cookie) for cookie in cookies]
        return http_pb2.HttpResponse(status=self.status, headers=headers, body=body)


def read(request: http_pb2.HttpRequest) -> Asked:
    """A request that somebody sent."""
    headers: dict[str, str] = {}
    for each in request.headers:
        headers.setdefault(each.name.lower(), each.value)
    posted = request.method == "POST"
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if posted and request.body and media_type != FORM:
        return Asked(request.method, headers, fault=f"The body must be {FORM}.")
    try:
        text = request.body.decode() if posted else request.query
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        return Asked(request.method, headers, fault="The parameters cannot be read.")
    if any("\0" in name or "\0" in value for name, value in pairs):
        return Asked(request.method, headers, fault="A parameter has a character that no text has.")
    counted = Counter(name for name, _ in pairs)
    repeated = [name for name, times in counted.items() if times > 1]
    given = {name: value for name, value in reversed(pairs) if value}
    return Asked(request.method, headers, given, repeated)
