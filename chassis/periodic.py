"""Work that is done again and again."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from chassis import errors

log = structlog.get_logger()


async def every(interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` every `interval_s` seconds, give or take a tenth, until cancelled; a failure is logged."""
    while True:
        try:
            await work()
        except errors.Error as failure:
            # What is away comes back; it needs no stack.
            log.warning("periodic_work_delayed", work=getattr(work, "__qualname__", repr(work)), error=repr(failure))
        except Exception:
            log.exception("periodic_work_failed", work=getattr(work, "__qualname__", repr(work)))
        # Spread, so that many processes do not wake as one.
        await asyncio.sleep(interval_s * random.uniform(0.9, 1.1))  # noqa: S311
