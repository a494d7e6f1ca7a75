"""A service from outside the repository joins by registering: no change, no restart of the gateway."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.run_dir import service_credential
from examples.greeter import greeter
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

    async def test_two_instances_number_greetings_without_a_gap(
        self, system: System, admin: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        environment = {**_environment(system), "GREETER_BOOK": str(tmp_path / "book.db")}
        command = [sys.executable, "examples/greeter/greeter.py"]
        processes = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(2)]
        try:

            async def both() -> bool:
                answer = await admin.get("/api/v1/services/greeter/instances")
                found = answer.json()["data"] if answer.is_success else []
                routed = (await admin.get("/api/v1/greetings")).is_success
                return routed and [instance["state"] for instance in found] == ["passing"] * 2

            await eventually(both, 60)
            answers = await asyncio.gather(
                *(admin.post("/api/v1/greetings", json={"name": f"Ada {number}"}) for number in range(8))
            )
            listed = (await admin.get("/api/v1/greetings")).json()["data"]

            assert [answer.status_code for answer in answers] == [201] * 8
            assert sorted(int(answer.json()["data"]["id"]) for answer in answers) == list(range(1, 9))
            assert [greeting["id"] for greeting in listed] == [str(number) for number in range(1, 9)]
        finally:
            for process in processes:
                process.terminate()
            assert [process.wait(20) for process in processes] == [0, 0]

    def test_a_late_greeting_is_refused_by_the_book(self, tmp_path: Path) -> None:
        book = greeter.Book(str(tmp_path / "book.db"))
        book.add("a", "Ada", number=1, token=8)

        with pytest.raises(greeter.StaleHolderError):
            book.add("a", "Bob", number=2, token=7)
        book.add("b", "Bob", number=1, token=7)

        assert (book.names("a"), book.names("b")) == (["Ada"], ["Bob"])

    def test_a_credential_belongs_to_one_name(self) -> None:
        assert service_credential("root", "greeter") != service_credential("root", "orders")


async def _trail(admin: httpx.AsyncClient) -> list[dict[str, Any]]:
    query = await admin.post("/api/v1/audit/query", json={"actions": ["greeter.CreateGreeting"]})
    found: list[dict[str, Any]] = query.json()["data"]
    return [entry for entry in found if entry["outcome"] == "success"]
