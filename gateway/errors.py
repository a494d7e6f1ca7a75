"""What went wrong, in HTTP: the only table of HTTP codes for failures.

A gRPC status with `google.rpc` details becomes a problem document (RFC 9457); the gateway's own refusals are the same
class. A message is shown only where whoever raised it meant it for a client.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import grpc
import orjson
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from chassis.errors import REFUSED_BY
from chassis.policy import STEP_UP_S

MEDIA_TYPE: Final = "application/problem+json"
CHALLENGE: Final = 'Bearer realm="switchyard"'
# Long enough for a sentence that helps; a longer one is a dump of something.
MESSAGE_LEN_MAX: Final = 500
# What a client is told to wait when nobody said how long: an instance is replaced within about this time.
RETRY_AFTER_S: Final = 1.0

Details = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means in HTTP. `message` is what a client reads unless something better is known."""

    status: HTTPStatus
    title: str
    message: str
    retryable: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "VALIDATION_FAILED": Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed", "the request is not valid"),
    "NOT_FOUND": Kind(HTTPStatus.NOT_FOUND, "Not found", "not found"),
    "METHOD_NOT_ALLOWED": Kind(
        HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", "the path exists, but not for this method"
    ),
    "UNSUPPORTED_MEDIA_TYPE": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", "the body must be application/json"
    ),
    "BODY_TOO_LARGE": Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large", "the body is over the limit"),
    "URI_TOO_LONG": Kind(HTTPStatus.REQUEST_URI_TOO_LONG, "URI too long", "the path or the query is over the limit"),
    "UNAUTHENTICATED": Kind(HTTPStatus.UNAUTHORIZED, "Unauthenticated", "a valid credential is required"),
    "TOKEN_EXPIRED": Kind(HTTPStatus.UNAUTHORIZED, "Token expired", "the credential has expired"),
    "STEP_UP_REQUIRED": Kind(HTTPStatus.UNAUTHORIZED, "Step-up required", "a factor must be shown again"),
    "TENANT_SUSPENDED": Kind(HTTPStatus.FORBIDDEN, "Tenant suspended", "the tenant is suspended"),
    "IMPERSONATION_FORBIDDEN": Kind(
        HTTPStatus.FORBIDDEN, "Impersonation forbidden", "this cannot be done in another person's name"
    ),
    "PERMISSION_DENIED": Kind(HTTPStatus.FORBIDDEN, "Permission denied", "permission denied"),
    "ALREADY_EXISTS": Kind(HTTPStatus.CONFLICT, "Already exists", "already exists"),
    "CONFLICT": Kind(HTTPStatus.CONFLICT, "Conflict", "the request conflicts with the current state", retryable=True),
    "FAILED_PRECONDITION": Kind(HTTPStatus.CONFLICT, "Failed precondition", "the current state does not allow it"),
    "STALE_VERSION": Kind(
        HTTPStatus.PRECONDITION_FAILED, "Stale version", "the resource has changed since it was read"
    ),
    "PRECONDITION_REQUIRED": Kind(
        HTTPStatus.PRECONDITION_REQUIRED, "Precondition required", "an If-Match header is required"
    ),
    "IDEMPOTENCY_KEY_REQUIRED": Kind(
        HTTPStatus.BAD_REQUEST, "Idempotency key required", "an Idempotency-Key header is required"
    ),
    "IDEMPOTENCY_KEY_REUSED": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Idempotency key reused", "the key was used with another payload"
    ),
    "IDEMPOTENCY_KEY_IN_USE": Kind(
        HTTPStatus.CONFLICT, "Still running", "the first request with this key is still running", retryable=True
    ),
    "RATE_LIMITED": Kind(HTTPStatus.TOO_MANY_REQUESTS, "Rate limited", "too many requests", retryable=True),
    "OVERLOADED": Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Overloaded", "the service is shedding load", retryable=True),
    "UNAVAILABLE": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Unavailable", "the service is not available at the moment", retryable=True
    ),
    "DEADLINE_EXCEEDED": Kind(
        HTTPStatus.GATEWAY_TIMEOUT, "Deadline exceeded", "the request took too long", retryable=True
    ),
    "INTERNAL": Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", "internal error"),
}

