"""One process of the run: `services.locks` as it is, but for who signs passes and a clock that can be stepped.

Where it is shown that the suite would notice, one of its promises is taken out of it, here and nowhere else.
"""

import ctypes
import importlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey
from nats.aio.client import Client
from nats.js.api import Header
from switchyard.locks.v1.stored_pb2 import StoredLock
from uuid_utils.compat import uuid7

from chassis import clock, fencing, identity, testing
from services.locks import deadlocks, keeper, line, locks, work

_PR_SET_PDEATHSIG = 1
# Of a pass: much longer than any step of a clock, in both directions.
_PASS_LIFE_S = 10 * 24 * 3600
FENCE, COMPARE = "without the fence", "without the compare-and-set"
MONOTONIC = "without the monotonic clock"
LINE, CIRCLES = "without the order of the line", "without the search for circles"
MUTATIONS = (FENCE, COMPARE, MONOTONIC, LINE, CIRCLES)


@dataclass(frozen=True)
class Told:
    """What a process of the run is told. `clock_s` is shared memory: how far its wall clock is off."""

    name: str
    log: Path
    key: Mapping[str, Any]
    environment: Mapping[str, str]
    clock_s: Any = None
    without: str = ""


def begin(told: Told) -> None:
    """Be a process of its own: end with the one that started it, and write to a file."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    log = os.open(told.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(told.environment)
    if told.without == FENCE:
        fencing.fenced = _nothing
    if told.without == COMPARE:
        _compare_no_more()


async def _nothing(*_arguments: object, **_more: object) -> None:
    """Instead of the fence."""


def _compare_no_more() -> None:
    publish = Client.publish

    async def without(self: Client, *arguments: Any, headers: Any = None, **more: Any) -> None:
        kept = {name: value for name, value in (headers or {}).items() if name != Header.EXPECTED_LAST_SUBJECT_SEQUENCE}
        await publish(self, *arguments, headers=kept or None, **more)

    Client.publish = without  # type: ignore[method-assign]


def serve(told: Told) -> None:
    """Be a process of `locks`."""
    begin(told)
    _step_with(told.clock_s)
    key = OKPKey.import_key(dict(told.key))
    testing.signing_key = lambda: key  # type: ignore[assignment]
    wiring = importlib.import_module("services.locks.__main__")
    if told.without == MONOTONIC:
        for module in (keeper, line, work):
            module.time = SimpleNamespace(monotonic=time.time)  # type: ignore[assignment]
    if told.without == LINE:
        _last_first()
    if told.without == CIRCLES:
        deadlocks.find = lambda _: []
    testing.TestedService("locks", wiring.ServiceSettings.load(), {}).run(wiring.build)


def _last_first() -> None:
    promote = locks.promote

    def backwards(lock: StoredLock, now: datetime) -> None:
        if lock.waiters:
            lock.waiters.insert(0, lock.waiters.pop())
        promote(lock, now)

    locks.promote = backwards


def _step_with(offset_s: Any) -> None:
    """Both ways in which the time of day is asked for follow the shared offset."""
    real_time, real_now = time.time, clock.now
    time.time = lambda: real_time() + offset_s.value
    clock.now = lambda: real_now() + timedelta(seconds=offset_s.value)


def pass_of(principal: identity.Principal, key: OKPKey) -> str:
    """A pass that no step of a clock ends."""
    now = int(time.time())
    claims = {
        "iss": identity.ISSUER,
        "aud": identity.AUDIENCE,
        "sub": principal.id,
        "knd": principal.kind,
        "tid": str(principal.tenant_id),
        "sid": str(uuid7()),
        "rol": ["admin"],
        "prm": sorted(principal.permissions),
        "sit": [],
        "act": "",
        "imp": "",
        "aut": now,
        "ims": now * 1000,
        "iat": now - _PASS_LIFE_S,
        "exp": now + _PASS_LIFE_S,
    }
    return jwt.encode({"alg": identity.ALGORITHM, "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=["Ed25519"])
