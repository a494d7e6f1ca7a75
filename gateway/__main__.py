"""`python -m gateway`."""

import asyncio

import uvloop

from chassis import telemetry
from gateway.process import Gateway
from gateway.settings import Settings


async def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    gateway = Gateway(settings)
    gateway.stop_on_signals(asyncio.get_running_loop())
    await gateway.run()


if __name__ == "__main__":
    loaded = Settings.load()
    telemetry.set_up("gateway", loaded)
    uvloop.run(main(loaded))
