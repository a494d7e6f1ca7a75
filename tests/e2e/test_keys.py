"""Keys rotate by a command while everybody works, and nobody notices."""

import asyncio
import os
import sys

import httpx
from joserfc import jws
from joserfc.jwk import KeySet

from tests.e2e.conftest import ROOT, System

DEADLINE_S = 20.0


async def _switchyard(system: System, *arguments: str) -> str:
    """What a command prints."""
    environment = {**os.environ, "SWITCHYARD_RUN_DIR": str(system.run_dir)}
    command = [sys.executable, "-m", "cli.main", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe)
    shown, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return shown.decode()


async def _time_goes_by(system: System) -> None:
    """What is published is used from now on."""
    async with system.database("auth") as database:
        for table in ("signing_keys", "encryption_keys"):
            await database.execute(f"UPDATE {table} SET used_from = now() WHERE used_from > now()")


class TestKeySet:
    async def test_any_library_verifies_a_token_with_it(self, system: System) -> None:
        async with httpx.AsyncClient(base_url=system.url) as guest:
            told = (await guest.get("/.well-known/jwks.json")).json()
            session = await system.sign_in(guest, "manager")

        read = jws.deserialize_compact(session["access_token"], KeySet.import_key_set(told), algorithms=["Ed25519"])
        assert read.headers()["alg"] == "Ed25519"


class TestRotate:
    async def test_nothing_fails_and_new_tokens_bear_the_new_key(self, system: System) -> None:
        done = asyncio.Event()
        statuses: list[int] = []

        async def go_on_working(client: httpx.AsyncClient, path: str) -> None:
            while not done.is_set():
                statuses.append((await client.get(path)).status_code)

        async with await system.acting("manager") as manager, system.kiosk() as kiosk:
            working = [
                asyncio.create_task(go_on_working(manager, "/api/v1/inventory/items")),
                asyncio.create_task(go_on_working(kiosk, "/api/v1/auth/me")),
            ]
            before = await _kid(system)
            shown = await _switchyard(system, "keys", "rotate")
            await _time_goes_by(system)
            async with asyncio.timeout(DEADLINE_S):
                while await _kid(system) == before:
                    await asyncio.sleep(0.2)
            # Passes of the old key and of the new one are under way for a while.
            await asyncio.sleep(2)
            done.set()
            await asyncio.gather(*working)

        assert shown.count("published") == 3
        assert set(statuses) == {200}


async def _kid(system: System) -> str:
    """Which key signs tokens now."""
    async with httpx.AsyncClient(base_url=system.url) as client:
        token = (await system.sign_in(client, "auditor"))["access_token"]
    kid = jws.extract_compact(token.encode()).headers()["kid"]
    assert isinstance(kid, str)
    return kid
