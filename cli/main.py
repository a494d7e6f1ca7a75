"""The commands."""

import asyncio
import json
import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chassis.embedded import EmbeddedServers, EmbeddedServersError
from chassis.embedded_programs import read_or_make_password
from cli import doctor as doctor_checks
from cli import environment, keys, retail, system
from cli import up as up_command
from cli.run_dir import ROOT, RunDir, root_secret, service_credential, services

app = typer.Typer(
    help="Run the Switchyard suite on this machine.", no_args_is_help=True, pretty_exceptions_show_locals=False
)
app.add_typer(keys.app, name="keys")
app.add_typer(retail.app, name="import")


@app.command()
def up(*, nats: Annotated[int, typer.Option(help="How many NATS servers: 1, or 3 that are a cluster.")] = 1) -> None:
    """Start everything, fill the demo companies, print the URL and the logins; Ctrl-C stops all of it."""
    if nats not in environment.NATS_NODES:
        message = "1 server, or 3 that are a cluster"
        raise typer.BadParameter(message)
    if nats > 1 and os.environ.get(environment.EXTERNAL["nats"]):
        message = f"{environment.EXTERNAL['nats']} names servers of your own: unset it, or leave --nats out"
        raise typer.BadParameter(message)
    raise typer.Exit(up_command.run(RunDir.from_environment(), nats_nodes=nats))


@app.command()
def serve(service: Annotated[str, typer.Argument(help="A service's name, or `gateway`.")]) -> None:
    """Become one process of the suite, configured by the environment."""
    known = [*services(), environment.GATEWAY]
    if service not in known:
        message = f"there is no service {service}; there are {', '.join(known)}"
        raise typer.BadParameter(message)
    module = service if service == environment.GATEWAY else f"services.{service}"
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606 - our own interpreter and module


@app.command()
def migrate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SERVICE]...", help="All services unless given.")
    ] = None,
) -> None:
    """Create missing databases and roles, and bring the tables to the newest version.

    Works on SWITCHYARD_POSTGRES_ADMIN_URL, or else on the embedded server, which is started for it if need be.
    """
    unknown = set(names or ()) - set(services())
    if unknown:
        message = f"there is no service {', '.join(sorted(unknown))}; there are {', '.join(services())}"
        raise typer.BadParameter(message)
    try:
        asyncio.run(_migrate(RunDir.from_environment(), names or services()))
    except (EmbeddedServersError, OSError) as error:
        sys.stderr.write(f"switchyard migrate: {error}\n")
        raise typer.Exit(1) from None


async def _migrate(run_dir: RunDir, names: list[str]) -> None:
    servers = None
    admin_url = os.environ.get(environment.EXTERNAL["postgres"], "")
    if not admin_url and doctor_checks.is_running(run_dir):
        port = run_dir.state()["processes"]["postgres"]["port"]
        admin_url = f"postgresql://postgres:{read_or_make_password(run_dir.servers_dir)}@127.0.0.1:{port}/postgres"
    if not admin_url:
        servers = await EmbeddedServers.start(run_dir.servers_dir, fsync=True, servers=frozenset({"postgres"}))
        admin_url = servers.postgres_url
    try:
        for name in names:
            await system.migrate_service(run_dir, name, admin_url)
            sys.stdout.write(f"{name}: up to date\n")
    finally:
        if servers is not None:
            await servers.stop()


@app.command()
def demo(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Print the URL and the logins of the running system."""
    run_dir = RunDir.from_environment()
    filled = run_dir.demo()
    if not filled or not doctor_checks.is_running(run_dir):
        sys.stderr.write("nothing runs here that is ready; start it with `switchyard up`\n")
        raise typer.Exit(1)
    if as_json:
        sys.stdout.write(json.dumps(filled, indent=2) + "\n")
    else:
        up_command.show(filled, run_dir.known_secret("operator_password"))  # type: ignore[arg-type] # as it was written


@app.command("service-environment")
def service_environment(name: Annotated[str, typer.Argument(help="The service's name.")]) -> None:
    """Print, for a shell's `eval`, what another team's service needs to join the running system."""
    if not name.isidentifier() or not name.islower():
        message = "a service's name is lower-case letters, digits and underscores"
        raise typer.BadParameter(message)
    run_dir = RunDir.from_environment()
    state = run_dir.state()
    if not state or not doctor_checks.is_running(run_dir):
        sys.stderr.write("nothing runs here; start it with `switchyard up`\n")
        raise typer.Exit(1)
    told = {
        "SWITCHYARD_NATS_URL": state["nats_url"],
        "SWITCHYARD_REGISTRY_ADDRESS": state["registry_address"],
        "SWITCHYARD_AUTH_ADDRESS": state["auth_address"],
        "SWITCHYARD_SERVICE_CREDENTIAL": service_credential(root_secret(run_dir), name),
    }
    sys.stdout.write("".join(f"export {variable}='{value}'\n" for variable, value in told.items()))


@app.command()
def doctor() -> None:
    """Say what on this machine would keep the suite from running. Exit code 1: something would."""
    table = Table("", "what", "found", "remedy")
    healthy = True
    for check in doctor_checks.examine(RunDir.from_environment()):
        healthy &= check.ok
        verdict = "[green]ok[/]" if check.ok else "[red]fail[/]"
        table.add_row(verdict, check.name, escape(check.detail), "" if check.ok else escape(check.remedy))
    Console().print(table)
    raise typer.Exit(0 if healthy else 1)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
