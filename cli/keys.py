"""`switchyard keys`: the platform's keys, looked at and rotated while everything runs.

It calls the gateway of the suite that runs here, as its operator; or any other, when SWITCHYARD_URL names it and
SWITCHYARD_OPERATOR_TOKEN holds an operator's access token.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from cli import console, doctor, environment
from cli.api import Api, ApiError
from cli.run_dir import RunDir

app = typer.Typer(help="Look at the keys that sign and encrypt, and rotate them.", no_args_is_help=True)


@app.command("list")
def list_keys() -> None:
    """Print every key: what it is for, and where it is in its life."""
    _show(lambda api: api.call("GET", "/api/v1/auth/keys"))


@app.command()
def rotate(
    *,
    signing: Annotated[bool, typer.Option("--signing", help="Only the keys that sign.")] = False,
    encryption: Annotated[bool, typer.Option("--encryption", help="Only the keys that encrypt.")] = False,
    at_once: Annotated[
        bool,
        typer.Option("--now", help="After a theft: drop the keys that sign. Every client has to refresh its token."),
    ] = False,
) -> None:
    """Make new keys, of both kinds unless one is named. They are published first and used minutes later."""
    asked = {"signing": signing, "encryption": encryption, "at_once": at_once}
    _show(lambda api: api.call("POST", "/api/v1/auth/keys/rotate", asked)["keys"])


def _show(ask: Callable[[Api], list[dict[str, Any]]]) -> None:
    try:
        found = ask(_operator(RunDir.from_environment()))
    except (ApiError, OSError) as error:
        sys.stderr.write(f"switchyard keys: {error}\n")
        raise typer.Exit(1) from None
    table = Table("use", "algorithm", "generation", "state", "used from", "kid")
    for key in found:
        row = (key["use"], key["alg"], str(key["generation"]), key["state"], key["used_from"], key["kid"])
        table.add_row(*row)
    console.wide().print(table)


def _operator(run_dir: RunDir) -> Api:
    """Who may rotate keys. Raises ApiError, and ends the command when nobody is known."""
    url, token = os.environ.get("SWITCHYARD_URL"), os.environ.get("SWITCHYARD_OPERATOR_TOKEN")
    if url and token:
        return Api(url, token)
    demo, password = run_dir.demo(), run_dir.known_secret("operator_password")
    if not demo or not password or not doctor.is_running(run_dir):
        sys.stderr.write(
            "nothing runs here that is ready; start it with `switchyard up`, or name another suite by SWITCHYARD_URL "
            "and SWITCHYARD_OPERATOR_TOKEN\n"
        )
        raise typer.Exit(1)
    return Api(demo["url"]).login(environment.OPERATOR_EMAIL, password)
