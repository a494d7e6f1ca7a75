"""Streams that are being answered, and what ends them besides their own end.

A stream ends when the process drains, when the pass it began with is revoked, and, for whoever is no process of the
suite, when that pass ends at the latest: the reader comes back with a new one, so that no revocation which was lost
on its way leaves a stream open for longer.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf.message import Message

from chassis import clock, errors, revocation
from chassis.identity import Principal
from chassis.revocation import Revocation

# A reader is told to come back at once.
RETRY_AFTER_S: Final = 0.1


class Streams:
    """The streams of one server."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Future[errors.Error], frozenset[str]] = {}
        self._draining = False

    def drain(self) -> None:
        """End all streams: their readers turn to another instance."""
        self._draining = True
        for ended in tuple(self._open):
            _end(ended, _elsewhere())

    def revoke(self, revoked: Revocation) -> None:
        """End the streams of passes that are void."""
        for ended, marks in tuple(self._open.items()):
            if not marks.isdisjoint(revoked.marks):
                _end(ended, errors.Unauthenticated() if revoked.final else _again())

    async def until_ended(self, principal: Principal, replies: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """A stream's replies, until something ends it. Raises the `Error` that says what."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[errors.Error] = loop.create_future()
        self._open[ended] = revocation.marks(principal)
        if self._draining:
            _end(ended, _elsewhere())
        timer = None
        if principal.kind != "service" and principal.expires_at:
            timer = loop.call_later(principal.expires_at - clock.now().timestamp(), _end, ended, _again())
        following = None
        try:
            while True:
                following = asyncio.ensure_future(anext(replies))
                following.add_done_callback(_look_at)
                waiting: set[asyncio.Future[Any]] = {following, ended}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    raise ended.result()
                yield following.result()
        except StopAsyncIteration:
            return
        finally:
            del self._open[ended]
            ended.cancel()
            if timer is not None:
                timer.cancel()
            if following is not None:
                following.cancel()


def _look_at(following: "asyncio.Future[Message]") -> None:
    """Nobody asks any more what came of the last reply of a stream whose reader has gone."""
    if not following.cancelled():
        following.exception()


def _again() -> errors.Unavailable:
    return errors.Unavailable("the pass has ended: ask again with a new one", retry_after_s=RETRY_AFTER_S)


def _elsewhere() -> errors.Unavailable:
    return errors.Unavailable(retry_after_s=RETRY_AFTER_S)


def _end(ended: "asyncio.Future[errors.Error]", why: errors.Error) -> None:
    if not ended.done():
        ended.set_result(why)
