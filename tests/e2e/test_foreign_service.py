"""A service from outside the repository joins by registering: no change, no restart of the gateway."""

import os
import subprocess
import sys
from typing import Any

import httpx

from cli.run_dir import service_credential
from tests.e2e.conftest import ROOT, System, eventually


def _environment(system: System) -> dict[str, str]:
    command = [sys.executable, "-m", "cli.main", "service-environment", "greeter"]
    own = {**os.environ, "SWITCHYARD_RUN_DIR": str(system.run_dir)}
    told = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True).stdout
    pairs = (line.removeprefix("export ").split("=", 1) for line in told.splitlines())
    return {**os.environ, **{name: value.strip("'") for name, value in pairs}}


class TestGreeter:
    async def test_joins_serves_and_leaves(self, system: System, admin: httpx.AsyncClient) -> None:
        gateway = system.pid("gateway")
        assert (await admin.get("/api/v1/greetings")).status_code == 404
        process = subprocess.Popen([sys.executable, "examples/greeter/greeter.py"], cwd=ROOT, env=_environment(system))
        try:

            async def routed() -> bool:
                return (await admin.get("/api/v1/greetings")).status_code == 200

            await eventually(routed, 20)
            greeted = await admin.post("/api/v1/greetings", json={"name": "Ada"})
            listed = await admin.get("/api/v1/greetings")
            document = (await admin.get("/openapi.json")).json()
            async with httpx.AsyncClient(base_url=system.url) as nobody, system.kiosk() as kiosk:
                refusals = [
                    (await nobody.get("/api/v1/greetings")).status_code,
                    (await kiosk.get("/api/v1/greetings")).status_code,
                    (await admin.post("/api/v1/greetings", json={"name": ""})).status_code,
                    (await admin.post("/api/v1/greetings", json={"nam": "Ada"})).status_code,
                ]
            async with await system.acting("admin", 1) as stranger:
                others = (await stranger.get("/api/v1/greetings")).json()["data"]

            assert (greeted.status_code, greeted.json()["data"]["text"]) == (201, "Hello, Ada!")
            assert [greeting["name"] for greeting in listed.json()["data"]] == ["Ada"]
            assert document["paths"]["/api/v1/greetings"]["post"]["x-permission"] == "greeter.greetings.write"
            assert refusals == [401, 403, 422, 422]
            assert others == []
            assert await eventually(lambda: _trail(admin))
        finally:
            process.terminate()
            assert process.wait(20) == 0

        async def gone() -> bool:
            return (await admin.get("/api/v1/greetings")).status_code in {404, 503}

        await eventually(gone)
        assert system.pid("gateway") == gateway

    def test_a_credential_belongs_to_one_name(self) -> None:
        assert service_credential("root", "greeter") != service_credential("root", "orders")


async def _trail(admin: httpx.AsyncClient) -> list[dict[str, Any]]:
    query = await admin.post("/api/v1/audit/query", json={"actions": ["greeter.CreateGreeting"]})
    found: list[dict[str, Any]] = query.json()["data"]
    return [entry for entry in found if entry["outcome"] == "success"]
