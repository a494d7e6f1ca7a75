"""The operations listener of every process: `/healthz` (alive), `/readyz` (dependencies), `/metrics` (Prometheus).

It is never the public listener.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

# A probe that asks has seconds; a dependency that does not answer within one is not there.
CHECK_S: Final = 1.0

Check = Callable[[], Awaitable[bool]]


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process that owns it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Operations:
    """Serves the operations endpoints. `checks` are the dependencies by name."""

    def __init__(self, checks: Mapping[str, Check], *, host: str, port: int) -> None:
        self._checks = checks
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]
        # Access logs of probes are noise.
        config = uvicorn.Config(
            Starlette(routes=routes), host=host, port=port, log_config=None, access_log=False, lifespan="off"
        )
        self._server = _Server(config)

    def start(self) -> None:
        """Serve until `stop`."""
        self._serving = asyncio.create_task(self._server.serve())

    async def stop(self) -> None:
        """Stop serving and close the listener."""
        self._server.should_exit = True
        await self._serving

    async def _healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _request: Request) -> Response:
        held = await asyncio.gather(*(_holds(check) for check in self._checks.values()))
        states = dict(zip(self._checks, held, strict=True))
        return JSONResponse(states, status_code=200 if all(held) else 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _holds(check: Check) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CHECK_S):
            return await check()
    return False
