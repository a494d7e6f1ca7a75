"""What a process does by itself, when something is in its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chassis import errors
from services.locks import work
from services.locks.tests.test_line import Process, key, two, until

__all__ = ["key", "two"]


class Contended:
    """A database in which others are always faster."""

    def __init__(self) -> None:
        self.tries = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self.tries += 1
        raise errors.Conflict(code="CONTENTION")
        yield


class TestTell:
    async def test_a_conflict_in_the_database_is_not_the_end_of_it(
        self, two: tuple[Process, Process], key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(work, "OTHERS_AFTER_S", 0.06)
        database: Any = Contended()
        telling = asyncio.create_task(work.tell(database, two[0].keeper))
        await two[0].acquire(key, two[0].wish(timeout_s=1))

        await until(lambda: telling.done() or database.tries > 1)

        assert not telling.done()
        telling.cancel()
