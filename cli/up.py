"""`switchyard up`: run the suite until Ctrl-C."""

import asyncio
import signal
import sys

from rich.table import Table

from chassis.embedded import EmbeddedServersError
from cli import api, console, demo, environment, system
from cli.run_dir import RunDir


def run(run_dir: RunDir, *, nats_nodes: int) -> int:
    """Run until SIGINT or SIGTERM and return the exit code."""
    return asyncio.run(_run(run_dir, nats_nodes))


async def _run(run_dir: RunDir, nats_nodes: int) -> int:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop.set)
    suite = system.System(run_dir, nats_nodes)
    starting = asyncio.create_task(_start(suite))
    waiting = asyncio.create_task(asked_to_stop.wait())
    code = 0
    try:
        await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await waiting
    except (system.StartError, EmbeddedServersError, api.ApiError, OSError) as error:
        sys.stderr.write(f"switchyard up: {error}\n")
        code = 1
    finally:
        for task in (starting, waiting):
            task.cancel()
        await asyncio.gather(starting, waiting, return_exceptions=True)
        await suite.stop()
    return code


async def _start(suite: system.System) -> None:
    await suite.start()
    run_dir = suite.run_dir
    operator_password = run_dir.secret("operator_password", kind="password")
    filled = await asyncio.to_thread(
        demo.seed, suite.layout.url, environment.OPERATOR_EMAIL, operator_password, run_dir
    )
    run_dir.write_demo(filled)
    show(filled, operator_password)


def show(filled: demo.Demo, operator_password: str | None) -> None:
    """Print the URL and the logins."""
    table = Table(title=f"Switchyard is up: {filled['url']}", title_justify="left")
    for heading in ("login", "password", "role", "tenant"):
        table.add_column(heading, no_wrap=True)
    if operator_password:
        table.add_row(environment.OPERATOR_EMAIL, operator_password, "operator", "(the platform)")
    names = {tenant["id"]: tenant["name"] for tenant in filled["tenants"]}
    for user in filled["users"]:
        table.add_row(user["email"], user["password"], user["role"], names[user["tenant_id"]])
    screen = console.wide()
    screen.print(table)
    for token in filled["catalog_tokens"]:
        screen.print(f"kiosk of catalog {token['catalog_id']}: {token['token']}", soft_wrap=True, highlight=False)
    screen.print(f"API documentation: {filled['url']}/docs    X-Tenant-ID: see `switchyard demo --json`")
