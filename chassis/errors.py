"""One tree of errors. Raise anywhere; each edge translates once.

Every class carries its gRPC status and its stable code. On the wire an error is a `google.rpc.Status` with
`ErrorInfo` (reason = code), `BadRequest` (messages per field) and `RetryInfo`; our own
clients get the same class back.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "switchyard"
# What of the metadata says which method refused the pass itself: of that method nothing has been done.
REFUSED_BY = "refused_by"

Fields = Mapping[str, Sequence[str]]


class Error(Exception):
    """What a caller may know of a failure. Anything else that is raised is a bug and shown as an internal error.

    `fields` maps a field path to messages; `metadata` goes into `ErrorInfo`; `retry_after_s` is in seconds.
    """

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_code: ClassVar[str] = "INTERNAL"
    default_message: ClassVar[str] = "internal error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        fields: Fields | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.code = code or self.default_code
        self.fields = {path: list(messages) for path, messages in (fields or {}).items()}
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class NotFound(Error):
    """No such thing, or it is another tenant's: the two answers are identical."""

    status = grpc.StatusCode.NOT_FOUND
    default_code = "NOT_FOUND"
    default_message = "not found"


class Invalid(Error):
    """The request breaks a rule of its fields."""

    status = grpc.StatusCode.INVALID_ARGUMENT
    default_code = "VALIDATION_FAILED"
    default_message = "the request is not valid"


class Unauthenticated(Error):
    """No credential, a bad one, or (code `TOKEN_EXPIRED`) one that has ended."""

    status = grpc.StatusCode.UNAUTHENTICATED
    default_code = "UNAUTHENTICATED"
    default_message = "a valid credential is required"


class Denied(Error):
    """The principal may not do this."""

    status = grpc.StatusCode.PERMISSION_DENIED
    default_code = "PERMISSION_DENIED"
    default_message = "permission denied"

    @classmethod
    def missing(cls, permission: str, *, field: str | None = None) -> "Denied":
        """The denial for want of one permission, on the call as a whole or on one field of it."""
        fields = {"permission": [permission]} if field is None else {field: [f"requires {permission}"]}
        return cls(f"permission {permission} is required", fields=fields, metadata={"permission": permission})


class Conflict(Error):
    """A business rule stands in the way; give it a code of its own."""

    status = grpc.StatusCode.ABORTED
    default_code = "CONFLICT"
    default_message = "the request conflicts with the current state"


class LeaseLost(Conflict):
    """The lease of a lock has ended: what is done under it may not be alone."""

    default_code = "LEASE_LOST"
    default_message = "the lease has ended or is not yours"


class AlreadyExists(Error):
    """A unique value is taken."""

    status = grpc.StatusCode.ALREADY_EXISTS
    default_code = "ALREADY_EXISTS"
    default_message = "already exists"


class FailedPrecondition(Error):
    """The state or the request's own conditions do not allow it."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    default_code = "FAILED_PRECONDITION"
    default_message = "a precondition failed"


class InvalidTransition(FailedPrecondition):
    """A state machine does not allow this move."""

    default_code = "INVALID_STATE_TRANSITION"

    @classmethod
    def between(cls, current: str, wanted: str, allowed: Sequence[str]) -> "InvalidTransition":
        """The refusal of one move, with the moves that are legal."""
        metadata = {"allowed_transitions": ",".join(allowed)}
        return cls(f"cannot go from {current} to {wanted}", metadata=metadata)


class StaleVersion(FailedPrecondition):
    """`If-Match` names a version that is no longer the current one."""

    default_code = "STALE_VERSION"
    default_message = "the resource has changed since it was read"


class Exhausted(Error):
    """Over a limit."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_code = "RATE_LIMITED"
    default_message = "too many requests"


class Unavailable(Error):
    """Something that is needed is down; trying again may help."""

    status = grpc.StatusCode.UNAVAILABLE
    default_code = "UNAVAILABLE"
    default_message = "the service is not available at the moment"


class DeadlineExceeded(Error):
    """It took too long; the outcome is unknown."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED
    default_code = "DEADLINE_EXCEEDED"
    default_message = "the request took too long"


class Internal(Error):
    """A bug, of which a caller is told nothing."""


_BY_STATUS: Mapping[grpc.StatusCode, type[Error]] = {
    kind.status: kind
    for kind in (
        NotFound,
        Invalid,
        Unauthenticated,
        Denied,
        Conflict,
        AlreadyExists,
        FailedPrecondition,
        Exhausted,
        Unavailable,
        DeadlineExceeded,
    )
} | {
    # A server that ends before it has answered: what became of the call is not known.
    grpc.StatusCode.CANCELLED: Unavailable
}
_BY_CODE: dict[str, type[Error]] = {kind.default_code: kind for kind in (InvalidTransition, StaleVersion, LeaseLost)}


def to_status(error: Error) -> status_pb2.Status:
    """The error as it travels."""
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata=error.metadata)
    details = [_pack(info)]
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=path, description=message)
            for path, messages in error.fields.items()
            for message in messages
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    if error.retry_after_s is not None:
        delay = Duration(nanos=0)
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    number: int = error.status.value[0]
    return status_pb2.Status(code=number, message=error.message, details=details)


def from_rpc_error(failure: grpc.RpcError) -> Error:
    """The class that was raised at the other end, or the nearest to the status of a failed connection."""
    assert isinstance(failure, grpc.aio.AioRpcError)
    code, metadata, retry_after_s = None, {}, None
    fields: dict[str, list[str]] = {}
    # A stub: from_call accepts what has code, details and trailing metadata; AioRpcError has all three.
    status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    for detail in status.details if status else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            code, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            for violation in bad.field_violations:
                fields.setdefault(violation.field, []).append(violation.description)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(failure.code(), Internal)
    message = failure.details() if status else None
    return kind(message, code=code, fields=fields, metadata=metadata, retry_after_s=retry_after_s)


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
