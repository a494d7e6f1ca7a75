"""Bodies: JSON, of a bounded size, within a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from gateway.errors import Problem
from gateway.headers import Head

BODY_LEN_MAX: Final = 1024 * 1024
# A declared length up to this is read and thrown away, so that the client hears the answer; beyond it, or when nobody
# knows how much is to come, the connection is closed.
DISCARDED_LEN_MAX: Final = 8 * BODY_LEN_MAX
DEADLINE_S: Final = 30.0

_JSON: Final = frozenset({b"application/json", b"application/merge-patch+json"})
_CLOSE: Final = {"connection": "close"}


def check(head: Head, *, takes_body: bool, of_any_type: bool = False) -> None:
    """Judge a body by its headers. Raises `Problem`."""
    if not head.has_body:
        return
    declared = head.told.get(b"content-length", b"")
    # The server has refused what is not a number.
    if declared and int(declared) > BODY_LEN_MAX:
        raise Problem("BODY_TOO_LARGE", headers=_CLOSE if int(declared) > DISCARDED_LEN_MAX else None)
    if not takes_body or of_any_type:
        return
    media_type = head.told.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type not in _JSON:
        raise Problem("UNSUPPORTED_MEDIA_TYPE")
    if head.told.get(b"content-encoding", b"identity") != b"identity":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "the body must not be compressed")


async def read(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> bytes:
    """The whole body. Raises `Problem`."""
    message = await _next(receive)
    body: bytes = message["body"]
    if not message["more_body"]:
        return _bounded(body)
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await _rest(receive, bytearray(body))
    except TimeoutError:
        raise Problem("DEADLINE_EXCEEDED", "the body took too long", headers=_CLOSE) from None


async def _rest(receive: Callable[[], Awaitable[MutableMapping[str, Any]]], parts: bytearray) -> bytes:
    """Read to the end; what is over the limit is thrown away, since a client that writes does not hear an answer."""
    read = len(parts)
    while True:
        message = await _next(receive)
        read += len(message["body"])
        if read <= BODY_LEN_MAX:
            parts += message["body"]
        if not message["more_body"]:
            break
        if read > DISCARDED_LEN_MAX:
            raise Problem("BODY_TOO_LARGE", headers=_CLOSE)
    if read > BODY_LEN_MAX:
        raise Problem("BODY_TOO_LARGE")
    return bytes(parts)


async def _next(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> MutableMapping[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        # Nobody reads the answer.
        raise Problem("UNAVAILABLE")
    return message


def _bounded(body: bytes) -> bytes:
    if len(body) > BODY_LEN_MAX:
        raise Problem("BODY_TOO_LARGE")
    return body
