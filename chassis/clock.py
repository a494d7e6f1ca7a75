"""The time, in one place, so that a test can hold it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

_offset = timedelta()


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC) + _offset


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Let `now` run ahead (or behind) by a difference, for tests; nests."""
    global _offset  # noqa: PLW0603 - the one place where time is held
    _offset += by
    try:
        yield
    finally:
        _offset -= by
