"""schemathesis over the running gateway: whatever a client sends, it gets a documented answer."""

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import System

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Signing out ends the session that all other operations are tried with, so it is tried with one of its own.
SIGN_OUT = "logout"
# The service of another test, which it has stopped: its routes answer 503, as they should.
STOPPED = "greetings"


class TestSchemathesis:
    @pytest.mark.parametrize(
        "which", [("--exclude-path-regex", f"{SIGN_OUT}|{STOPPED}"), ("--include-path-regex", SIGN_OUT)]
    )
    async def test_every_answer_is_a_documented_one(
        self, system: System, which: tuple[str, str], tmp_path: Path
    ) -> None:
        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            token = (await system.sign_in(client, "admin"))["access_token"]
        credential = ["--header", f"Authorization: Bearer {token}", "--header", f"X-Tenant-ID: {system.tenant()}"]
        # One worker: two threads that parse source at once can fail in Python 3.11, and Hypothesis parses.
        amount = ["--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--workers", "1"]
        repeatable = ["--generation-deterministic", "--no-color", "--checks", CHECKS]
        program = str(Path(sys.executable).parent / "schemathesis")

        process = await asyncio.create_subprocess_exec(
            program,
            *("run", f"{system.url}/openapi.json", *credential, *amount, *repeatable, *which),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()

        assert process.returncode == 0, told.decode()[-6000:]
