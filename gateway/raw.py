"""Methods whose protocol is somebody else's: they are given the request as it came and say what is answered.

Such a method takes `switchyard.common.v1.HttpRequest` and answers `HttpResponse`. The gateway keeps what is its own:
size and rate, the connection, CORS. What proves who sent the request is for the method to check, unless its policy
asks for a pass besides.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import structlog
from switchyard.common.v1 import http_pb2

from gateway.errors import Problem
from gateway.headers import CACHE, POLICY, SECURITY, Raw

# Of the connection and not of the request (RFC 9110, section 7.6.1).
_CONNECTION: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What the suite says to itself beside its calls begins so: a client's header of such a name goes no further.
_OURS: Final = b"switchyard-"
# Said by the gateway alone, of every answer.
_GATEWAYS: Final = frozenset(
    {
        *_CONNECTION,
        *(b"content-length", b"date", b"server", b"server-timing", b"x-request-id", b"ratelimit", b"ratelimit-policy"),
    }
)
_CORS: Final = b"access-control-"
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
# A line end in a value would begin another header.
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
STATUS_MIN, STATUS_MAX = 200, 599
_WITHOUT_BODY: Final = frozenset({204, 304})

log = structlog.get_logger()


def request(verb: str, path: str, query: str, headers: Iterable[Raw], body: bytes) -> http_pb2.HttpRequest:
    """The request as the client sent it."""
    given = list(headers)
    named = {
        each.strip().lower() for name, value in given if name == b"connection" for each in value.split(b",")
    } | _CONNECTION
    return http_pb2.HttpRequest(
        method=verb,
        path=path,
        query=query,
        headers=[
            http_pb2.HttpHeader(name=name.decode("latin-1"), value=value.decode("latin-1"))
            for name, value in given
            if name not in named and not name.startswith(_OURS)
        ],
        body=body,
    )


def answer(response: http_pb2.HttpResponse, method: str) -> tuple[int, list[Raw], bytes]:
    """Status, headers and body of an answer. Raises `Problem` for one that HTTP has no form for."""
    status = response.status or 200
    if not STATUS_MIN <= status <= STATUS_MAX:
        log.error("raw_answer_refused", method=method, status=status)
        raise Problem("INTERNAL")
    try:
        headers = list(_headers(response))
    except ValueError as refusal:
        log.error("raw_answer_refused", method=method, why=str(refusal))  # noqa: TRY400 -- the reason is the message
        raise Problem("INTERNAL") from None
    given = {name for name, _ in headers}
    headers += [each for each in (POLICY, CACHE) if each[0] not in given]
    return status, headers, b"" if status in _WITHOUT_BODY else response.body


def security(headers: Iterable[Raw]) -> Iterator[Raw]:
    """The security headers of every answer that this one does not say itself."""
    given = {name for name, _ in headers}
    return (each for each in SECURITY if each[0] not in given)


def _headers(response: http_pb2.HttpResponse) -> Iterator[Raw]:
    """Raises ValueError for what is no header."""
    for each in response.headers:
        name, value = each.name.lower().encode("ascii"), each.value.encode("latin-1")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"not a header: {each.name!r}")
        if name not in _GATEWAYS and not name.startswith(_CORS):
            yield name, value
