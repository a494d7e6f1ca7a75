"""Serve, in one process, on uvloop and httptools, without an access log."""

import uvicorn

from bench.monolith.app import create_app
from bench.monolith.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    uvicorn.run(
        create_app(settings),
        host="127.0.0.1",
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
