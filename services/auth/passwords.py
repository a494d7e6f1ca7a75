"""Passwords: what is refused, and Argon2id in a bounded pool of threads."""

import asyncio
import math
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from chassis import errors
from services.auth import breached

T = TypeVar("T")

LENGTH_MIN = 12
# A hash takes a core and megabytes: two at a time leave the process its other work.
THREADS = 2
# At some 50 ms a hash the last in the queue waits a second and a half; more would only time out.
WAITING_MAX = 64
# A word of the account's that is shorter than this may stand in a password by chance.
_OWN_WORD_MIN = 4
_OURS = "switchyard"
# Argon2 takes no less memory.
_WORK_MIN = 8
# Few different characters are in every list.
_DIFFERENT_MIN = 5


def weaknesses(password: str, own: Iterable[str]) -> list[str]:
    """Why a password cannot be used; `own` are texts about the account. Empty: it can.

    Its length counts, and that nobody would guess it; the kinds of its characters do not (NIST SP 800-63B).
    """
    found = []
    if len(normalised(password)) < LENGTH_MIN:
        found.append(f"must have at least {LENGTH_MIN} characters")
    text = breached.folded(password)
    if len(set(text)) < _DIFFERENT_MIN or text.isdigit() or breached.known(password):
        found.append("is among the most common passwords")
    words = {word for each in (*own, _OURS) for word in re.split(r"\W+", breached.folded(each))}
    if any(word in text for word in words if len(word) >= _OWN_WORD_MIN):
        found.append("must not contain the name or the e-mail address")
    return found


def normalised(password: str) -> str:
    """A password as it is hashed: the same, whichever keyboard typed it."""
    return unicodedata.normalize("NFKC", password)


class Hasher:
    """Hashes and verifies away from the event loop."""

    def __init__(self, *, memory_kib: int, time_cost: int) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        # Verified when there is no account, so that its absence takes as long.
        self._nobody = self._argon2.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        return await self._run(lambda: self._argon2.hash(normalised(password)))

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the account's; as slow, and false, for no account at all."""
        return await self._run(lambda: self._verify(password, hashed or self._nobody)) and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made at another cost than new ones are."""
        return self._argon2.check_needs_rehash(hashed)

    def _verify(self, password: str, hashed: str) -> bool:
        try:
            return self._argon2.verify(hashed, normalised(password))
        except argon2.exceptions.VerifyMismatchError:
            self._make_up(self.lacking(hashed))
            return False

    def lacking(self, hashed: str) -> int:
        """How much less work a hash is than one that is made now, in KiB that are passed over."""
        kept, now = argon2.extract_parameters(hashed), argon2.extract_parameters(self._nobody)
        return max(now.memory_cost * now.time_cost - kept.memory_cost * kept.time_cost, 0)

    def _make_up(self, work: int) -> None:
        # Otherwise an account whose hash is from before the cost was raised would answer sooner than none.
        if work >= _WORK_MIN:
            passes = math.ceil(work / argon2.extract_parameters(self._nobody).memory_cost)
            argon2.PasswordHasher(time_cost=passes, memory_cost=work // passes, parallelism=1).hash("")

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            message = "too many people sign in at the moment"
            raise errors.Unavailable(message, retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
