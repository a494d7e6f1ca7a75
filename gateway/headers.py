"""The headers of a request: read once, checked, and handed on as a call's circumstances; and those of every answer."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from uuid_utils import uuid7

from chassis import telemetry
from chassis.rpc import metadata
from gateway.backends import Told
from gateway.errors import invalid
from gateway.passes import Asked

AUDIT_CONTEXT_LEN_MAX: Final = 2048
# What is kept of a user agent: the names come first, what follows tells nobody anything.
USER_AGENT_LEN_MAX: Final = 512
# Preflights are asked again after this, in seconds; browsers cap it at two hours anyway.
PREFLIGHT_AGE_S: Final = 7200

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_ETAG: Final = re.compile(rb'"(\d{1,18})"')

SECURITY: Final = (
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# No answer is a page; `/docs`, which is one, has a policy of its own.
POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# An answer is kept by nobody unless its contract says so.
CACHE: Final = (b"cache-control", b"no-store")
_EXPOSED: Final = (
    b"X-Request-ID, RateLimit, RateLimit-Policy, ETag, Location, Retry-After, Server-Timing, Idempotency-Replayed"
)
_ALLOWED: Final = (
    b"Authorization, Content-Type, X-Tenant-ID, X-Site-ID, Idempotency-Key, If-Match, If-None-Match, X-Request-ID, "
    b"X-Audit-Context, traceparent"
)
_VERBS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"

Raw = tuple[bytes, bytes]


class Head:
    """What stands above a request's body. `all` are its headers as they came, `told` the same by lower-case name."""

    __slots__ = ("address", "all", "request_id", "told", "traceparent")

    def __init__(self, scope: Mapping[str, Any], sample_ratio: float) -> None:
        self.all: list[Raw] = scope["headers"]
        self.told: dict[bytes, bytes] = dict(self.all)
        given = self.told.get(b"x-request-id", b"")
        self.request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid7())
        parent = self.told.get(b"traceparent")
        self.traceparent = telemetry.begin_trace(parent.decode("latin-1") if parent else None, sample_ratio)
        client = scope["client"]
        self.address: str = client[0] if client else ""

    @property
    def trace_id(self) -> str:
        """The trace id in hex."""
        return self.traceparent[3:35]

    @property
    def if_none_match(self) -> str:
        """The `If-None-Match` header, or nothing."""
        return self.told.get(b"if-none-match", b"").decode("latin-1")

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return self.told.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.told

    def asked(self, credential: str = "") -> Asked | None:
        """The credential (`Authorization`, unless given), tenant and site; None without one. Raises `Problem`."""
        credential = credential or _bearer(self.told.get(b"authorization", b""))
        if not credential:
            return None
        return asked(credential, self.told.get(b"x-tenant-id", b""), self.told.get(b"x-site-id", b""))

    def circumstances(self, carried: tuple[str, str] | None, *, conditions: bool = True) -> Told:
        """The metadata of the call; `carried` is the pass. Raises `Problem` for headers that are malformed.

        Without `conditions`, what `If-Match` and the like mean is left to whoever reads the headers themselves.
        """
        told: list[tuple[str, str | bytes]] = [
            (metadata.REQUEST_ID, self.request_id),
            (metadata.TRACEPARENT, telemetry.traceparent.get()),
            (metadata.ADDRESS, self.address),
        ]
        if carried is not None:
            told.append(carried)
        headers = self.told
        agent = headers.get(b"user-agent")
        if agent:
            told.append((metadata.USER_AGENT, agent[:USER_AGENT_LEN_MAX]))
        # Most requests have none of these.
        if conditions and not _CONDITIONS.isdisjoint(headers):
            told += self._conditions()
        return tuple(told)

    def _conditions(self) -> Iterable[tuple[str, str | bytes]]:
        key = self.told.get(b"idempotency-key")
        if key is not None:
            if not _IDEMPOTENCY_KEY.fullmatch(key):
                raise invalid({"Idempotency-Key": ["must be 1 to 255 printable characters"]})
            yield metadata.IDEMPOTENCY_KEY, key.decode()
        match = self.told.get(b"if-match")
        if match is not None and match != b"*":
            found = _ETAG.fullmatch(match)
            if found is None:
                raise invalid({"If-Match": ['must be the ETag of a read, such as "3"']})
            yield metadata.EXPECTED_VERSION, found.group(1).decode()
        context = self.told.get(b"x-audit-context")
        if context is not None:
            if len(context) > AUDIT_CONTEXT_LEN_MAX or not _is_object(context):
                raise invalid({"X-Audit-Context": [f"must be a JSON object of at most {AUDIT_CONTEXT_LEN_MAX} bytes"]})
            yield metadata.AUDIT_CONTEXT, context


_CONDITIONS: Final = frozenset({b"idempotency-key", b"if-match", b"x-audit-context"})


def asked(credential: str, tenant: bytes, site: bytes) -> Asked:
    """What a client shows. Raises `Problem` when tenant or site are not UUIDs."""
    wrong = {
        name: ["must be a UUID"]
        for name, value in (("X-Tenant-ID", tenant), ("X-Site-ID", site))
        if value and not _UUID.fullmatch(value)
    }
    if wrong:
        raise invalid(wrong)
    return Asked(credential, tenant.decode().lower(), site.decode().lower())


class Origins:
    """Pages of which origins may call from a browser."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._answers: dict[bytes, tuple[Raw, ...]] = {
            origin.encode(): (
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", _EXPOSED),
                (b"vary", b"Origin"),
            )
            for origin in origins
        }

    def answer(self, head: Head) -> tuple[Raw, ...]:
        """The headers that let the page read the answer, if its origin may."""
        if not self._answers:
            return ()
        return self._answers.get(head.told.get(b"origin", b""), _VARIES)

    def preflight(self, head: Head) -> tuple[Raw, ...] | None:
        """The headers, beside those of every answer, that let the page send its request; None for no preflight."""
        if b"access-control-request-method" not in head.told or b"origin" not in head.told:
            return None
        if head.told[b"origin"] not in self._answers:
            return ()
        return (
            (b"access-control-allow-methods", _VERBS),
            (b"access-control-allow-headers", _ALLOWED),
            (b"access-control-max-age", b"%d" % PREFLIGHT_AGE_S),
        )


# A cache must not give the answer for one origin to another.
_VARIES: Final[tuple[Raw, ...]] = ((b"vary", b"Origin"),)


def _bearer(authorization: bytes) -> str:
    scheme, _, credential = authorization.partition(b" ")
    return credential.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