_CODES: Final[Mapping[int, str]] = {
    status.value[0]: code
    for status, code in {
        grpc.StatusCode.INVALID_ARGUMENT: "VALIDATION_FAILED",
        grpc.StatusCode.OUT_OF_RANGE: "VALIDATION_FAILED",
        grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
        grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
        grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
        grpc.StatusCode.ALREADY_EXISTS: "ALREADY_EXISTS",
        grpc.StatusCode.ABORTED: "CONFLICT",
        grpc.StatusCode.FAILED_PRECONDITION: "FAILED_PRECONDITION",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "RATE_LIMITED",
        grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
        grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
        # The route was announced, so the method exists: an instance that does not know it is of another version,
        # and the next one tried may answer.
        grpc.StatusCode.UNIMPLEMENTED: "UNAVAILABLE",
        # Ours only when the client has gone, and then nobody reads the answer; a service that gives up by itself
        # is going down.
        grpc.StatusCode.CANCELLED: "UNAVAILABLE",
    }.items()
}
# The gRPC library raises these by itself, with addresses and stack words in the message: shown only with `ErrorInfo`.
_LIBRARY_SPEAKS: Final = frozenset(
    status.value[0]
    for status in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_SUBSCRIPT = re.compile(r'\["?([^\]"]*)"?\]')


class Problem(Exception):
    """An answer that is not a success. Raise it anywhere below `app.py`, which answers with it.

    `details` maps a field path to messages; `retry_after_s` is in seconds; `headers` are added to the answer;
    `refused_by` is the method, by its gRPC path, that refused the pass and has done nothing.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        kind: Kind | None = None,
        details: Details | None = None,
        retry_after_s: float | None = None,
        allowed_transitions: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.kind = kind or KINDS[code]
        self.message = message or self.kind.message
        self.details: dict[str, list[str]] = {path: list(texts) for path, texts in (details or {}).items()}
        self.retry_after_s = retry_after_s
        self.refused_by = ""
        self.allowed_transitions = None if allowed_transitions is None else list(allowed_transitions)
        self._headers = dict(headers or {})
        super().__init__(f"{code}: {self.message}")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.kind.status)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to this problem, in lower case, with the media type."""
        found = {"content-type": MEDIA_TYPE, **self._headers}
        if self.kind.status is HTTPStatus.UNAUTHORIZED:
            found.setdefault("www-authenticate", _challenge(self.code))
        wait_s = self.retry_after_s
        if wait_s is None and self.kind.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
            wait_s = RETRY_AFTER_S
        if wait_s is not None:
            found["retry-after"] = str(max(1, math.ceil(wait_s)))
        return found

    def body(self, *, request_id: str, trace_id: str) -> bytes:
        """The problem document."""
        document: dict[str, object] = {
            "type": f"urn:switchyard:problem:{self.code.lower().replace('_', '-')}",
            "title": self.kind.title,
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "request_id": request_id,
            "trace_id": trace_id,
            "retryable": self.kind.retryable,
        }
        if self.allowed_transitions is not None:
            document["allowed_transitions"] = self.allowed_transitions
        return orjson.dumps(document)


def invalid(details: Details, message: str | None = None) -> Problem:
    """The request itself is wrong; `details` says where."""
    return Problem("VALIDATION_FAILED", message, details=details)


def method_not_allowed(allowed: Iterable[str]) -> Problem:
    """The path exists for other methods."""
    return Problem("METHOD_NOT_ALLOWED", headers={"allow": ", ".join(sorted(allowed))})


def permission_denied(permission: str) -> Problem:
    """The caller lacks one permission."""
    return Problem("PERMISSION_DENIED", f"permission {permission} is required", details={"permission": [permission]})


def from_rpc(number: int, message: str, packed: bytes | None, *, body: str = "") -> Problem:
    """The problem of a failed call.

    `number` is the gRPC status; `packed` the metadata `grpc-status-details-bin`; `body` the binding's body selector,
    whose name clients do not know and which is therefore taken off field paths.
    """
    info, violations, retry_after_s = _unpack(packed)
    standard = _CODES.get(number)
    if standard is None:
        return Problem("INTERNAL")
    reason = info.reason if info is not None and _REASON.fullmatch(info.reason) else standard
    kind = KINDS.get(reason) or _business(reason, KINDS[standard], retryable=retry_after_s is not None)
    speaks = info is not None or number not in _LIBRARY_SPEAKS
    metadata = dict(info.metadata) if info is not None else {}
    details: dict[str, list[str]] = {}
    for path, text in violations:
        details.setdefault(_client_path(path, body), []).append(text)
    if "permission" in metadata and not details:
        details["permission"] = [metadata["permission"]]
    allowed = metadata.get("allowed_transitions")
    found = Problem(
        reason,
        message[:MESSAGE_LEN_MAX] if speaks and message else None,
        kind=kind,
        details=details,
        retry_after_s=retry_after_s,
        allowed_transitions=None if allowed is None else [step for step in allowed.split(",") if step],
    )
    found.refused_by = metadata.get(REFUSED_BY, "")
    return found


def _business(reason: str, standard: Kind, *, retryable: bool) -> Kind:
    """A code of a service's own: the status of its class and a title of its own.

    A rule still stands when the call is repeated at once; only who says how long to wait means that it may pass.
    """
    retryable = retryable or (standard.retryable and standard.status is not HTTPStatus.CONFLICT)
    return Kind(standard.status, reason.replace("_", " ").capitalize(), standard.message, retryable=retryable)


def _unpack(packed: bytes | None) -> tuple[error_details_pb2.ErrorInfo | None, list[tuple[str, str]], float | None]:
    info, violations, retry_after_s = None, [], None
    try:
        status = status_pb2.Status.FromString(packed or b"")
        for detail in status.details:
            name = detail.TypeName()
            if name == "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
            elif name == "google.rpc.BadRequest":
                found = error_details_pb2.BadRequest.FromString(detail.value)
                violations += [(each.field, each.description) for each in found.field_violations]
            elif name == "google.rpc.RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                retry_after_s = delay.seconds + delay.nanos / 1e9
    except DecodeError:
        # A foreign service packs what it likes: the status alone still says enough.
        return None, [], None
    return info, violations, retry_after_s


def _client_path(path: str, body: str) -> str:
    """A field path as the client wrote it: `item.lines[0].quantity` of the body `item` is `lines.0.quantity`."""
    dotted = _SUBSCRIPT.sub(r".\1", path)
    if body in {"", "*"}:
        return dotted
    if dotted == body:
        return "body"
    return dotted.removeprefix(f"{body}.")


def _challenge(code: str) -> str:
    if code == "TOKEN_EXPIRED":
        return f'{CHALLENGE}, error="invalid_token", error_description="the token has expired"'
    if code == "STEP_UP_REQUIRED":
        # RFC 9470.
        return f'Bearer error="insufficient_user_authentication", max_age={STEP_UP_S}'
    return CHALLENGE
