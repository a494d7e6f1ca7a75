"""Passwords: what is refused, and Argon2id in a bounded pool of threads."""

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from chassis import errors

T = TypeVar("T")

LENGTH_MIN = 12
# A hash takes a core and megabytes: two at a time leave the process its other work.
THREADS = 2
# At some 50 ms a hash the last in the queue waits a second and a half; more would only time out.
WAITING_MAX = 64
# A word of the account's that is shorter than this may stand in a password by chance.
_OWN_WORD_MIN = 4
# The long ones among the most common passwords, as letters alone: digits and signs around them add nothing.
_COMMON_WORDS = """
password passwordpassword passw mypassword thepassword iloveyou iloveyouforever qwertyuiop qwertyuiopasdfghjkl
qwertyuiopasdfghjklzxcvbnm qwerty qwertyqwerty qwertyasdfgh asdfghjkl zxcvbnm asdfghjklzxcvbnm administrator admin
adminadmin welcome welcomewelcome letmein letmeinplease changeme changemeplease unbelievable sunshine princess
football baseball superman batman trustno dragon monkey master abc abcd abcdef abcdefgh abcdefghijkl abcabc
starwars whatever secret secretsecret default user test testtest testtesttest guest login summer winter spring
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def weaknesses(password: str, own: Iterable[str]) -> list[str]:
    """Why a password cannot be used; `own` are texts about the account. Empty: it can."""
    found = []
    if len(password) < LENGTH_MIN:
        found.append(f"must have at least {LENGTH_MIN} characters")
    lowered = password.lower()
    letters = re.sub(r"[^a-z]", "", lowered)
    if (letters in _COMMON and 2 * len(letters) >= len(password)) or _is_dull(lowered):
        found.append("is among the most common passwords")
    words = {word for text in own for word in re.split(r"[^\w]+", text.lower()) if len(word) >= _OWN_WORD_MIN}
    if any(word in lowered for word in words):
        found.append("must not contain the name or the e-mail address")
    return found


def _is_dull(password: str) -> bool:
    # Few different characters, or nothing but digits, are in every list.
    return len(set(password)) < 5 or password.isdigit()  # noqa: PLR2004


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
        return await self._run(lambda: self._argon2.hash(password))

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the account's; as slow, and false, for no account at all."""
        return await self._run(lambda: self._verify(password, hashed or self._nobody)) and hashed is not None

    def _verify(self, password: str, hashed: str) -> bool:
        try:
            return self._argon2.verify(hashed, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            message = "too many people sign in at the moment"
            raise errors.Unavailable(message, retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
